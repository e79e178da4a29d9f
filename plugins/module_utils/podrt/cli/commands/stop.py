# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl stop. Source: behaviours A42, D12."""

from __future__ import annotations

from ...errors import HostFailure, PodError
from ...stage0.operations import SignalPod, ensure_signalled
from ...stage1.entries import entries_of
from ..plans import carry_out, in_words
from ..podargs import alone_with, name_meant, some_arguments
from ..running import recording_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...host.host import Host
    from ...pod.lifecycle import Pod
    from ..call import Call


def stop(call: Call) -> int:
    """Ask pods to end, without waiting for it."""
    failed = 0
    for text in some_arguments(call):
        try:
            with alone_with(call, text, name_meant(call, text)) as pod:
                _stop(call, pod)
        except PodError as err:
            call.complain(err)
            failed += 1
    if failed:
        raise HostFailure(f"failed to stop {failed} pod(s)")
    return 0


def _stop(call: Call, pod: Pod) -> None:
    plan = ensure_signalled(call.host, pod, force=call.options.on("force"))
    outcome, _left = carry_out(call, in_words(plan, {SignalPod: SignalHere}))
    if not call.dry_run:
        call.tell(f'"{pod.uuid}"' if outcome.changes else f'pod "{pod.uuid}" is already stopped')


class SignalHere(SignalPod):
    """Stop a pod by its stage1 in this process: what calls this is the entry stop."""

    def signal(self, host: Host, pod: Pod) -> None:
        """Raises PodError, which is left in the pod's directory as well."""
        with recording_failure(pod, "stop"):
            entries_of(host, pod).stop(force=self.force)


ENTRIES: dict[str, Callable[[Call], int]] = {"stop": stop}
