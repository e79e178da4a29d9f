# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of an app that is added to a running pod, started before it is known what for.

To start an interpreter takes longer than all that it does then. So start-app begins with it, and hands it the app's
descriptors once these are open. It is outside of the pod, and of the builder, until it enters what that has built.
"""

from __future__ import annotations

import _signal
import _socket
import marshal
import os
import resource
import select
import sys
import time

from ...errors import HostFailure
from ...host import syscalls
from ...host.reading import kernel_text
from ...host.syscalls import CLONE_NEWNS, MS_REC, MS_SLAVE
from . import sync
from .process import fork_in_leaf, set_oom_score
from .program import execute_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .wires import ChildWires

# The most descriptors of one message. Source: unix(7), SCM_MAX_FD.
_MOST_FDS = 250
_MOST_BYTES = 4096
_FIRST_FD = 3
# Source: getrlimit(2), linux/resource.h.
_LIMITS = range(16)


class Ahead:
    """The process, and this side of its channel."""

    def __init__(self, pid: int, channel: int) -> None:
        self._pid = pid
        self._channel = channel

    def take_bounds(self, process: int) -> None:
        """Give it the limits and the OOM score of another process, as a child of that would have them.

        Raises HostFailure.
        """
        try:
            for number in _LIMITS:
                resource.prlimit(self._pid, number, resource.prlimit(process, number))
            score = int(kernel_text(f"/proc/{process}/oom_score_adj"))
        except OSError as err:
            raise HostFailure.of("cannot give the process of the app the limits of its pod", err) from err
        set_oom_score(score, self._pid)

    def become(self, wires: ChildWires, leaf: int) -> None:
        """Have it become the app of these descriptors. leaf: that of AppWires. Raises HostFailure."""
        every = (leaf, *wires.fds)
        fds = [fd for fd in every if fd >= 0]
        head = marshal.dumps((len(wires.sockets), [fd >= 0 for fd in every]))
        channel = _socket.socket(fileno=self._channel)
        try:
            channel.sendmsg([head])
            for at in range(0, len(fds), _MOST_FDS):
                channel.sendmsg([b"\0"], [sync.passing(fds[at : at + _MOST_FDS])])
        except (BrokenPipeError, ConnectionResetError) as err:
            raise sync.app_has_died() from err
        except OSError as err:
            raise _not_started(err) from err
        finally:
            channel.detach()

    def await_end(self, end: float) -> None:
        """Wait until it has ended, as it does once the app is in the pod: that is another process there.

        end: for how long, a time of time.monotonic. Raises HostFailure.
        """
        process = os.pidfd_open(self._pid)
        try:
            poll = select.poll()
            poll.register(process, select.POLLIN)
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise HostFailure(
                    "the process of the app does not move into the pod", "look for what holds it still"
                )
        finally:
            os.close(process)
        self._reap()

    def end(self) -> None:
        """Kill it, if it has not ended."""
        os.close(self._channel)
        if self._pid:
            os.kill(self._pid, _signal.SIGKILL)
            self._reap()

    def _reap(self) -> None:
        os.waitpid(self._pid, 0)
        self._pid = 0


def begin() -> Ahead:
    """Start the process. It ends with this one. Raises HostFailure."""
    ours, theirs = sync.channel()
    try:
        pid = os.fork()
    except OSError as err:
        raise _not_started(err) from err
    if pid == 0:
        os.close(ours)
        _become_interpreter(theirs)
    os.close(theirs)
    return Ahead(pid, ours)


def _not_started(err: OSError) -> HostFailure:
    return HostFailure.of("cannot start the process of the app", err)


def _become_interpreter(channel: int) -> NoReturn:
    """Execute the interpreter, from a read-only mount: see app."""
    from ..plan.roots import own_null
    from .enclosure import protect_interpreter  # what comes of this process needs none of it

    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)
        os.setsid()
        # It cannot open that of the app, and what the caller has there is not for the app.
        os.dup2(own_null(os.O_RDONLY), 0)
        syscalls.unshare(CLONE_NEWNS)
        syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
        protect_interpreter()
        execute_module("ahead", b"", (channel,))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def main(_plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Become the app whose descriptors come by the channel. The program of execute_module."""
    from .app import become

    channel = _socket.socket(fileno=fds[0])
    head = channel.recv(_MOST_BYTES)
    if not head:
        os._exit(0)  # there is nothing to become
    sockets, there = marshal.loads(head)
    come: list[int] = []
    while len(come) < sum(there):
        _data, parts, flags, _from = channel.recvmsg(1, _socket.CMSG_SPACE(sync.FD_BYTES * _MOST_FDS))
        if not parts or flags & _socket.MSG_CTRUNC:
            os._exit(1)  # the other side has ended, or this process may not have so many
        for _level, _kind, data in parts:
            come += sync.passed(data)
    numbers = iter(come)
    leaf, *rest = (next(numbers) if is_there else -1 for is_there in there)
    pid, born = fork_in_leaf(leaf)
    if pid == 0:
        become(tuple(rest), sockets, born=born)
    syscalls.close_range(_FIRST_FD)
    os.waitpid(pid, 0)
    os._exit(0)
