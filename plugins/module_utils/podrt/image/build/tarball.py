# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar archives that are byte for byte the same wherever and by whichever Python they are made, and gzip without a time.

What a ustar header cannot say is in a pax header. Source: POSIX pax(1), "ustar Interchange Format"; RFC 1952.
"""

from __future__ import annotations

import os
import zlib

from ...store import tar
from .members import content_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...store.sparse import Spans
    from .members import Member

_LARGEST_ID, _LARGEST = 0o7777777, 0o77777777777
_EXTENDED = "x"
_XATTR, _SPARSE = b"SCHILY.xattr.", b"GNU.sparse."
_CHUNK = 256 * 1024
_SECOND = 10**9
# No name, no time, an unknown operating system. The level is fixed, but zlib's variants differ in what they make of it.
_GZIP_HEAD, _LEVEL = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", 6
OPEN_FILE = 0o644
END = bytes(2 * tar.BLOCK)


def archive_of(members: Iterable[Member], prefix: str) -> Iterator[bytes]:
    """The entries of members, without the end of an archive. prefix: of their names, "rootfs/" or "./".

    Raises Conflict when a file has changed, HostFailure.
    """
    for member in members:
        name = f"{prefix}{member.path}"
        is_open = member.kind == tar.DIRECTORY and member.path
        link = f"{prefix}{member.link}" if member.kind == tar.LINK else member.link
        yield entry_of(member, f"{name}/" if is_open else name, link)
        if member.kind == tar.FILE:
            yield from content_of(member)
            yield bytes(-member.size % tar.BLOCK)


def file_of(name: str, data: bytes) -> bytes:
    """A file of an archive, with its content."""
    return tar.header_of(tar.TarEntry(name, tar.FILE, OPEN_FILE, len(data))) + tar.padded(data)


def entry_of(member: Member, name: str, link: str) -> bytes:
    """The headers of a member."""
    entry = tar.TarEntry(name, member.kind, member.mode, member.size, link)
    entry.uid, entry.gid, entry.mtime = member.uid, member.gid, member.mtime * _SECOND
    entry.xattrs = member.xattrs
    return headers_of(entry)


def headers_of(entry: tar.TarEntry) -> bytes:
    """The headers of an entry, and of a sparse file the map that its data begin with.

    Source: GNU tar manual, "Storing Sparse Files", PAX format, version 1.0.
    """
    table = b"" if entry.spans is None else _map_of(entry.spans)
    stored = entry.size if entry.spans is None else len(table) + sum(length for _at, length in entry.spans)
    raw_name, raw_link = os.fsencode(entry.name), os.fsencode(entry.link)
    records = [(_XATTR + os.fsencode(key), value) for key, value in entry.xattrs]
    records += [(b"path", raw_name)] if _needs_pax(raw_name) else []
    records += [(b"linkpath", raw_link)] if _needs_pax(raw_link) else []
    records += [] if entry.spans is None else _sparse_records(entry)
    numbers = (
        (b"uid", entry.uid, _LARGEST_ID),
        (b"gid", entry.gid, _LARGEST_ID),
        (b"size", stored, _LARGEST),
    )
    records += [(key, b"%d" % value) for key, value, largest in numbers if value > largest]
    fitting = {key: 0 if value > largest else value for key, value, largest in numbers}
    is_plain = entry.mtime % _SECOND == 0 and 0 <= entry.mtime <= _LARGEST * _SECOND
    records += [] if is_plain else [(b"mtime", _decimal(entry.mtime))]
    short = tar.TarEntry(entry.name, entry.kind, entry.mode, fitting[b"size"], entry.link)
    short.uid, short.gid, short.mtime = fitting[b"uid"], fitting[b"gid"], entry.mtime if is_plain else 0
    short.device = entry.device
    return _extended(records) + tar.header_of(short) + table


def _sparse_records(entry: tar.TarEntry) -> list[tuple[bytes, bytes]]:
    size = b"%d" % entry.size
    version = [(_SPARSE + b"major", b"1"), (_SPARSE + b"minor", b"0")]
    return [*version, (_SPARSE + b"name", os.fsencode(entry.name)), (_SPARSE + b"realsize", size)]


def _map_of(spans: Spans) -> bytes:
    numbers = (len(spans), *(number for span in spans for number in span))
    return tar.padded(b"".join(b"%d\n" % number for number in numbers))


def _decimal(nanoseconds: int) -> bytes:
    """A time in seconds, with a fraction if it has one."""
    seconds, rest = divmod(abs(nanoseconds), _SECOND)
    sign = b"-" if nanoseconds < 0 else b""
    return sign + b"%d" % seconds + (b".%09d" % rest if rest else b"")


def gathered(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same stream in larger pieces."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A stream, compressed."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    check, size = 0, 0
    yield _GZIP_HEAD
    for chunk in chunks:
        check, size = zlib.crc32(chunk, check), size + len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush()
    yield check.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def _needs_pax(text: bytes) -> bool:
    """Whether a name is too long for a header, or its bytes mean something else to other readers."""
    return len(text) > tar.LONGEST_FIELD or not text.isascii()


def _extended(records: list[tuple[bytes, bytes]]) -> bytes:
    """The pax header of records, nothing for none."""
    if not records:
        return b""
    data = b"".join(_record(key, value) for key, value in sorted(records))
    header = tar.header_of(tar.TarEntry("././@PaxHeader", _EXTENDED, OPEN_FILE, len(data)))
    return header + tar.padded(data)


def _record(key: bytes, value: bytes) -> bytes:
    """A record, which begins with its own length."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest
