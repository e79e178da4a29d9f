# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the apps of a pod say, on its way to their logs, the console and a journal.

Part of the supervisor, and so of built-in modules alone.
"""

from __future__ import annotations

import posix
import time

# A pipe that poll(2) calls writable takes this much at once. Source: pipe(7), PIPE_BUF.
_PIECE = 4096
_MOST_WAITING = 1 << 16
_RETRY_SECONDS = 1.0


class Log:
    """The log of an app: a file of at most max_bytes, and older ones in files that take turns.

    fds: the newest file, for appending, and those of the older ones. All are open from the beginning and stay in place,
    since this process has no directory in which it could make or rename one: what fills the first is copied.
    """

    def __init__(self, fds: list[int], max_bytes: int) -> None:
        self._fd, *self._older = fds
        self._max_bytes = max_bytes
        self._turn = len(self._older)
        self._size = posix.fstat(self._fd).st_size
        self._next_try = 0.0

    def write(self, line: bytes) -> None:
        """Append a line. A full disk costs lines, not the pod."""
        try:
            if self._size and self._size + len(line) > self._max_bytes:
                self._turn_over()
            self._size += posix.write(self._fd, line)
        except OSError:
            pass

    def _turn_over(self) -> None:
        """Begin the file again once it is kept elsewhere, in the place of the oldest. Raises OSError."""
        if time.monotonic() < self._next_try:
            raise BlockingIOError
        self._next_try = time.monotonic() + _RETRY_SECONDS
        if self._older:
            self._turn = (self._turn or len(self._older)) - 1
            self._copy_to(self._older[self._turn])
        posix.ftruncate(self._fd, 0)
        self._size, self._next_try = 0, 0.0

    def _copy_to(self, older: int) -> None:
        posix.ftruncate(older, 0)
        posix.lseek(older, 0, 0)
        done = 0
        while done < self._size:
            taken = posix.sendfile(older, self._fd, done, self._size - done)
            if not taken:
                return
            done += taken


class Sink:
    """Where lines go that another process reads: the console, a journal. Writing never waits; -1 takes nothing."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_terminal = fd >= 0 and posix.isatty(fd)
        self.waiting = bytearray()

    def put(self, data: bytes) -> None:
        """Take in what is to be written."""
        if self.fd >= 0:
            self.waiting += data

    def is_full(self) -> bool:
        """Whether no more should be put: the apps then wait for the reader, as they would without us."""
        return len(self.waiting) > _MOST_WAITING

    def flush(self) -> bool:
        """Write what a writable descriptor takes; whether it is still good."""
        try:
            del self.waiting[: posix.write(self.fd, bytes(self.waiting[:_PIECE]))]
        except BlockingIOError:
            pass
        except OSError:
            self.fd = -1
            self.waiting.clear()
        return self.fd >= 0


def for_terminal(line: bytes) -> bytes:
    """A line as a terminal may have it: what could move its cursor or forge another line is escaped, but for tabs.

    As errors.printable does it, which cannot be imported here.
    """
    text = line.decode("utf-8", "backslashreplace").rstrip("\r")
    if text.isprintable():
        return text.encode()
    return "".join(c if c == "\t" or c.isprintable() else ascii(c)[1:-1] for c in text).encode()


def timestamp() -> bytes:
    """The time as lines of a log begin."""
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{nanos // 1000:06d}Z".encode()
