# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams of bytes on their way into the store: checked, decompressed, read ahead by a thread.

A stream is an iterator of bytes; each stage wraps the one before, so one pass does it all.
"""

from __future__ import annotations

import os
import queue
import threading

from ..errors import Corrupt, Unsupported, Untrusted, reason_of
from ..host import programs, reading
from . import inflate, tar, zstd

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterator
    from io import FileIO
    from types import ModuleType
    from typing import Protocol

    from .allowance import Allowance

    class Decompressor(Protocol):
        """The interface that bz2, lzma and _Gzip have in common."""

        @property
        def eof(self) -> bool:
            """Whether the member has ended."""

        @property
        def needs_input(self) -> bool:
            """Whether there is no more output without more input."""

        @property
        def unused_data(self) -> bytes:
            """The input after the end of the member."""

        def decompress(self, data: bytes, max_length: int = -1) -> bytes:
            """At most max_length bytes of output."""


BLOCK = 256 * 1024
_AHEAD = 16
_OUTPUT = 4 * BLOCK
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    # A skippable frame, with which pzstd begins. Source: RFC 8878, 3.1.2.
    *((bytes((0x50 + number,)) + b"\x2a\x4d\x18", "zstd") for number in range(16)),
)
# Honest writers of many members (eStargz, bgzip) put at least a block of tar into each. One costs 30 us.
_MEMBERS_THAT_ARE_FEW = 10_000
_SMALLEST_MEMBER = 256


def file_chunks(path: str) -> Iterator[bytes]:
    """The content of a file that a user names, by a link or not; a pipe is never waited for.

    Raises OSError, and Corrupt for anything but a regular file.
    """
    with open(reading.open_regular(os.path.realpath(path)), "rb", buffering=0) as file:
        yield from _chunks(file)


def stored_chunks(path: str, allowance: Allowance) -> Iterator[bytes]:
    """The content of a file of the store, which may be damaged: of a regular file, up to the bounds of the image.

    Raises FileNotFoundError, Corrupt, OSError.
    """
    meter = allowance.of_stream()
    try:
        fd = reading.open_regular(path)
    except Corrupt as err:
        raise Corrupt(err.message, "remove the image and fetch it again", path=path) from err
    with open(fd, "rb", buffering=0) as file:
        yield from meter.plain(meter.sent(_chunks(file)))


def _chunks(file: FileIO) -> Iterator[bytes]:
    while True:
        chunk = file.read(BLOCK)
        if not chunk:
            return
        yield chunk


def hashed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """The same stream, fed to digest."""
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def verified_chunks(chunks: Iterator[bytes], digest: str, size: int = -1) -> Iterator[bytes]:
    """The same stream, which must have this sha256: digest and, when it is known, this size.

    Raises Untrusted at the end, or as soon as it is too long.
    """
    import hashlib

    seen, hasher = 0, hashlib.sha256()
    for chunk in chunks:
        seen += len(chunk)
        if 0 <= size < seen:
            break
        hasher.update(chunk)
        yield chunk
    if 0 <= size != seen:
        raise Untrusted(f"the content of {digest} has another size than the {size} bytes that were announced")
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise Untrusted(f"the content of {digest} has another digest: sha256:{hasher.hexdigest()}")


def metered(chunks: Iterator[bytes], allowance: Allowance, by: int = inflate.MODULE) -> Iterator[bytes]:
    """The plain stream of an archive, up to the bounds of the image. by: see decompressed. Raises Corrupt."""
    meter = allowance.of_stream()
    return meter.plain(decompressed(meter.sent(chunks), by))


def compression(head: bytes) -> str:
    """How a stream is compressed, by its first bytes: gzip, bzip2, xz or zstd, "" for a plain one.

    A stream that begins with a tar header is plain, whatever the name in that begins with.
    """
    kind = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    return "" if kind and tar.is_header(head[: tar.BLOCK]) else kind


def decompressed(chunks: Iterator[bytes], by: int = inflate.MODULE) -> Iterator[bytes]:
    """The plain stream of a gzip, bzip2, xz, zstd or plain one, detected by its first bytes. Raises Corrupt.

    by: what may inflate gzip, of store.inflate; a program only for a caller who knows the digest of what comes out.
    """
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= tar.BLOCK:
            break
    kind = compression(head)
    whole = _chain(head, chunks)
    if not kind:
        return whole
    if kind == "gzip" and by == inflate.PROGRAM and inflate.program():
        return inflate.by_program(whole)
    return _unzstd(zstd.checked(whole)) if kind == "zstd" else _members(whole, kind, by)


def read_ahead(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same stream, drawn by a thread that keeps some blocks ready."""
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()
    thread = threading.Thread(target=_draw, args=(chunks, waiting, stop), daemon=True)
    thread.start()
    try:
        while True:
            block = waiting.get()
            if block is None:
                return
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        stop.set()
        while thread.is_alive():
            _drain(waiting)
            thread.join(0.01)


def _draw(
    chunks: Iterator[bytes], waiting: queue.Queue[bytes | BaseException | None], stop: threading.Event
) -> None:
    try:
        for chunk in chunks:
            waiting.put(chunk)
            if stop.is_set():
                break
        waiting.put(None)
    except BaseException as err:
        waiting.put(err)


def _drain(waiting: queue.Queue[bytes | BaseException | None]) -> None:
    try:
        while True:
            waiting.get_nowait()
    except queue.Empty:
        return


def _chain(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from chunks


def _members(chunks: Iterator[bytes], kind: str, by: int) -> Iterator[bytes]:
    """Decompress members until the input ends; zeros between and after them are padding."""
    inner: Decompressor | None = None
    members, size = 0, 0
    for chunk in chunks:
        data = chunk
        while data:
            if inner is None:
                data = data.lstrip(b"\0")
                inner = _decompressor(kind, by) if data else None
                continue
            for plain in _outputs(inner, data, kind):
                size += len(plain)
                yield plain
            if inner.eof:
                members += 1
                _check_members(members, size, kind)
            data, inner = (inner.unused_data, None) if inner.eof else (b"", inner)
    if inner is not None:
        raise Corrupt(f"the {kind} data is truncated")


def _check_members(members: int, size: int, kind: str) -> None:
    """Raise Corrupt for a stream that is chopped to be slow: each member costs time."""
    if members > _MEMBERS_THAT_ARE_FEW and size < members * _SMALLEST_MEMBER:
        raise Corrupt(f"the {kind} data is chopped into {members} members for {size} bytes")


def _outputs(inner: Decompressor, data: bytes, kind: str) -> Iterator[bytes]:
    """The whole output for one piece of input, in pieces of bounded size."""
    try:
        plain = inner.decompress(data, _OUTPUT)
        while plain:
            yield plain
            if inner.eof or inner.needs_input:
                return
            plain = inner.decompress(b"", _OUTPUT)
    except _codec_errors() as err:
        raise Corrupt(f"the {kind} data is damaged: {err}") from err


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress with the module zstandard, or else the program zstd. Raises Unsupported without either."""
    import importlib

    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError:
        return _unzstd_by_program(chunks)
    return _unzstd_by_module(zstandard, chunks)


def _unzstd_by_module(zstandard: ModuleType, chunks: Iterator[bytes]) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor().stream_reader(_File(chunks), read_across_frames=True)
    while True:
        try:
            plain: bytes = reader.read(_OUTPUT)
        except zstandard.ZstdError as err:
            raise Corrupt(f"the zstd data is damaged: {err}") from err
        if not plain:
            return
        yield plain


def _unzstd_by_program(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        program = programs.find("zstd")
    except Unsupported as err:
        raise Unsupported(
            "cannot read zstd data: neither the Python module zstandard nor the program zstd is installed",
            "install the package zstd",
        ) from err
    try:
        yield from programs.pipe((program, "-dcq", f"--memory={zstd.MAX_WINDOW}"), chunks)
    except OSError as err:
        raise Corrupt(f"the zstd data is damaged: {reason_of(err)}") from err


class _File:
    """A stream with the interface of a file that is read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Up to size bytes, b"" at the end."""
        data = self._rest or next(self._chunks, b"")
        self._rest = data[size:]
        return data[:size]


def _codec_errors() -> tuple[type[Exception], ...]:
    import lzma
    import zlib

    return (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError)


def _decompressor(kind: str, by: int) -> Decompressor:
    if kind == "bzip2":
        import bz2

        return bz2.BZ2Decompressor()
    if kind == "xz":
        import lzma

        return lzma.LZMADecompressor(memlimit=256 << 20)
    return _Gzip(by)


class _Gzip:
    """zlib, or isal where it is installed, with the interface of BZ2Decompressor."""

    def __init__(self, by: int) -> None:
        self._inner = inflate.inflater(by)
        self._tail = b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the member."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most max_length bytes of output."""
        plain = self._inner.decompress(self._tail + data if self._tail else data, max(max_length, 0))
        self._tail = self._inner.unconsumed_tail
        self.needs_input = not self._tail and len(plain) < max_length
        return plain
