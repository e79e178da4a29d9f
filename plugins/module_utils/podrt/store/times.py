# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The times of an archive's directories, which are set when these are complete; in a file beyond a bound of memory."""

from __future__ import annotations

import os

from ..host.files import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_HELD = 10_000
_BLOCK = 1 << 20


class Times:
    """Pairs of a path and a time in nanoseconds, in the order in which they were added.

    aside: the path at which the file is made, once it is needed; it is unlinked at once.
    """

    def __init__(self, aside: str) -> None:
        self._aside = aside
        self._fd = -1
        self._held: list[tuple[str, int]] = []

    def add(self, path: str, mtime: int) -> None:
        """Note the time of a directory. Raises OSError."""
        self._held.append((path, mtime))
        if len(self._held) >= _MOST_HELD:
            self._put_away()

    def __iter__(self) -> Iterator[tuple[str, int]]:
        if self._fd >= 0:
            yield from self._put_aside()
        yield from self._held

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _put_away(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self._aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.unlink(self._aside)
        write_all(self._fd, b"".join(b"%d %s\0" % (mtime, os.fsencode(path)) for path, mtime in self._held))
        self._held.clear()

    def _put_aside(self) -> Iterator[tuple[str, int]]:
        at, rest = 0, b""
        while True:
            block = os.pread(self._fd, _BLOCK, at)
            if not block:
                return
            at += len(block)
            *records, rest = (rest + block).split(b"\0")
            for record in records:
                mtime, _space, path = record.partition(b" ")
                yield os.fsdecode(path), int(mtime)
