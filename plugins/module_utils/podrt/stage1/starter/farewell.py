# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release of a pod's addresses, ports and rules after its end, in the background.

Removing rules from the kernel costs 20 ms, for which neither a user that waits for the end of a pod nor one that stops
it should wait. So a separate process does it, without the pod's lock: a pod that takes over the port or the address of
one that has ended, and a gc that removes it, may do the same at the same time.
"""

from __future__ import annotations

import os
import select
import time

from ...contexts import suppress
from ...errors import PodError
from ...pod import documents, holders
from ...pod.lifecycle import PodState
from ...pod.runspec import LONGEST_POLL
from .stop import holds, supervisor_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.dirs import PodDir
    from ...host.host import Host
    from ...pod.lifecycle import Pod

# Beside the stop timeout of the pod: the time that a killed pod needs to end.
_MARGIN = 30.0
_POLL_SECONDS = 0.02


def give_back(host: Host, uuid: str, pod: PodDir, lock_fd: int) -> None:
    """Remove a pod that has just ended from its networks. lock_fd: its lock, which is released. Returns at once."""
    if _in_background(lock_fd):
        _leave(host, uuid, pod)


def release_at_end(host: Host, pod: Pod) -> None:
    """Do the same for a pod that was asked to stop, once it has ended. Returns at once."""
    if not holders.may_hold(host.paths, pod.uuid, pod.dir):
        return
    try:
        seconds = documents.read_runspec(pod.dir).stop_timeout + _MARGIN
    except (OSError, PodError):
        return
    if _in_background():
        # A gc that removes it meanwhile removes it from its networks as well.
        with suppress(PodError, OSError):
            if _has_ended(pod, seconds):
                _leave(host, pod.uuid, pod.dir)
        os._exit(0)


def _has_ended(pod: Pod, seconds: float) -> bool:
    """Wait so many seconds at most for the end of a pod. Returns whether it has ended."""
    end = time.monotonic() + seconds
    pid = supervisor_of(pod)
    if pid is not None and holds(pid, pod):
        with suppress(ProcessLookupError):
            poll = select.poll()
            poll.register(os.pidfd_open(pid), select.POLLIN)
            poll.poll(min(seconds, LONGEST_POLL) * 1000)
    # A process that ends releases its lock a moment after its descriptors.
    while pod.state() is PodState.RUNNING:
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _in_background(*fds: int) -> bool:
    """Fork. Returns whether this is the child, without the caller's stdio; False as well if the fork failed."""
    try:
        if os.fork():
            return False
    except OSError:
        return False
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    for fd in fds:
        os.close(fd)
    return True


def _leave(host: Host, uuid: str, pod: PodDir) -> None:
    from .networks import leave_networks

    try:
        with suppress(PodError, OSError):  # the next call that plans networks tries again
            # The links go with the network namespace, which the kernel takes down by itself.
            leave_networks(host.paths, uuid, pod, links=False)
    finally:
        os._exit(0)
