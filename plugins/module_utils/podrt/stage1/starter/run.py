# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry run of stage1: a prepared pod, run to its end or detached once it has started.

Source: behaviours A26 to A30, D11, D27.
"""

from __future__ import annotations

import _signal
import os

from ...contexts import suppress
from ...errors import PodError
from ...host.execution import pass_on
from ...pod import holders
from ...pod.runspec import START_SECONDS
from ..telling import warn
from .first_process import STOPS
from .start import StartRequest, start
from .teardown import remove_groups, take_down

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.host import Host
    from .activation import PassedSocket


def run(
    host: Host,
    uuid: str,
    lock_fd: int,
    *,
    detach: bool = False,
    interactive: bool = False,
    seconds: int = START_SECONDS,
) -> int:
    """Run the pod in state run whose lock lock_fd holds.

    In the foreground until it ends: returns its status, or dies by the signal that killed PID 1. Detached until every
    app has been started: returns 0. Raises PodError when it cannot be started, or not within so many seconds; then only
    its files are left.
    """
    _fill_stdio()
    sockets: tuple[PassedSocket, ...] = ()
    if "LISTEN_FDS" in os.environ:
        from .activation import passed_sockets  # to most pods, none is passed

        sockets = passed_sockets()
    terminal = None
    if interactive:
        from ..inside.terminal import Terminal, standard_terminals
        from .given import protect_passed  # other pods get no files of the caller

        terminals = standard_terminals()
        terminal = Terminal(terminals) if terminals else None
        protect_passed()
    request = StartRequest(
        *(host, uuid, lock_fd, detach, not interactive, terminal), seconds=seconds, sockets=sockets
    )
    if detach:
        start(request)
        return 0
    # Blocked until they can be passed on: one that arrives earlier stays pending.
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, STOPS)
    try:
        child = start(request)
        if terminal and child.status is None:
            terminal.relay(child.pid)
        status = child.wait()
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
    try:
        remove_groups(uuid, request.pod)
    except PodError as err:
        warn(err.message)
    if holders.may_hold(host.paths, uuid, request.pod):
        from .farewell import give_back

        give_back(host, uuid, request.pod, lock_fd)
    return pass_on(status)


def rehearse(host: Host, uuid: str, lock_fd: int) -> None:
    """Start the prepared pod whose lock lock_fd holds, up to the point where its apps would begin, and take it down.

    Raises the PodError of a start. Only files that a start writes as well are left, but for the one that tells stage0
    to have what is left of the host taken down.
    """
    _fill_stdio()
    request = StartRequest(host, uuid, lock_fd, detach=True, rehearsal=True)
    start(request).wait()
    take_down(host, uuid, request.pod)
    with suppress(FileNotFoundError):
        os.unlink(request.pod.subcgroup)


def _fill_stdio() -> None:
    """Open /dev/null in place of closed standard files: one of our descriptors would get the number."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)
