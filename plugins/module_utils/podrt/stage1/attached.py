# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that is attached to an app of a running pod: it carries between its own standard files and the app's.

One process at a time is attached to an app. It may die or be slow: the app does not wait for it, see
starter.attachable. Source: behaviours A8; rkt attach.
"""

from __future__ import annotations

import _signal
import errno
import fcntl
import os
import select
import termios

from ..contexts import contextmanager, suppress
from ..errors import Conflict, HostFailure
from ..host import syscalls
from ..host.files import open_beneath, write_all
from ..host.locks import try_lock
from ..host.reading import read_text
from .inside.terminal import make_raw, restore
from .plan.stdio import TTY
from .starter.attachable import terminal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..pod.lifecycle import Pod

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_CHUNK = 1 << 14
_OUTPUTS = {"stdout": _STDOUT, "stderr": _STDERR, "tty-out": _STDOUT}
_PIPE = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
# As in docker: the keys that end it while the caller's terminal is in raw mode, Ctrl-P and Ctrl-Q.
_DETACH = b"\x10\x11"
_PTMX = os.makedev(5, 2)
_WINDOW_BYTES = 8


class AttachedApp:
    """The ends of an app that this process has. process: PID 1 of the pod, by a pidfd."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.input = -1
        self.is_terminal = False
        self.outputs: dict[int, int] = {}


@contextmanager
def attached(pod: Pod, app: str, pid: int, endpoints: Sequence[str]) -> Iterator[AttachedApp]:
    """Attach to endpoints of an app, see Stdio. pid: PID 1 of the pod. Raises Conflict, HostFailure."""
    fds: list[int] = []
    try:
        directory = open_beneath(pod.dir.attachment(app), pod.dir.path)
        fds.append(directory)
        if not try_lock(directory):
            raise Conflict(f'another process is attached to app "{app}" of pod "{pod.uuid}"', "end it first")
        found = AttachedApp(os.pidfd_open(pid))
        fds.append(found.process)
        for name in endpoints:
            if name == "tty-in":
                number = int(read_text(f"{pod.dir.attachment(app)}/{TTY}", beneath=pod.dir.path))
                found.input, found.is_terminal = _master(found.process, pid, number), True
                fds.append(found.input)
                continue
            fd = os.open(name, (os.O_WRONLY if name == "stdin" else os.O_RDONLY) | _PIPE, dir_fd=directory)
            fds.append(fd)
            if name == "stdin":
                found.input = fd
            else:
                found.outputs[fd] = _OUTPUTS[name]
        yield found
    except BrokenPipeError:
        raise
    except OSError as err:
        raise HostFailure.of(f'cannot attach to app "{app}" of pod "{pod.uuid}"', err) from err
    finally:
        for fd in fds:
            os.close(fd)


def carry(found: AttachedApp) -> None:
    """Carry input and output until the app ends, or the caller detaches."""
    before = make_raw() if found.is_terminal else None
    resized = _signal.signal(_signal.SIGWINCH, lambda _number, _frame: _fit(found))
    try:
        _fit(found)
        _Carrier(found).run()
    finally:
        _signal.signal(_signal.SIGWINCH, resized)
        restore(before)


class _Carrier:
    """What goes between the caller and the app, and what of it is still there."""

    def __init__(self, found: AttachedApp) -> None:
        self._found = found
        self._outputs = {*found.outputs}
        self._last = b""
        self._poll = select.poll()
        for fd in (*self._outputs, found.process):
            self._poll.register(fd, select.POLLIN)
        self._takes_input = found.input >= 0
        if self._takes_input:
            self._poll.register(_STDIN, select.POLLIN)
            # Its error or hang-up alone: the app has no input any more.
            self._poll.register(found.input, 0)

    def run(self) -> None:
        """Carry until nothing is left that could be."""
        while self._outputs or (self._takes_input and not self._found.outputs):
            ready = [fd for fd, _event in self._poll.poll()]
            carried = [self._repeat(fd) for fd in ready if fd in self._outputs]
            if self._found.process in ready and not any(carried):
                return
            if self._takes_input and self._found.input in ready:
                self._end_input()
            if self._takes_input and _STDIN in ready and not self._take(_read(_STDIN)):
                return

    def _repeat(self, fd: int) -> bool:
        """Carry what is there of an output, and leave it at its end. Returns whether something was."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        write_all(self._found.outputs[fd], data)
        if not data:
            self._outputs.remove(fd)
            self._poll.unregister(fd)
        return bool(data)

    def _take(self, keys: bytes | None) -> bool:
        """Give the app what the caller has said. Returns False if the caller detaches."""
        if keys is None:
            return True
        if self._found.is_terminal and (self._last + keys).endswith(_DETACH):
            return False
        self._last = keys[-1:]
        if not keys or not _give(self._found.input, keys):
            self._end_input()
        return True

    def _end_input(self) -> None:
        self._takes_input = False
        self._poll.unregister(_STDIN)
        self._poll.unregister(self._found.input)


def _read(fd: int) -> bytes | None:
    """What is there, None if nothing is, b"" at the end."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        return None
    except OSError:  # a terminal that has hung up, a socket that was reset, no file at all
        return b""


def _give(fd: int, keys: bytes) -> bool:
    """Write input, however long the app takes to read it. Returns False when the app has none any more."""
    while keys:
        try:
            keys = keys[os.write(fd, keys) :]
        except BlockingIOError:
            select.select((), (fd,), ())
        except OSError:
            return False
    return True


def _fit(found: AttachedApp) -> None:
    """Give the app's terminal the size of the caller's."""
    if not found.is_terminal:
        return
    with suppress(OSError):
        size = fcntl.ioctl(_STDIN, termios.TIOCGWINSZ, bytes(_WINDOW_BYTES))
        fcntl.ioctl(found.input, termios.TIOCSWINSZ, size)


def _master(process: int, pid: int, number: int) -> int:
    """A copy of the descriptor that PID 1 has of the master of the app's terminal. number: of that terminal.

    Raises OSError.
    """
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.stat(f"/proc/{pid}/fd/{name}").st_rdev != _PTMX:
            continue
        fd = syscalls.pidfd_getfd(process, int(name))
        if terminal_number(fd) == number:
            return fd
        os.close(fd)
    raise OSError(errno.ENXIO, "its terminal is gone")
