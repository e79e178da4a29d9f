# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl stop. Source: behaviours A42, D12."""

from __future__ import annotations

from ...errors import Conflict, HostFailure, PodError
from ...pod.lifecycle import PodState
from ..podargs import resolve, some_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..call import Call

_NEVER_RAN = (PodState.EMBRYO, PodState.PREPARING, PodState.ABORTED_PREPARE, PodState.PREPARED)


def stop(call: Call) -> int:
    """Tell pods to end; does not wait for it."""
    failed = 0
    for text in some_arguments(call):
        try:
            _stop(call, text)
        except PodError as err:
            call.complain(err)
            failed += 1
    if failed:
        raise HostFailure(f"failed to stop {failed} pod(s)")
    return 0


def _stop(call: Call, text: str) -> None:
    with resolve(call, text) as pod:
        state = pod.state()
        if state in _NEVER_RAN:
            raise Conflict(f'pod "{pod.uuid}" is not running')
        if state is not PodState.RUNNING:
            call.tell(f'pod "{pod.uuid}" is already stopped')
            return
        from ...stage1.stop import stop as stop_pod

        stop_pod(pod, force=call.options.on("force"))
        call.tell(f'"{pod.uuid}"')


ENTRIES: dict[str, Callable[[Call], int]] = {"stop": stop}
