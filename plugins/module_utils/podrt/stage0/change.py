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
    """A value that is not the wanted one.

    path: of an option, such as apps[0].environment.LEVEL, or of a thing without an option, such as pods.web.state.
    before and after: text, None where it is not set; secrets are fingerprints.
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
    """The result of a change. differences: None where they are the planned ones. notes: for the user."""

    differences: tuple[Difference, ...] | None = None
    notes: tuple[str, ...] = ()


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

    foreseen: why it would fail, unless another task runs first. notes: for the user.
    """

    changes: tuple[Change, ...]
    foreseen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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

    Each yield of the plan answers whether the change was applied. An exception midway becomes a PodError that carries
    the changes that were made in facts["changes"].
    """
    made: list[Change] = []
    foreseen: list[str] = []
    notes: list[str] = []
    subject = ""
    try:
        change = next(plan)
        while True:
            subject = change.subject
            if apply:
                applied = change.apply(host) or Applied()
                notes += applied.notes
                known_now = applied.differences
                made.append(change if known_now is None else change.replace(differences=known_now))
            else:
                foreseen += _foresee(host, change)
                made.append(change)
            change = plan.send(apply)
    except StopIteration as stop:
        return Outcome(tuple(made), tuple(foreseen), tuple(notes)), stop.value
    except Exception as err:
        failure = _carrying(Outcome(tuple(made)).to_json(), f"cannot converge {subject}".rstrip(), err)
        raise failure from failure.__cause__


@contextlib.contextmanager
def keeping(changes: list[object], doing: str) -> Iterator[None]:
    """Turn an exception within into a PodError that carries these changes, which were made before.

    changes: as Outcome.to_json gives them. doing: what fails then, such as "cannot look at the pod".
    """
    try:
        yield
    except Exception as err:
        failure = _carrying(changes, doing, err)
        raise failure from failure.__cause__


@contextlib.contextmanager
def at_stage(stage: str, doing: str) -> Iterator[None]:
    """Turn an exception within into a PodError with its stage, unless it names one already."""
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


def _foresee(host: Host, change: Change) -> tuple[str, ...]:
    """The failures of a change that another task may prevent; errors of the description are raised."""
    try:
        change.foresee(host)
    except (Conflict, HostFailure, NotFound) as err:
        hint = f" ({err.hint})" if err.hint else ""
        return (f"this would fail now: {err.message}{hint}",)
    return ()
