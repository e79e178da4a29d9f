# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give back the memory that only the start of a pod needed. Part of the supervisor.

Of the files that an interpreter has mapped, such as its own, the start reads much that is not read again by a process
that waits. What is read again comes from the page cache. Source: madvise(2), malloc_trim(3), proc(5).
"""

from __future__ import annotations

import _ctypes
import gc
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MADV_DONTNEED = 4
_CHUNK = 4096
_MAPPING_WORDS = 6  # of the line that begins a mapping of a file, at least
# How much of a mapping is not that of the file: in memory, and in swap, where the first does not count it.
_WRITTEN = (b"Anonymous:", b"Swap:")
_LAST = b"VmFlags:"  # of the lines of a mapping


class _Word(_ctypes._SimpleCData):  # type: ignore[type-arg]  # it takes none when it runs
    _type_ = "L"


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL
    _restype_ = None


class _Libraries:
    _handle = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # those of this process


def give_back(mapped: str) -> None:
    """Free what garbage holds, and unmap the pages of files that this process only reads. mapped: the path of smaps."""
    gc.collect()
    if trim := _function("malloc_trim"):
        trim(_Word(0))
    if advise := _function("madvise"):
        # The interpreter, which reads itself meanwhile, has the lowest addresses.
        for first, end in reversed([*only_read(_lines(mapped))]):
            advise(_Word(first), _Word(end - first), _Word(_MADV_DONTNEED))


def only_read(lines: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Where mappings of files begin and end whose pages are all those of the file, for all time. lines: of smaps."""
    found: list[bytes] = []
    for line in lines:
        words = line.split(None, _MAPPING_WORDS) or [b":"]
        if not words[0].endswith(b":"):
            is_file = len(words) >= _MAPPING_WORDS and words[5].startswith(b"/") and b"w" not in words[1]
            found = words[0].split(b"-") if is_file else []
        elif words[0] in _WRITTEN and words[1] != b"0":
            found = []  # such as of what the linker has relocated, and then protected
        elif found and words[0] == _LAST:
            yield int(found[0], 16), int(found[1], 16)


def _function(name: str) -> _Function | None:
    """A function of the C library; None for one that it lacks, as not all have malloc_trim."""
    try:
        return _Function((name, _Libraries))  # type: ignore[arg-type]  # anything with a handle
    except AttributeError:
        return None


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a file, of which a part is in memory at a time. None of one that cannot be read."""
    rest = b""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return
    try:
        while chunk := posix.read(fd, _CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    except OSError:
        return
    finally:
        posix.close(fd)
