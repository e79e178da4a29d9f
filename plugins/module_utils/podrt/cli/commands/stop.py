# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl stop. Source: behaviours A42, D12."""

from __future__ import annotations

from ...errors import Conflict, HostFailure, PodError
from ...pod.lifecycle import PodState
from ..podargs import alone_with, name_meant, resolve, some_arguments
from ..running import leaving_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pod.lifecycle import Pod
    from ..call import Call

_NEVER_RAN = (PodState.EMBRYO, PodState.PREPARING, PodState.ABORTED_PREPARE, PodState.PREPARED)


def stop(call: Call) -> int:
    """Ask pods to end, without waiting for it."""
    failed = 0
    for text in some_arguments(call):
        try:
            name = name_meant(call, text)
            with alone_with(call, text, name) if name else resolve(call, text) as pod:
                _stop(call, pod)
        except PodError as err:
            call.complain(err)
            failed += 1
    if failed:
        raise HostFailure(f"failed to stop {failed} pod(s)")
    return 0


def _stop(call: Call, pod: Pod) -> None:
    state, force = pod.state(), call.options.on("force")
    if state in _NEVER_RAN:
        raise Conflict(f'pod "{pod.uuid}" is not running')
    if state is not PodState.RUNNING:
        call.tell(f'pod "{pod.uuid}" is already stopped')
        return
    if not _stop_unit(call, pod) or force:
        from ...stage1.starter.farewell import give_back_at_end
        from ...stage1.starter.stop import stop as stop_pod

        with leaving_failure(pod, "stop"):
            stop_pod(pod, force=force)
        give_back_at_end(call.host, pod)
    call.tell(f'"{pod.uuid}"')


def _stop_unit(call: Call, pod: Pod) -> bool:
    """Have systemd stop a pod that is a unit, so that it knows; returns whether the pod is one."""
    if not call.host.runs_systemd:
        return False
    from ...stage0 import start, units
    from ...stage0.gc import name_of

    name = name_of(pod)
    if not start.is_unit(call.host, pod, name):
        return False
    units.stop(call.host, name, wait=False)
    return True


ENTRIES: dict[str, Callable[[Call], int]] = {"stop": stop}
