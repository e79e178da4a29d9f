# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of a pod's apps, on its way to their logs, the console and a journal.

Part of the supervisor: imports built-in modules only.
"""

from __future__ import annotations

import posix
import time

# A pipe that poll(2) calls writable takes this much at once. Source: pipe(7), PIPE_BUF.
_PIECE = 4096
_MOST_WAITING = 1 << 16
_RETRY_SECONDS = 1.0


class Log:
    """The log of an app: a file of at most max_bytes, and older files that are overwritten in turn.

    fds: the newest file, for appending, and the older ones. All are open from the beginning and stay in place, since
    this process has no directory in which it could create or rename one: the content of the first is copied.
    """

    def __init__(self, fds: list[int], max_bytes: int) -> None:
        self._fd, *self._older = fds
        self._max_bytes = max_bytes
        self._turn = len(self._older)
        self._size = posix.fstat(self._fd).st_size
        self._next_try = 0.0

    @property
    def files(self) -> list[int]:
        """All its descriptors."""
        return [self._fd, *self._older]

    def write(self, line: bytes) -> None:
        """Append a line. A full disk costs lines, not the pod."""
        try:
            if self._size and self._size + len(line) > self._max_bytes:
                self._turn_over()
            self._size += posix.write(self._fd, line)
        except OSError:
            pass

    def _turn_over(self) -> None:
        """Empty the file once it is copied to the place of the oldest. Raises OSError."""
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
    """A destination of lines that another process reads: the console, a journal. Never blocks; -1 drops them."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.is_terminal = fd >= 0 and posix.isatty(fd)
        self.waiting = bytearray()

    def put(self, data: bytes) -> None:
        """Queue data to be written."""
        if self.fd >= 0:
            self.waiting += data

    def is_full(self) -> bool:
        """Whether no more should be put: the apps then wait for the reader, as they would without us."""
        return len(self.waiting) > _MOST_WAITING

    def flush(self) -> bool:
        """Write as much as the descriptor takes. Returns whether it is still good."""
        try:
            del self.waiting[: posix.write(self.fd, bytes(self.waiting[:_PIECE]))]
        except BlockingIOError:
            pass
        except OSError:
            self.fd = -1
            self.waiting.clear()
        return self.fd >= 0


def for_terminal(line: bytes) -> bytes:
    """A line that is safe for a terminal: what could move its cursor or forge another line is escaped, except tabs.

    Like errors.printable, which cannot be imported here.
    """
    text = line.decode("utf-8", "backslashreplace").rstrip("\r")
    if text.isprintable():
        return text.encode()
    return "".join(c if c == "\t" or c.isprintable() else ascii(c)[1:-1] for c in text).encode()


def timestamp() -> bytes:
    """The time as the lines of a log have it."""
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{nanos // 1000:06d}Z".encode()
