# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes: what a plan consists of, and the one place that decides whether they are applied."""

from __future__ import annotations

from ..errors import Conflict, HostFailure, NotFound, PodError
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeVar

    from ..host.host import Host

    T = TypeVar("T")
    Plan = Generator["Change", bool, T]


class Difference(Value):
    """One thing that is not as it is wanted.

    path: such as apps.web.environment.LEVEL. before and after: text, None when there is none; secrets are fingerprints.
    reason: playbook, image, drift or runtime. impact: none, live, restart or recreate.
    """

    path: str
    before: str | None
    after: str | None
    reason: str = "playbook"
    impact: str = "none"

    def to_json(self) -> dict[str, object]:
        """The entry of the `changes` list of a result."""
        return {
            "path": self.path,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
            "impact": self.impact,
        }


class Change(Value):
    """A step of a plan. differences say why; apply does it. subject: what it is done to, such as pod "web".

    A change without differences is bookkeeping: it is applied, and nobody calls it a change.
    """

    subject: str
    differences: tuple[Difference, ...]

    def foresee(self, host: Host) -> None:
        """Raise what apply would refuse, as far as that is known beforehand. Changes nothing."""

    def apply(self, host: Host) -> tuple[Difference, ...] | None:
        """Make it so. Re-checks under its lock what was found, and raises Conflict when that has changed.

        Returns the differences where they are known better now, else None.
        """
        raise TypeError(f"{type(self).__name__} cannot be applied")


class Outcome(Value):
    """What converge did, or would do. foreseen: why it would fail, unless something else is done before."""

    changes: tuple[Change, ...]
    foreseen: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, changed."""
        return bool(self.differences)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All differences, in the order of the changes."""
        return tuple(difference for change in self.changes for difference in change.differences)


def converge(host: Host, plan: Plan[T], *, apply: bool) -> tuple[Outcome, T]:
    """Walk a plan and apply each change as it comes, or check it. Returns the outcome and what the plan returned.

    Each yield of the plan answers whether the change was applied. A failure midway carries the changes that were
    made in facts["changes"].
    """
    made: list[Change] = []
    foreseen: list[str] = []
    try:
        change = next(plan)
        while True:
            if apply:
                known = change.apply(host)
                made.append(change if known is None else change.replace(differences=known))
            else:
                foreseen += _foresee(host, change)
                made.append(change)
            change = plan.send(apply)
    except StopIteration as stop:
        return Outcome(tuple(made), tuple(foreseen)), stop.value
    except PodError as err:
        earlier = [entry.to_json() for entry in Outcome(tuple(made)).differences]
        own = err.facts.get("changes")
        err.facts["changes"] = earlier + (own if isinstance(own, list) else [])
        raise


def _foresee(host: Host, change: Change) -> tuple[str, ...]:
    """Why a change would fail. What only the description could cure is raised; the rest another task may cure first."""
    try:
        change.foresee(host)
    except (Conflict, HostFailure, NotFound) as err:
        return (f"this would fail now: {err.message}",)
    return ()
