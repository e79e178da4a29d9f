# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The waiting process of an app that may be started again, and that of its pre-start handler.

The supervisor can neither enter an app's root nor become its user. So a process that has done both, and has no more
rights than the app, stays beside it, outside of the app's leaf cgroup, which is killed after each end. For each order
of PID 1 it forks a process that forks the app's and ends: PID 1 is the parent of the latter then. Nothing is imported
here once the root is the app's, see app. Source: pid_namespaces(7), cgroups(7).
"""

from __future__ import annotations

import os
import sys

from ...errors import HostFailure
from ...host import syscalls
from ...value import Value
from ..pid1 import frames
from . import sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_MOST_DIGITS = 32
_FAILED = 254
_KILLED = "the process of the app was killed before it was started"


class PreStart(Value):
    """The process of a pre-start handler, which has dropped its privileges and waits. fd: by which it is started.

    again: whether it forks another process for each start, see waiting, instead of becoming the handler.
    """

    pid: int
    fd: int
    again: bool


def enter_pids(process: int) -> None:
    """Have the children of this process in the PID namespace of another one. process: its pidfd, -1 for no change."""
    if process >= 0:
        syscalls.setns(process, syscalls.CLONE_NEWPID)
        os.close(process)


def move_in(exec_fd: int) -> None:
    """Go on as a process of the PID namespace for children, whose parent is PID 1; the one that calls this ends.

    exec_fd: tells the other side the PID, -1 for nothing. A single fork would not do: the parent of the child would be
    outside of the namespace. Raises OSError.
    """
    release, released = os.pipe2(os.O_CLOEXEC)
    told, tell = os.pipe2(os.O_CLOEXEC)
    between = os.fork()
    if between == 0:
        _fork_and_end(tell)
        for fd in (released, told, tell):
            os.close(fd)
        if not os.read(release, 1):
            os._exit(_FAILED)
        os.close(release)
        return
    os.close(tell)
    pid = os.read(told, _MOST_DIGITS)
    status = os.waitpid(between, 0)[1]  # its child is that of PID 1 only now
    if not pid:
        code = os.WEXITSTATUS(status)
        if not code:
            raise HostFailure(_KILLED, "another app of the pod that is root may kill all of its processes")
        raise OSError(code, os.strerror(code))
    if exec_fd >= 0:
        sync.send(exec_fd, frames.FORKED, 0, int(pid))
    os.write(released, b"g")
    os._exit(0)


def serve(exec_fd: int, order: int, go: int, join: Callable[[], None], handlers: int) -> int:
    """Fork the app's process, the first one at once and another one for each byte of order.

    Returns in each of these processes alone: the number of the start. The process is in the leaf by then, which join
    enters, and PID 1 is its parent and knows its PID. exec_fd: tells PID 1 that, and later that the app was executed.
    go: of the first start, which reads it. handlers: the process that runs pre-start handlers, if that is its child:
    without it there are no more starts; else 0.
    """
    number = 1
    while True:
        if handlers and os.waitpid(handlers, os.WNOHANG)[0]:
            os._exit(_FAILED)
        if _fork_app(number, exec_fd, join):
            os.close(order)
            return number
        if number == 1:
            os.close(go)
        if not os.read(order, 1):
            os._exit(0)
        number += 1


def serve_handlers(requests: int, run: Callable[[], None]) -> NoReturn:
    """Fork a process for each request, which run makes the handler, and answer with its wait status."""
    while True:
        number = os.read(requests, _MOST_DIGITS)
        if not number:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            os.close(requests)
            try:
                os.setsid()
                run()
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(_FAILED)
        os.write(requests, b"%s %d" % (number, os.waitpid(pid, 0)[1]))


def ask_handler(requests: int, number: int) -> int:
    """Have the handler run for a start. Returns its wait status; that of _FAILED when its process has ended."""
    asked = b"%d" % number
    try:
        os.write(requests, asked)
        while True:
            # An answer to the request of a start that has ended meanwhile may come first.
            answered, _space, status = os.read(requests, _MOST_DIGITS).partition(b" ")
            if answered == asked or not answered:
                return int(status or _FAILED << 8)
    except OSError:
        return _FAILED << 8


def _fork_app(number: int, exec_fd: int, join: Callable[[], None]) -> bool:
    """Fork the app's process and wait until it is executed or has ended. Returns whether this is that process."""
    try:
        release, released = os.pipe2(os.O_CLOEXEC)
        told, tell = os.pipe2(os.O_CLOEXEC)
        between = os.fork()
    except OSError as err:
        _tell_failure(exec_fd, number, err.errno)
        return False
    if between == 0:
        _fork_and_end(tell)
        # The app's process. It keeps tell, which the exec closes.
        os.close(released)
        os.close(told)
        join()
        if not os.read(release, 1):
            os._exit(_FAILED)  # the waiting process has ended
        os.close(release)
        return True
    os.close(release)
    os.close(tell)
    pid = os.read(told, _MOST_DIGITS)
    status = os.waitpid(between, 0)[1]
    if pid:
        # Its parent is PID 1 from now on.
        sync.send(exec_fd, frames.FORKED, number, int(pid))
        os.write(released, b"g")
        os.read(told, _MOST_DIGITS)
        sync.send(exec_fd, frames.EXECUTED, number)
    else:
        _tell_failure(exec_fd, number, os.WEXITSTATUS(status))
    os.close(released)
    os.close(told)
    return False


def _fork_and_end(tell: int) -> None:
    """Fork the app's process, in which this returns; the one that called this tells the PID and ends."""
    try:
        pid = os.fork()
        if pid == 0:
            return
        os.write(tell, b"%d" % pid)
    except OSError as err:
        os._exit(err.errno or 1)
    os._exit(0)


def _tell_failure(exec_fd: int, number: int, code: int | None) -> None:
    why = f"its process could not be forked: {os.strerror(code)}" if code else _KILLED
    sync.send(exec_fd, frames.NOT_EXECUTED, why, "")
    sync.send(exec_fd, frames.FORKED, number, 0)
