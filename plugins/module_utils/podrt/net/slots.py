# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts file of an app whose pod lists others: its own lines, then slots, which are rewritten in place.

The file is bind-mounted, so that it can never be replaced; and readers may come at any moment, so that it is never
truncated, and no byte moves. A slot is 128 bytes, at a multiple of 128: none crosses a boundary of 1 KB, in which musl
reads, nor of any larger power of two, as glibc and others have. It is a line of 126, padded by spaces, then a tab and a
newline. One that is free begins with "#".

A line is written as "#", then all behind the first byte, then the first byte: at each moment the file has only whole
lines and comments. One pwrite(2) of the slot is not enough, since the kernel copies it byte by byte while others read.

An app may write the file, and anything into it. What is not a slot is the app's own, and stays; places are found by
reading the file, and never by what was there before.
"""

from __future__ import annotations

import errno
import os
import stat

from ..host import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    Write = tuple[int, bytes]

SIZE = 128
WIDTH = SIZE - 2
_END = b"\t\n"
_FREE = b"#"
# Of a file, in bytes: what is behind them, only the app can have written.
LARGEST = 256 << 10
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_WITHIN = syscalls.RESOLVE_NO_SYMLINKS


def lines_of(address: str, names: Sequence[str]) -> tuple[str, ...]:
    """The lines that give an address its names, each of the width of a slot at most. Pure.

    A name that is too long for any line is left out.
    """
    lines: list[str] = []
    for name in dict.fromkeys(names):
        if lines and len(lines[-1]) + 1 + len(name) <= WIDTH:
            lines[-1] += f" {name}"
        elif len(address) + 1 + len(name) <= WIDTH:
            lines.append(f"{address} {name}")
    return tuple(lines)


def new_file(own: bytes, lines: Sequence[str] = ()) -> bytes:
    """A hosts file: its own lines, with a comment up to where slots may begin, and slots. Pure."""
    own = own if own.endswith(b"\n") or not own else own + b"\n"
    return own + _padding(len(own)) + b"".join(map(_slot, lines))


def revision(held: bytes, add: Sequence[str], drop: Collection[str] = ()) -> tuple[Write, ...]:
    """The writes after which a file has the lines to add, and no more those to drop: offsets and bytes, in order. Pure.

    held: its content, up to LARGEST bytes. Between any two of the writes, readers see whole lines. What is added is
    there before anything is dropped; lines that find no place are left out.
    """
    writes: list[Write] = []
    free, end = _free_slots(held), len(held)
    for line in add:
        slot = _slot(line)
        if next(_places(held, slot), -1) >= 0:
            continue
        place = next(free, -1)
        if place < 0:
            padding = _padding(end, ends_line=end > len(held) or held[-1:] in (b"", b"\n"))
            if end + len(padding) + SIZE > LARGEST:
                break
            place = end + len(padding)
            end = place + SIZE
            writes.append((place - len(padding), padding + _FREE + slot[1:]))
        else:
            writes.append((place + 1, slot[1:]))
        writes.append((place, slot[:1]))
    for line in drop:
        if line not in add:
            writes += [(place, _FREE) for place in _places(held, _slot(line))]
    return tuple(writes)


def slots_in(held: bytes) -> tuple[str, ...]:
    """The lines in the slots of a file. Pure."""
    found = (held[at : at + SIZE] for at in range(0, len(held), SIZE))
    return tuple(
        slot[:WIDTH].decode(errors="replace").rstrip(" ")
        for slot in found
        if slot[WIDTH:] == _END and not slot.startswith(_FREE) and b"\n" not in slot[:WIDTH]
    )


def is_full(held: bytes) -> bool:
    """Whether no line can be added to a file. Pure."""
    return len(held) + 2 * SIZE > LARGEST and next(_free_slots(held), -1) < 0


def open_file(base: int, path: str, *, to_write: bool = True) -> int:
    """Open a hosts file beneath a directory, through no link. Raises FileNotFoundError, OSError.

    An app to which the file belongs may hold a lease on it, which would let this wait: then it fails at once.
    """
    flags = _OPEN if to_write else _OPEN & ~os.O_ACCMODE | os.O_RDONLY
    fd = syscalls.openat2(base, path, flags | os.O_NONBLOCK, _WITHIN)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return fd


def read(fd: int) -> bytes:
    """The content of a hosts file, as far as slots may be in it. Raises OSError."""
    return os.pread(fd, LARGEST, 0)


def revise(fd: int, add: Sequence[str], drop: Collection[str] = ()) -> None:
    """Add and drop lines, see revision. Raises OSError."""
    for place, data in revision(read(fd), add, drop):
        os.pwrite(fd, data, place)


def _slot(line: str) -> bytes:
    return line.encode().ljust(WIDTH) + _END


def _padding(end: int, *, ends_line: bool = True) -> bytes:
    """What leads from the end of a file to the next place of a slot; it ends a line that is not ended."""
    if not ends_line:
        return b"\n" + _padding(end + 1)
    room = -end % SIZE
    return b"#".ljust(room - 1) + b"\n" if room > 1 else b"\n" * room


def _places(held: bytes, slot: bytes) -> Iterator[int]:
    at = held.find(slot)
    while at >= 0:
        if at % SIZE == 0:
            yield at
        at = held.find(slot, at + 1)


def _free_slots(held: bytes) -> Iterator[int]:
    """The places of free slots, which begin a line."""
    at = held.find(b"\n" + _FREE) + 1
    while at > 0:
        slot = held[at : at + SIZE]
        if at % SIZE == 0 and slot[WIDTH:] == _END and b"\n" not in slot[:WIDTH]:
            yield at
        at = held.find(b"\n" + _FREE, at) + 1
