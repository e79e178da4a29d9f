# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes: what a plan consists of, and the one place that decides whether they are applied."""

from __future__ import annotations

import contextlib

from ..errors import Conflict, HostFailure, NotFound, known
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import TypeVar

    from ..errors import PodError
    from ..host.host import Host

    T = TypeVar("T")
    Plan = Generator["Change", bool, T]


class Difference(Value):
    """One thing that is not as it is wanted.

    path: of an option, such as apps[0].environment.LEVEL, or of what none stands for, such as pods.web.state. before
    and after: text, None where it is not set; secrets are fingerprints.
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


class Applied(Value):
    """What a change came to.

    differences: None if they are the planned ones. notes: for the user. failures: why a change that others do not
    depend on was not made.
    """

    differences: tuple[Difference, ...] | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[PodError, ...] = ()


class Change(Value):
    """A step of a plan. differences say why; apply does it. subject: what it is done to, such as pod "web".

    A change without differences is bookkeeping: it is applied, and nobody calls it a change.
    """

    subject: str
    differences: tuple[Difference, ...]

    def foresee(self, host: Host) -> None:
        """Raise what apply would refuse, as far as that is known beforehand. Changes nothing."""

    def apply(self, host: Host) -> Applied | None:
        """Make it so. Re-checks under its lock what was found, and raises Conflict when that has changed.

        Returns what is known better now, if anything is.
        """
        raise TypeError(f"{type(self).__name__} cannot be applied")


class Outcome(Value):
    """What converge did, or would do.

    obstacles: why it would fail, unless something else is done before. notes: for the user. failures: of changes that
    did not stop the others.
    """

    changes: tuple[Change, ...]
    obstacles: tuple[PodError, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[PodError, ...] = ()

    @property
    def foreseen(self) -> tuple[str, ...]:
        """The obstacles as warnings."""
        return tuple(
            f"this would fail now: {err.message}" + (f" ({err.hint})" if err.hint else "")
            for err in self.obstacles
        )

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, changed."""
        return bool(self.differences)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """All differences, in the order of the changes."""
        return tuple(difference for change in self.changes for difference in change.differences)

    def to_json(self) -> list[object]:
        """The `changes` list of a result."""
        return [difference.to_json() for difference in self.differences]


def converge(host: Host, plan: Plan[T], *, apply: bool) -> tuple[Outcome, T]:
    """Walk a plan and apply each change as it comes, or check it. Returns the outcome and what the plan returned.

    Each yield of the plan answers whether the change was applied. Whatever is raised midway becomes a PodError that
    carries the changes that were made in facts["changes"].
    """
    way = _Way(host, apply)
    try:
        result = way.through(plan)
    except Exception as err:
        failure = _carrying(way.outcome().to_json(), f"cannot converge {way.subject}".rstrip(), err)
        raise failure from failure.__cause__
    return way.outcome(), result


def walk(host: Host, plan: Plan[T], *, apply: bool) -> tuple[Outcome, T]:
    """The same, and whatever is raised stays what it is: for who has no result that would carry the changes."""
    way = _Way(host, apply)
    result = way.through(plan)
    return way.outcome(), result


class _Way:
    """The way through a plan, as far as it has been gone."""

    def __init__(self, host: Host, apply: bool) -> None:
        self.subject = ""
        self._host, self._apply = host, apply
        self._made: list[Change] = []
        self._obstacles: list[PodError] = []
        self._notes: list[str] = []
        self._failures: list[PodError] = []

    def outcome(self) -> Outcome:
        """What has been done, or found, until now."""
        return Outcome(tuple(self._made), tuple(self._obstacles), tuple(self._notes), tuple(self._failures))

    def through(self, plan: Plan[T]) -> T:
        """To its end; what it returned. What a change raises is raised where the plan yielded it."""
        try:
            change = next(plan)
            while True:
                self.subject = change.subject
                try:
                    self._take(change)
                except Exception as err:
                    change = plan.throw(err)
                else:
                    change = plan.send(self._apply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _take(self, change: Change) -> None:
        if not self._apply:
            self._obstacles += _obstacles(self._host, change)
            self._made.append(change)
            return
        applied = change.apply(self._host) or Applied()
        self._notes += applied.notes
        self._failures += applied.failures
        known_now = applied.differences
        self._made.append(change if known_now is None else change.replace(differences=known_now))


@contextlib.contextmanager
def keeping(changes: list[object], doing: str) -> Iterator[None]:
    """What is raised within becomes a PodError that carries these changes, which were made before.

    changes: as Outcome.to_json gives them. doing: what goes on within, such as "cannot look at the pod".
    """
    try:
        yield
    except Exception as err:
        failure = _carrying(changes, doing, err)
        raise failure from failure.__cause__


@contextlib.contextmanager
def at_stage(stage: str, doing: str) -> Iterator[None]:
    """What is raised within becomes a PodError that says at which stage it was, unless it does so already."""
    try:
        yield
    except Exception as err:
        failure = known(doing, err)
        failure.facts.setdefault("stage", stage)
        raise failure from failure.__cause__


def _carrying(changes: list[object], doing: str, err: Exception) -> PodError:
    failure = known(doing, err)
    own = failure.facts.get("changes")
    failure.facts["changes"] = changes + (own if isinstance(own, list) else [])
    return failure


def _obstacles(host: Host, change: Change) -> tuple[PodError, ...]:
    """Why a change would fail. What only the description could cure is raised; the rest another task may cure first."""
    try:
        change.foresee(host)
    except (Conflict, HostFailure, NotFound) as err:
        return (err,)
    return ()
