# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes: what a plan consists of, and the one place that decides whether they are applied."""

from __future__ import annotations

from ..contexts import contextmanager
from ..errors import Conflict, HostFailure, NotFound, known
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Optional, TypeVar

    from ..errors import PodError
    from ..host.host import Host
    from ..image.progress import Fetched
    from ..store.trees import RenderedImage

    T = TypeVar("T")
    Plan = Generator["Change", Optional["Applied"], T]
    Changes = list[dict[str, "str | None"]]


class Difference(Value):
    """A value that is not the wanted one.

    path: of an option, such as apps[0].environment.LEVEL, or of a thing without an option, such as pods.web.state.
    before and after: text, None where it is not set; secrets are fingerprints.
    reason: playbook, image, drift or runtime. impact: none, live, restart, replace-app or recreate.
    """

    path: str
    before: str | None
    after: str | None
    reason: str = "playbook"
    impact: str = "none"

    def to_json(self) -> dict[str, str | None]:
        """The entry of the `changes` list of a result."""
        return {
            "path": self.path,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
            "impact": self.impact,
        }


class Applied(Value):
    """The result of a change.

    differences: None if they are the planned ones. notes: for the user. failures: why a change that others do not
    depend on was not made. image: what the plan that asked for one has of it now. fetched: what getting it came to.
    """

    differences: tuple[Difference, ...] | None = None
    notes: tuple[str, ...] = ()
    failures: tuple[PodError, ...] = ()
    image: RenderedImage | None = None
    fetched: Fetched | None = None


class Change(Value):
    """A step of a plan. differences say why; apply does it. subject: what it is done to, such as pod "web".

    A change without differences is bookkeeping: it is applied, but not reported as a change.
    """

    subject: str
    differences: tuple[Difference, ...]

    def foresee(self, host: Host) -> None:
        """Raise the errors of apply, as far as they are known beforehand. Changes nothing."""

    def apply(self, host: Host) -> Applied | None:
        """Apply the change. Checks again under its lock what the plan found; raises Conflict when that has changed.

        Returns what only the application could tell, if anything.
        """
        raise TypeError(f"{type(self).__name__} cannot be applied")


class Outcome(Value):
    """The changes that converge made, or would make.

    obstacles: why it would fail, unless another task runs first. notes: for the user. failures: of changes that
    did not stop the others. fetched: the images that were fetched.
    """

    changes: tuple[Change, ...]
    obstacles: tuple[PodError, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[PodError, ...] = ()
    fetched: tuple[Fetched, ...] = ()

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

    def to_json(self) -> Changes:
        """The `changes` list of a result."""
        return [difference.to_json() for difference in self.differences]


def converge(host: Host, plan: Plan[T], *, apply: bool, begun: Change | None = None) -> tuple[Outcome, T]:
    """Walk a plan and apply each change as it comes, or check it. Returns the outcome and what the plan returned.

    begun: the first change, of a plan that waits for the answer to it. Each yield of the plan answers with the result
    of the change, None where it was not applied. An exception midway becomes a PodError that carries the changes that
    were made in facts["changes"].
    """
    progress = _Progress(host, apply)
    try:
        result = progress.through(plan, begun)
    except Exception as err:
        failure = _carrying(progress.outcome().to_json(), f"cannot converge {progress.subject}".rstrip(), err)
        raise failure from failure.__cause__
    return progress.outcome(), result


def walk(host: Host, plan: Plan[T], *, apply: bool) -> tuple[Outcome, T]:
    """The same, but exceptions pass unchanged: for a caller that has no result to carry the changes."""
    progress = _Progress(host, apply)
    result = progress.through(plan)
    return progress.outcome(), result


class _Progress:
    """The progress of a walk through a plan."""

    def __init__(self, host: Host, apply: bool) -> None:
        self.subject = ""
        self._host, self._apply = host, apply
        self._made: list[Change] = []
        self._obstacles: list[PodError] = []
        self._notes: list[str] = []
        self._failures: list[PodError] = []
        self._fetched: list[Fetched] = []

    def outcome(self) -> Outcome:
        """The outcome so far."""
        return Outcome(
            tuple(self._made),
            tuple(self._obstacles),
            tuple(self._notes),
            tuple(self._failures),
            tuple(self._fetched),
        )

    def through(self, plan: Plan[T], begun: Change | None = None) -> T:
        """Walk the plan to its end; returns its result. An exception of a change is raised at the yield of the plan."""
        try:
            change = next(plan) if begun is None else begun
            while True:
                self.subject = change.subject
                try:
                    applied = self._take(change)
                except Exception as err:
                    change = plan.throw(err)
                else:
                    change = plan.send(applied)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _take(self, change: Change) -> Applied | None:
        if not self._apply:
            self._obstacles += _obstacles(self._host, change)
            self._made.append(change)
            return None
        applied = change.apply(self._host) or Applied()
        self._notes += applied.notes
        self._failures += applied.failures
        self._fetched += (applied.fetched,) if applied.fetched else ()
        known_now = applied.differences
        self._made.append(change if known_now is None else change.replace(differences=known_now))
        return applied


@contextmanager
def naming_changes(changes: Changes, doing: str) -> Iterator[None]:
    """Turn an exception within into a PodError that carries these changes, which were made before.

    changes: as Outcome.to_json gives them. doing: what fails then, such as "cannot look at the pod".
    """
    try:
        yield
    except Exception as err:
        failure = _carrying(changes, doing, err)
        raise failure from failure.__cause__


@contextmanager
def at_stage(stage: str, doing: str) -> Iterator[None]:
    """Turn an exception within into a PodError with its stage, unless it names one already."""
    try:
        yield
    except Exception as err:
        failure = known(doing, err)
        failure.facts.setdefault("stage", stage)
        raise failure from failure.__cause__


def _carrying(changes: Changes, doing: str, err: Exception) -> PodError:
    failure = known(doing, err)
    own = failure.facts.get("changes")
    failure.facts["changes"] = [*changes, *(own if isinstance(own, list) else ())]
    return failure


def _obstacles(host: Host, change: Change) -> tuple[PodError, ...]:
    """The failures of a change that another task may prevent; errors of the description are raised."""
    try:
        change.foresee(host)
    except (Conflict, HostFailure, NotFound) as err:
        return (err,)
    return ()
