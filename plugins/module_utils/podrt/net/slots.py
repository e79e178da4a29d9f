# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts file of an app whose pod lists others: its own lines, then slots, which are rewritten in place.

The file is bind-mounted, so that it can never be replaced; and readers may come at any moment, so that it is never
truncated, and no byte moves. A slot is 128 bytes, at a multiple of 128: none crosses a boundary of 1 KB, in which musl
reads, nor of any larger power of two, as glibc and others have. It is a line of 126, padded by spaces, then a tab and a
newline. One that is free begins with "#".

A line is written behind the "#" of a free slot, and then over it: at each moment the file has only whole lines and
comments. One pwrite(2) of the slot is not enough, since the kernel copies it byte by byte while others read.

An app may write the file, and anything into it. What is not a slot is the app's own, and stays; places are found by
reading the file, and never by what was there before.
"""

from __future__ import annotations

import errno
import os
import stat

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
_TAIL = 4096
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC


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


def revision(
    held: bytes, add: Sequence[str], drop: Collection[str] = (), *, new: bool = False, at: int = 0
) -> tuple[Write, ...]:
    """The writes after which a file has the lines to add, and no more those to drop: offsets and bytes, in order. Pure.

    held: its content, up to LARGEST bytes, from a place of a slot on. new: whether it is known to have none of those to
    add. Between any two of the writes, readers see whole lines. What is added is there before anything is dropped;
    lines that find no place are left out.
    """
    writes: list[Write] = []
    behind: list[bytes] = []
    free = _free_slots(held, first=at == 0)
    for line in dict.fromkeys(add):
        slot = _slot(line)
        if not new and next(_places(held, slot), -1) >= 0:
            continue
        number = next(free, -1)
        if number < 0:
            behind.append(slot)
        else:
            writes += [(at + number + 1, slot[1:]), (at + number, slot[:1])]
    if behind:
        end = at + len(held)
        padding = _padding(end, ends_line=held[-1:] in (b"", b"\n"))
        room = max(0, LARGEST - end - len(padding)) // SIZE
        # The file grows by a page or less at a time, and so by whole slots.
        writes += [(end, padding + b"".join(behind[:room]))] if room else []
    for line in drop:
        if line not in add:
            writes += [(at + number, _FREE) for number in _places(held, _slot(line))]
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


def open_file(base: int, path: str) -> int:
    """Open a hosts file beneath a directory to revise it, through no link. Raises FileNotFoundError, OSError.

    An app to which the file belongs may hold a lease on it, which would let this wait: then it fails at once.
    """
    from ..host import syscalls  # ctypes, which a task that only reads does not need

    fd = syscalls.openat2(base, path, _OPEN, syscalls.RESOLVE_NO_SYMLINKS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return fd


def read(fd: int) -> bytes:
    """The content of a hosts file, as far as slots may be in it. Raises OSError."""
    # A buffer of the largest size would cost more than all else that is done with the file.
    return os.pread(fd, min(os.fstat(fd).st_size + SIZE, LARGEST), 0)


def revise(fd: int, add: Sequence[str], drop: Collection[str] = ()) -> None:
    """Add and drop lines, see revision. Raises OSError."""
    for place, data in revision(read(fd), add, drop):
        os.pwrite(fd, data, place)


def append(fd: int, add: Sequence[str], known: int) -> None:
    """Add lines that a file does not have yet, and that has so many others. Raises OSError.

    Only its end is searched for free slots, unless it is far longer than it has to be.
    """
    size = os.fstat(fd).st_size
    if size > _TAIL + 2 * SIZE * known:
        writes = revision(read(fd), add, new=True)
    else:
        at = max(0, size - _TAIL) // SIZE * SIZE
        writes = revision(os.pread(fd, _TAIL + SIZE, at), add, new=True, at=at)
    for place, data in writes:
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


def _free_slots(held: bytes, *, first: bool = True) -> Iterator[int]:
    """The places of free slots, which begin a line. first: whether what is held begins the file, and so a line."""
    firsts = held[::SIZE]  # of each place: to look at each slot would take ten times as long
    number = firsts.find(_FREE)
    while number >= 0:
        place = number * SIZE
        slot = held[place : place + SIZE]
        begins_line = held[place - 1 : place] == b"\n" if place else first
        if slot[WIDTH:] == _END and begins_line and b"\n" not in slot[:WIDTH]:
            yield place
        number = firsts.find(_FREE, number + 1)
