# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the frames of a zstd stream on their way to the decompressor.

The program zstd detects formats by the magic of each frame, so it also reads gzip, lz4, and xz without a memory limit.
Source: RFC 8878, section 3.1.
"""

from __future__ import annotations

from ..errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# The default maximum of zstd; more is for archives of whole disks.
MAX_WINDOW = 128 << 20
_MAGIC = 0xFD2FB528
_SKIPPABLE = 0x184D2A50
_SMALLEST_WINDOW_LOG = 10
_RLE, _RESERVED = 1, 3
_CHECKSUM = 4


def checked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same stream; raises Corrupt for anything but a zstd frame, and for a frame that needs too much memory.

    Truncation is left to the decompressor.
    """
    walk = _frames()
    skip, need = next(walk, (0, 4))  # which does not end
    held = b""
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            if skip:
                step = min(skip, len(chunk) - at)
                skip, at = skip - step, at + step
                continue
            more = chunk[at : at + need - len(held)]
            held, at = held + more, at + len(more)
            if len(held) == need:
                skip, need = walk.send(held)
                held = b""
        yield chunk


def _frames() -> Generator[tuple[int, int], bytes, None]:
    """Walk the frames: yields how many bytes to skip, and how many to send after that. Raises Corrupt."""
    skip = 0
    while True:
        magic = int.from_bytes((yield skip, 4), "little")
        if magic & ~0xF == _SKIPPABLE:
            skip = int.from_bytes((yield 0, 4), "little")
            continue
        if magic != _MAGIC:
            raise Corrupt("the zstd data is damaged: something else follows one of its frames")
        descriptor = (yield 0, 1)[0]
        header = _header_size(descriptor)
        _check_window(descriptor, (yield 0, header) if header else b"")
        skip = 0
        while True:
            block = int.from_bytes((yield skip, 3), "little")
            kind = block >> 1 & 3
            if kind == _RESERVED:
                raise Corrupt("the zstd data is damaged: one of its blocks is of no known kind")
            skip = 1 if kind == _RLE else block >> 3
            if block & 1:
                break
        skip += _CHECKSUM if descriptor & _CHECKSUM else 0


def _header_size(descriptor: int) -> int:
    """The size of a frame's header after the descriptor: window, dictionary ID, content size."""
    single = descriptor >> 5 & 1
    return (1 - single) + (0, 1, 2, 4)[descriptor & 3] + (single, 2, 4, 8)[descriptor >> 6]


def _check_window(descriptor: int, header: bytes) -> None:
    """Raise Corrupt for a frame that needs more memory than decompression may take."""
    if descriptor >> 5 & 1:
        size = header[(0, 1, 2, 4)[descriptor & 3] :]
        window = int.from_bytes(size, "little") + (256 if len(size) == 2 else 0)
    else:
        base = 1 << (_SMALLEST_WINDOW_LOG + (header[0] >> 3))
        window = base + base // 8 * (header[0] & 7)
    if window > MAX_WINDOW:
        raise Corrupt(
            f"the zstd data wants {window} bytes of memory, more than the {MAX_WINDOW} that it may have",
            "compress it without --ultra and --long",
        )
