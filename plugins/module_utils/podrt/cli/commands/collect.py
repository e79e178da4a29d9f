# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl gc and podctl rm. Source: behaviours A43, A44, D16 to D20."""

from __future__ import annotations

from ...appc.durations import parse_duration
from ...errors import HostFailure, PodError
from ...stage0 import gc as collection
from ...stage0.operations import ensure_deleted
from ..call import Call, say
from ..durations import format_duration
from ..plans import carry_out, in_words
from ..podargs import alone_with, resolve, some_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MOVED = {"mark": "pod", "abort": "failed prepare", "expire": "expired prepared pod"}


def gc(call: Call) -> int:
    """Mark pods that have ended, and delete those whose grace period is over."""
    options = call.options
    policy = collection.GcPolicy(
        grace_period=_seconds(call, "grace-period", collection.GRACE_PERIOD),
        expire_prepared=_seconds(call, "expire-prepared", collection.EXPIRE_PREPARED),
        mark_only=options.on("mark-only"),
    )
    plan = in_words(collection.ensure_collected(call.host, policy), {collection.CollectPod: ToldCollection})
    outcome, _left = carry_out(call, plan)
    for err in outcome.failures:
        call.complain(err)
    return outcome.failures[0].exit_code if outcome.failures else 0


class ToldCollection(collection.CollectPod):
    """Do to a pod what was judged, and tell each step as rkt does."""

    def report(self, step: str) -> None:
        """A line on standard error, for a deletion on standard output."""
        uuid = self.verdict.uuid
        if step == "delete":
            Call.tell(f'Garbage collecting pod "{uuid}"')
        elif step == "keep":
            grace = format_duration(self.policy.grace_period)
            say("gc", f'pod "{uuid}" not removed: still within grace period ({grace})')
        else:
            say("gc", f'moving {_MOVED[step]} "{uuid}" to garbage')


def rm(call: Call) -> int:
    """Remove pods that do not run, whatever the grace period."""
    failed = False
    for text in some_arguments(call):
        try:
            with resolve(call, text) as found:
                name = collection.name_of(found)
            # Its removal drops its name as well.
            with alone_with(call, text, name) as pod:
                carry_out(call, ensure_deleted(call.host, pod))
                if not call.dry_run:
                    call.tell(f'"{pod.uuid}"')
        except PodError as err:
            call.complain(err)
            failed = True
    if failed:
        raise HostFailure("failed to remove one or more pods")
    return 0


def _seconds(call: Call, flag: str, default: float) -> float:
    return parse_duration(call.options.text(flag)) if call.options.has(flag) else default


ENTRIES: dict[str, Callable[[Call], int]] = {"gc": gc, "rm": rm}
