# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry run of stage1: a prepared pod, run to its end or left alone once it has started.

Source: behaviours A26 to A30, D11, D27.
"""

from __future__ import annotations

import _signal
import os

from ..errors import PodError
from .execution import pass_on
from .start import Request, start, warn
from .teardown import take_down

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from .start import Pid1

_STOPS = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT)


def run(host: Host, uuid: str, lock_fd: int, *, detach: bool = False, interactive: bool = False) -> int:
    """Run the pod in state run whose lock lock_fd carries.

    In the foreground until it ends: returns its status, and dies as PID 1 did when that was killed. Detached until
    every app has been started: returns 0. Raises PodError when it cannot be started, with nothing left of it but its
    files.
    """
    _fill_stdio()
    terminal = None
    if interactive and os.isatty(0):
        from .terminal import Terminal

        terminal = Terminal()
    request = Request(host, uuid, lock_fd, detach, not interactive, terminal)
    if detach:
        start(request)
        return 0
    # Blocked until they can be passed on: one that comes before is pending for the pod as well as for us.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _STOPS)
    try:
        child = start(request)
        status = _wait(request, child)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
    try:
        take_down(host, uuid, request.pod)
    except PodError as err:
        warn(err.message)
    return pass_on(status)


def _wait(request: Request, child: Pid1) -> int:
    """Wait for the pod's end; a signal that asks us to stop asks the pod to."""

    def stop(_number: int, _frame: object) -> None:
        if child.status is None:
            os.kill(child.pid, _signal.SIGTERM)

    handlers = [(number, _signal.signal(number, stop)) for number in _STOPS]
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _STOPS)
    try:
        if request.terminal:
            request.terminal.relay(child.pid)
        return child.wait()
    finally:
        for number, handler in handlers:
            _signal.signal(number, handler)


def _fill_stdio() -> None:
    """Open /dev/null for what is closed of 0, 1 and 2: a descriptor of ours would take the place."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)
