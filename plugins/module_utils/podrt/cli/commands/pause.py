# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl pause and unpause: the apps of pods held still, as docker pause does."""

from __future__ import annotations

from ...errors import Conflict, HostFailure, PodError
from ...pod import freezer
from ...pod.lifecycle import PodState
from ..podargs import resolve, some_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pod.lifecycle import Pod
    from ..call import Call


def pause(call: Call) -> int:
    """Hold the apps of pods still."""
    return _each(call, freezer.pause, paused=True)


def unpause(call: Call) -> int:
    """Let the apps of pods go on."""
    return _each(call, freezer.unpause, paused=False)


def _each(call: Call, change: Callable[[Pod], None], *, paused: bool) -> int:
    failed = 0
    for text in some_arguments(call):
        try:
            with resolve(call, text) as pod:
                _change(call, pod, change, paused=paused)
        except PodError as err:
            call.complain(err)
            failed += 1
    if failed:
        raise HostFailure(f"failed to {call.prefix} {failed} pod(s)")
    return 0


def _change(call: Call, pod: Pod, change: Callable[[Pod], None], *, paused: bool) -> None:
    if pod.state() is not PodState.RUNNING:
        raise Conflict(f'pod "{pod.uuid}" is not running')
    if freezer.is_settled(pod.dir, paused=paused):
        call.tell(f'pod "{pod.uuid}" is {"already" if paused else "not"} paused')
        return
    change(pod)
    call.tell(f'"{pod.uuid}"')


ENTRIES: dict[str, Callable[[Call], int]] = {"pause": pause, "unpause": unpause}
