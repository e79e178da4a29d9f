# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse files in archives: which parts of a file its data are, in each of the forms that GNU tar has written.

Nothing here reads a stream. Source: GNU tar manual, "Storing Sparse Files"; GNU tar's tar.h.
"""

from __future__ import annotations

from ..errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    # Where each part of the data belongs in the file, and its length; ascending.
    Spans = tuple[tuple[int, int], ...]

# In the header of the kind "S": four spans, a flag for more of them in blocks that follow, the size of the file.
_HEADER_SPANS, _HEADER_MORE, _HEADER_SIZE = 386, 482, 483
_BLOCK_SPANS, _BLOCK_MORE = 0, 504
_SPAN, _FIELD = 24, 12
MOST_SPANS = 1 << 16
_MOST_DIGITS = 20


def fields_of_header(header: bytes) -> tuple[list[bytes], bytes, bool]:
    """The fields of the spans in a header, the field of the size, and whether a block with more spans follows."""
    size = header[_HEADER_SIZE : _HEADER_SIZE + _FIELD]
    return _fields(header, _HEADER_SPANS, _HEADER_MORE), size, bool(header[_HEADER_MORE])


def fields_of_block(block: bytes) -> tuple[list[bytes], bool]:
    """The fields of the spans in a block that follows a header, and whether another one follows."""
    return _fields(block, _BLOCK_SPANS, _BLOCK_MORE), bool(block[_BLOCK_MORE])


def numbers_of(parts: Sequence[bytes]) -> list[int]:
    """The decimal numbers of a map. Raises Corrupt."""
    return [_decimal(part) for part in parts]


def spans_of(numbers: Sequence[int], size: int, stored: int) -> Spans:
    """The spans of offsets and lengths in turn, of a file of some size with so many bytes of data. Raises Corrupt."""
    if len(numbers) % 2 or len(numbers) > 2 * MOST_SPANS:
        raise _damaged("it has too many parts, or half a part")
    spans = tuple(zip(numbers[::2], numbers[1::2]))
    at = total = 0
    for offset, length in spans:
        if length < 0 or offset < at or offset + length > size:
            raise _damaged("its parts overlap, or are beyond its end")
        at = offset + length
        total += length
    if total != stored:
        raise _damaged(f"its parts have {total} bytes, its data {stored}")
    return tuple(span for span in spans if span[1])


def placed(pieces: Iterator[memoryview], spans: Spans) -> Iterator[tuple[int, memoryview]]:
    """The data of a file in pieces, each with its place. Raises Corrupt when there are too few."""
    rest = memoryview(b"")
    for offset, length in spans:
        at, end = offset, offset + length
        while at < end:
            rest = rest or next(pieces, memoryview(b""))
            if not rest:
                raise _damaged("its data end too early")
            part = rest[: end - at]
            yield at, part
            at += len(part)
            rest = rest[len(part) :]


def _fields(block: bytes, begin: int, end: int) -> list[bytes]:
    found = []
    for at in range(begin, end - _SPAN + 1, _SPAN):
        offset, length = block[at : at + _FIELD], block[at + _FIELD : at + _SPAN]
        if not offset.strip(b"\0 ") and not length.strip(b"\0 "):
            break
        found += [offset, length]
    return found


def _decimal(digits: bytes) -> int:
    if not 0 < len(digits) <= _MOST_DIGITS or digits.strip(b"0123456789"):
        raise _damaged("its map has something else than numbers")
    return int(digits)


def _damaged(reason: str) -> Corrupt:
    return Corrupt(f"the archive is damaged: a sparse file cannot be put together: {reason}")
