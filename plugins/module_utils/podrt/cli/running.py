# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of stage1 for a pod, whose lines on standard error begin with "stage1". Source: behaviours A6, G8."""

from __future__ import annotations

from ..contexts import contextmanager
from ..errors import HostFailure, PodError
from ..stage1.entries import entries_of
from .call import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..pod.lifecycle import Pod
    from ..pod.runspec import RunSpec
    from .call import Call

_PREFIX = "stage1"


@contextmanager
def recording_failure(pod: Pod, stage: str) -> Iterator[None]:
    """Leave an error within in the pod's directory, for stage0 to read if it has called this."""
    try:
        yield
    except (PodError, OSError) as err:
        from ..pod.failure import record_failure  # only for failures

        known = err if isinstance(err, PodError) else HostFailure.of("the operating system refused", err)
        record_failure(pod.dir, known, stage)
        raise


def check_service(call: Call, runspec: RunSpec) -> None:
    """Raise Unreachable, before the state of a pod changes, if it cannot be registered. Source: behaviours A25."""
    if runspec.mds_register:
        from ..mds.register import check_reachable  # few pods are

        check_reachable(call.host.paths)


def begin_run(pod: Pod) -> None:
    """Move a pod that has just been made to run; one that cannot be moved is discarded."""
    try:
        pod.move("run", synced=False)  # nor are its files
    except BaseException:
        pod.discard()
        raise


def run_pod(call: Call, pod: Pod, *, detach: bool = False, interactive: bool = False) -> int:
    """Run a pod in state run whose lock is held; returns its exit status, with detach 0 once its apps were started."""
    try:
        with recording_failure(pod, "start"):
            return entries_of(call.host, pod, debug=call.debug).run(detach=detach, interactive=interactive)
    except PodError as err:
        complain(_PREFIX, err, debug=call.debug)
        return err.exit_code


def rehearse_pod(call: Call, pod: Pod) -> int:
    """Find out what would keep a prepared pod, whose lock is held, from starting; returns 0 if nothing would."""
    try:
        with recording_failure(pod, "rehearse"):
            entries_of(call.host, pod, debug=call.debug).rehearse()
    except PodError as err:
        complain(_PREFIX, err, debug=call.debug)
        return err.exit_code
    return 0
