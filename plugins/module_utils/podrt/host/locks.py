# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks by flock(2), as context managers. A lock is released with its file descriptor, also when the process dies."""

from __future__ import annotations

import errno
import fcntl
import os
import time

from ..errors import Conflict, Corrupt, reason_of
from .files import make_dirs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

# Work under a lock takes a fraction of a second, unless it includes a download.
SECONDS = 300.0
_SHORTEST_POLL, _LONGEST_POLL = 0.001, 0.05


class FileLock:
    """A lock on a file or directory; a missing file is created, with its directory.

    Waits up to timeout seconds, then raises Conflict, which names the holder. fd is the descriptor.
    """

    def __init__(self, path: str, *, shared: bool = False, timeout: float = SECONDS) -> None:
        self.path = path
        self.fd = -1
        self._shared = shared
        self._timeout = timeout

    def __enter__(self) -> FileLock:
        while True:
            self.fd = open_for_lock(self.path)
            try:
                self._acquire()
                if self._is_in_place():
                    return self
            except BaseException:
                os.close(self.fd)
                raise
            os.close(self.fd)

    def remove(self) -> None:
        """Remove the file of a lock that is held; a process that waits for it creates it again."""
        os.unlink(self.path)

    def release(self) -> None:
        """Give it up, also where processes that were started meanwhile have inherited the descriptor."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def _is_in_place(self) -> bool:
        """Whether the path is still the locked file: its holder may have removed it."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def _acquire(self) -> None:
        end = time.monotonic() + self._timeout
        pause = _SHORTEST_POLL
        while not try_lock(self.fd, shared=self._shared):
            if time.monotonic() > end:
                holder = holders(self.path) or "another process"
                raise Conflict(
                    f"cannot lock {self.path} within {self._timeout:g} seconds: it is held by {holder}",
                    "wait for the other operation to end, then try again",
                    path=self.path,
                    holder=holder,
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)


def open_for_lock(path: str) -> int:
    """Open a file or directory to lock it; create a missing file and its directory. The caller closes it.

    Raises Corrupt, OSError.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC
    if os.path.isdir(path):
        return os.open(path, flags | os.O_DIRECTORY)
    try:
        return _open_file(path, flags)
    except FileNotFoundError:
        make_dirs(os.path.dirname(path))
        return _open_file(path, flags)


def _open_file(path: str, flags: int) -> int:
    """Open or create the file of a lock; never blocks on a FIFO in its place. Raises Corrupt naming it."""
    try:
        return os.open(path, flags | os.O_CREAT | os.O_NONBLOCK, 0o600)
    except OSError as err:
        if err.errno not in (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR):
            raise
        raise Corrupt(
            f"cannot lock {path}: {reason_of(err)}", f"it is not a file: remove {path}", path=path
        ) from err


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Take the lock unless it is held. Returns whether it was taken."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as err:
        if err.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return False
        raise
    return True


def holders(path: str) -> str:
    """The processes that hold a lock on a file, for an error: "podctl (pid 71)"; "" if unknown."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii", errors="replace") as table:
            pids = [
                line.split()[4] for line in table if "FLOCK" in line and line.split()[5].endswith(f":{inode}")
            ]
    except (OSError, IndexError):
        return ""
    return ", ".join(_named(pid) for pid in dict.fromkeys(pids) if pid != "-1")


def _named(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()} (pid {pid})"
    except OSError:
        return f"pid {pid}"
