# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar stream as entries: ustar, pax and GNU long names, base-256 numbers.

Three times as fast as tarfile, and nothing in the stream is trusted: sizes are bounded and every oddity is Corrupt.
Source: POSIX pax(1), GNU tar manual "Basic Tar Format", pax keys as docker writes them (SCHILY.xattr.).
"""

from __future__ import annotations

import zlib

from ..errors import Corrupt
from . import sparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sparse import Spans

BLOCK = 512
MAX_NAME = 4096
# Of a name in a header; a longer one is in a pax header.
LONGEST_FIELD = 100
MAX_HEADER_DATA = 1 << 20
MAX_SIZE = 1 << 40
_MAX_TIME = 10**9 << 56
_MAX_ID = (1 << 32) - 2  # the last one means "unchanged" to chown(2)
_MAX_MAJOR = (1 << 12) - 1
_MAX_MINOR = (1 << 20) - 1

FILE = "0"
LINK = "1"
SYMLINK = "2"
CHARACTER = "3"
BLOCK_DEVICE = "4"
DIRECTORY = "5"
FIFO = "6"
_FILES = frozenset(b"\x007")
_KNOWN = frozenset("0123456")
_HEADER_ONLY = frozenset("123456")
_ZEROS = bytes(BLOCK)
_XATTR = "SCHILY.xattr."
# What pax headers say of a sparse file, the name of which is under the prefix alone, "" without one.
_SPARSE = "GNU.sparse."
_SPARSE_SIZE, _SPARSE_MAP, _SPARSE_MAJOR = "GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.major"
_SPARSE_SIZES = ("GNU.sparse.size", "GNU.sparse.realsize")
# The oldest form has a number a record, which occur again and again.
_SPARSE_PARTS = ("GNU.sparse.offset", "GNU.sparse.numbytes")
_OLD_SPARSE = ord("S")
_MOST_DIGITS = 20
_NUMBERS = ("size", "uid", "gid")
_KEYS = frozenset(("path", "linkpath", "mtime", *_NUMBERS))
_ADLER = 65521
_LARGEST_SUM = BLOCK * 0xFF
_MOST_NUMBERS = 1000
_numbers: dict[bytes, int] = {}


class TarEntry:
    """One member of an archive. kind is one of the constants above; mtime in nanoseconds; link is the target.

    size: of the file. spans: where its data belong in it, None for a file that is all data.
    """

    __slots__ = ("device", "gid", "kind", "link", "mode", "mtime", "name", "size", "spans", "uid", "xattrs")

    def __init__(self, name: str, kind: str, mode: int = 0o644, size: int = 0, link: str = "") -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.size = size
        self.link = link
        self.uid = self.gid = self.mtime = 0
        self.device = (0, 0)
        self.spans: Spans | None = None
        self.xattrs: tuple[tuple[str, bytes], ...] = ()


class TarReader:
    """Iterate over the entries of a stream of bytes; read the data of the current one with blocks().

    Raises Corrupt. The stream is read to its end, so that a hash of it is complete.
    marked: whether the end of the archive was read, not only that of the stream: else it may be truncated. sparse:
    whether the caller knows sparse files, else they are refused.
    """

    def __init__(self, chunks: Iterator[bytes], *, sparse: bool = False) -> None:
        self._chunks = chunks
        self._knows_sparse = sparse
        self._is_sparse = False
        self._data = b""
        self._at = 0
        self._left = 0
        self._padding = 0
        self._extended = 0
        self.marked = False
        self._defaults: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[TarEntry]:
        extra: dict[str, bytes] = {}
        while True:
            self._skip_rest()
            header = self._header()
            if header is None:
                break
            kind = header[156]
            if kind in b"xgLK":
                self._read_extension(kind, _number(header, 124, 136), extra)
                continue
            entry = _entry(header, extra, knows_sparse=self._knows_sparse)
            said, extra, self._extended = extra, dict(self._defaults), 0
            if entry is None:
                self._expect(_number(header, 124, 136))
                continue
            self._expect(entry.size)
            self._is_sparse = kind == _OLD_SPARSE or _SPARSE in said
            if self._is_sparse:
                self._map(entry, header, said)
            yield entry
        while self._refill():
            pass

    def blocks(self) -> Iterator[memoryview]:
        """The unread data of the current entry, in pieces."""
        while self._left:
            have = len(self._data) - self._at
            if not have:
                self._require_more()
                continue
            size = min(have, self._left)
            at = self._at
            self._at += size
            self._left -= size
            yield memoryview(self._data)[at : at + size]

    def content(self, limit: int, what: str) -> bytes:
        """All data of the current entry, at most limit bytes."""
        if self._left > limit:
            raise Corrupt(f"{what} has {self._left} bytes, more than the {limit} allowed")
        if self._is_sparse:
            raise Corrupt(f"{what} is a sparse file")
        return b"".join(self.blocks())

    def _map(self, entry: TarEntry, header: bytes, said: dict[str, bytes]) -> None:
        """Find out which parts of a sparse file its data are, whose size is that of the entry so far."""
        if header[156] == _OLD_SPARSE:
            fields, size, more = sparse.fields_of_header(header)
            while more:
                self._count_extended(BLOCK)
                more_fields, more = sparse.fields_of_block(self._taken(BLOCK))
                fields += more_fields
            entry.size = _number(size, 0, len(size))
            numbers = [_number(field, 0, len(field)) for field in fields]
        else:
            entry.size = _decimal(said.get(_SPARSE_SIZE, b""), "GNU.sparse.size")
            numbers = (
                self._map_of_data()
                if said.get(_SPARSE_MAJOR) == b"1"
                else sparse.numbers_of(said[_SPARSE_MAP].split(b",") if said.get(_SPARSE_MAP) else ())
            )
        _check_size(entry.size)
        entry.spans = sparse.spans_of(numbers, entry.size, self._left)

    def _count_extended(self, size: int) -> None:
        """Count what stands between the headers and the data of entries. Raises Corrupt."""
        self._extended += size
        if self._extended > MAX_HEADER_DATA:
            raise Corrupt(
                f"an entry of the archive has more than {MAX_HEADER_DATA} bytes of extended headers"
            )

    def _map_of_data(self) -> list[int]:
        """The map that the data begin with: a number a line, the first one how many spans follow."""
        lines: list[bytes] = []
        rest, wanted = b"", 1
        while len(lines) < wanted:
            if self._left < BLOCK or len(lines) > 2 * sparse.MOST_SPANS:
                raise Corrupt("the archive is damaged: the map of a sparse file has no end")
            self._left -= BLOCK
            *more, rest = (rest + self._taken(BLOCK)).split(b"\n")
            lines += more
            if lines:
                wanted = 1 + 2 * sparse.numbers_of(lines[:1])[0]
        return sparse.numbers_of(lines[1:wanted])

    def _taken(self, size: int) -> bytes:
        """So many bytes of the stream, whatever they belong to; what is left of the entry stays as it is."""
        left, self._left = self._left, size
        data = b"".join(self.blocks())
        self._left = left
        return data

    def _expect(self, size: int) -> None:
        _check_size(size)
        self._left = size
        self._padding = -size % BLOCK

    def _skip_rest(self) -> None:
        self._left += self._padding
        self._padding = 0
        while self._left:
            have = len(self._data) - self._at
            size = min(have, self._left)
            self._at += size
            self._left -= size
            if self._left:
                self._require_more()

    def _require_more(self) -> None:
        if not self._refill():
            raise Corrupt("the archive is truncated")

    def _refill(self) -> bool:
        """Take the next chunk; return whether there is one."""
        for chunk in self._chunks:
            if chunk:
                self._data, self._at = chunk, 0
                return True
        return False

    def _header(self) -> bytes | None:
        """The next header, None at the end of the archive: a block of zeros, of which POSIX requires two."""
        header = self._data[self._at : self._at + BLOCK]
        self._at += len(header)
        while len(header) < BLOCK:
            if not self._refill():
                if not header:
                    return None
                raise Corrupt("the archive is truncated")
            more = self._data[: BLOCK - len(header)]
            self._at = len(more)
            header += more
        if header == _ZEROS:
            self.marked = True
            return None
        _check_header(header)
        return header

    def _read_extension(self, kind: int, size: int, extra: dict[str, bytes]) -> None:
        self._expect(size)
        self._count_extended(size)
        data = b"".join(self.blocks())
        if kind == ord("L"):
            extra["path"] = data.split(b"\0", 1)[0]
        elif kind == ord("K"):
            extra["linkpath"] = data.split(b"\0", 1)[0]
        elif kind == ord("g"):
            records = {key: value for key, value in _pax_records(data).items() if key in _KEYS}
            self._defaults.update(records)
            extra.update(records)
        else:
            extra.update(_pax_records(data))


def header_of(entry: TarEntry) -> bytes:
    """The ustar header of an entry, for archives that are byte for byte the same. Longer names are cut."""
    fields = (
        _field(entry.name),
        b"%07o\0%07o\0%07o\0" % (entry.mode, entry.uid, entry.gid),
        b"%011o\0%011o\0" % (entry.size, entry.mtime // 10**9),
        b" " * 8,
        entry.kind.encode(),
        _field(entry.link),
        b"ustar\00000",
        bytes(64) + b"%07o\0%07o\0" % entry.device if entry.kind in (CHARACTER, BLOCK_DEVICE) else b"",
    )
    header = b"".join(fields).ljust(BLOCK, b"\0")
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _field(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")[:LONGEST_FIELD].ljust(LONGEST_FIELD, b"\0")


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise Corrupt(f"an entry of the archive claims a size of {size} bytes")


def padded(data: bytes) -> bytes:
    """Data padded with zeros to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def is_header(block: bytes) -> bool:
    """Whether a block is the header of an entry."""
    try:
        _check_header(block)
    except (Corrupt, IndexError):
        return False
    return True


def _check_header(header: bytes) -> None:
    """Raise Corrupt unless the sum of the bytes is right.

    The lower half of Adler-32 is that sum plus one, modulo 65521, in a tenth of the time. Source: RFC 1950, 8.2.
    """
    expected = _number(header, 148, 156)
    of_blanks = sum(header[148:156]) - 8 * 32
    if (expected + of_blanks + 1 - (zlib.adler32(header) & 0xFFFF)) % _ADLER or expected > _LARGEST_SUM:
        raise Corrupt("the archive is damaged: the checksum of a tar header is wrong")


def _number(header: bytes, start: int, end: int) -> int:
    """A numeric field: octal digits, or base-256 when the first bit is set. The same ones come again and again."""
    field = header[start:end]
    known = _numbers.get(field)
    if known is None:
        known = _parsed(field)
        if len(_numbers) >= _MOST_NUMBERS:
            _numbers.clear()
        _numbers[field] = known
    return known


def _parsed(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (1 << (8 * len(field) - 1))
        return value if field[0] != 0xFF else value - (1 << (8 * len(field) - 1))
    digits = field.split(b"\0", 1)[0].strip()
    if digits.strip(b"01234567"):
        raise Corrupt("the archive is damaged: a number in a tar header is not valid")
    return int(digits or b"0", 8)


def _entry(header: bytes, extra: dict[str, bytes], *, knows_sparse: bool) -> TarEntry | None:
    """The entry of a header and its extended headers; None for kinds that carry no file."""
    code = header[156]
    kind = FILE if code in _FILES else chr(code)
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345]:
        name = f"{_text(header[345:500])}/{name}"
    if code == _OLD_SPARSE or _SPARSE in extra:
        # tar replaces the file's name, which is in the pax header.
        name = _decoded(extra.get(_SPARSE) or extra.get("path") or b"") or name
        if not knows_sparse:
            raise Corrupt(
                f'"{name}" is a sparse file, which cannot be read here',
                "make the archive without --sparse (-S)",
            )
        kind, extra = FILE, {**extra, "path": name.encode("utf-8", "surrogateescape")}
    if kind not in _KNOWN:
        return None
    if kind == FILE and not code and name.endswith("/"):
        kind = DIRECTORY
    entry = TarEntry(
        name, kind, _number(header, 100, 108) & 0o7777, _number(header, 124, 136), _text(header[157:257])
    )
    entry.uid, entry.gid = _number(header, 108, 116), _number(header, 116, 124)
    entry.mtime = _number(header, 136, 148) * 10**9
    if kind in "34":
        entry.device = (_number(header, 329, 337), _number(header, 337, 345))
    if extra:
        _apply(extra, entry)
    if kind in _HEADER_ONLY:
        entry.size = 0
    _check_entry(entry)
    return entry


def _check_entry(entry: TarEntry) -> None:
    """Raise Corrupt for values that no file can have."""
    if len(entry.name) > MAX_NAME or len(entry.link) > MAX_NAME:
        raise Corrupt(f'the name "{entry.name[:60]}..." in the archive is too long')
    major, minor = entry.device
    if not (
        0 <= entry.uid <= _MAX_ID
        and 0 <= entry.gid <= _MAX_ID
        and -_MAX_TIME <= entry.mtime <= _MAX_TIME
        and 0 <= major <= _MAX_MAJOR
        and 0 <= minor <= _MAX_MINOR
    ):
        raise Corrupt(f'the owner, the time or the device of "{entry.name}" in the archive is out of range')


def _text(field: bytes) -> str:
    return _decoded(field.split(b"\0", 1)[0])


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _apply(extra: dict[str, bytes], entry: TarEntry) -> None:
    """Apply extended headers to an entry."""
    if "path" in extra:
        entry.name = _decoded(extra["path"])
    if "linkpath" in extra:
        entry.link = _decoded(extra["linkpath"])
    for field in _NUMBERS:
        if field in extra:
            setattr(entry, field, _decimal(extra[field], field))
    if "mtime" in extra:
        entry.mtime = _nanoseconds(extra["mtime"])
    entry.xattrs = tuple(
        (key[len(_XATTR) :], value) for key, value in extra.items() if key.startswith(_XATTR)
    )


def _decimal(digits: bytes, what: str) -> int:
    if not 0 < len(digits) <= _MOST_DIGITS or digits.strip(b"0123456789"):
        raise Corrupt(f"the archive is damaged: the pax header {what} is not a number")
    return int(digits)


def _nanoseconds(text: bytes) -> int:
    """Nanoseconds from seconds with a fraction and a sign; further digits are cut off."""
    whole, point, fraction = text.partition(b".")
    sign = -1 if whole.startswith(b"-") else 1
    seconds = _decimal(whole[1:] if sign < 0 else whole, "mtime")
    part = _decimal((fraction + b"000000000")[:9], "mtime") if point else 0
    return sign * (seconds * 10**9 + part)


def _pax_records(data: bytes) -> dict[str, bytes]:
    """The records "LENGTH KEY=VALUE newline" of a pax header that matter here."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + _MOST_DIGITS)
        end = at + _decimal(data[at : max(space, at)], "record")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or not equals or data[end - 1 : end] != b"\n":
            raise Corrupt("the archive is damaged: a pax header is malformed")
        at = end
        name = key.decode("utf-8", "replace")
        if name.startswith(_SPARSE):
            _note_sparse(records, name, value)
        elif name in _KEYS or name.startswith(_XATTR):
            if b"\0" in (key if name.startswith(_XATTR) else value):
                raise Corrupt(f"the archive is damaged: the pax header {name} holds a NUL character")
            records[name] = value
    return records


def _note_sparse(records: dict[str, bytes], name: str, value: bytes) -> None:
    """Note what a record says of a sparse file."""
    records.setdefault(_SPARSE, b"")
    if name == f"{_SPARSE}name":
        records[_SPARSE] = value
    elif name in _SPARSE_SIZES:
        records[_SPARSE_SIZE] = value
    elif name in _SPARSE_PARTS:
        before = records.get(_SPARSE_MAP)
        records[_SPARSE_MAP] = value if before is None else b"%s,%s" % (before, value)
    elif name in (_SPARSE_MAP, _SPARSE_MAJOR):
        records[name] = value
