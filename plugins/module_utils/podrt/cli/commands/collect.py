# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl gc and podctl rm. Source: behaviours A43, A44, D16 to D20."""

from __future__ import annotations

from ...errors import HostFailure, PodError
from ...stage0 import gc as collection
from ..durations import parse_duration
from ..podargs import alone_with, resolve, some_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..call import Call


def gc(call: Call) -> int:
    """Mark pods that have ended, and delete those whose grace period is over."""
    options = call.options
    policy = collection.GcPolicy(
        grace_period=_seconds(call, "grace-period", collection.GRACE_PERIOD),
        expire_prepared=_seconds(call, "expire-prepared", collection.EXPIRE_PREPARED),
        mark_only=options.on("mark-only"),
    )
    failures = collection.collect(call.host, policy, call.say, call.tell)
    for err in failures:
        call.complain(err)
    return failures[0].exit_code if failures else 0


def rm(call: Call) -> int:
    """Remove pods that do not run, whatever the grace period."""
    failed = False
    for text in some_arguments(call):
        try:
            with resolve(call, text) as found:
                name = collection.name_of(found)
            # Its removal drops its name as well.
            with alone_with(call, text, name) if name else resolve(call, text) as pod:
                collection.remove(call.host, pod)
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
