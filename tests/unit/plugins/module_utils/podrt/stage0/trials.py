# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""One task, tried repeatedly from the same state, with a fault at another place each time."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import gc
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Change, converge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.references import in_use
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc as store_gc
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0 import faults
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

Plan = Generator[Change, bool, Any]
Step = Callable[[Stage0Lab], object]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# The states of leftovers after a kill, until they are collected.
_LITTER = ("embryo", "aborted prepare", "garbage", "exited garbage", "exited")
# The leftovers of a process that lives on: a pod that could not be deleted, and no new one.
_REMAINS = ("garbage", "exited garbage", "exited")


def nothing(_lab: Stage0Lab) -> None:
    """Cause no trouble."""


class Scenario(NamedTuple):
    """A task on a state. found: makes the state. wanted: the plan of the task.

    trouble: an extra failure of the first task. store: whether the task concerns images.
    """

    found: tuple[Step, ...]
    wanted: Callable[[Stage0Lab], Plan]
    trouble: Step = nothing
    store: bool = False
    litter: tuple[str, ...] = ()


class Trials:
    """The trials of a scenario."""

    def __init__(self, lab: Stage0Lab, scenario: Scenario) -> None:
        self.lab, self.scenario = lab, scenario
        lab.host = lab.host.replace(programs=faults.Door(lab.programs), clock=faults.Elsewhere(lab.clock))
        for step in scenario.found:
            step(lab)
        self._again = lab.save(store=scenario.store)
        self._runs = self._one_runs()
        undisturbed = faults.Faults()
        scenario.trouble(lab)
        self._try(undisturbed)
        self.places = undisturbed.places
        self._again()
        error = self._try(faults.Faults())
        if error:
            raise error
        self.wanted = _picture(lab)
        self.clean = self._collected()

    def problems(self, depth: int, *hows: str) -> list[str]:
        """The problems after a fault at each place, and one more task.

        depth: of a place, see faults.numbers_of_places. hows: the ways in which places fail, in turn.
        """
        return [
            f"{problem}, when it {how} at effect {number}: {self.places[number - 1]}"
            for number, how in zip(faults.numbers_of_places(self.places, depth), itertools.cycle(hows))
            for problem in self._problems(number, how)
        ]

    def _problems(self, number: int, how: str) -> Iterator[str]:
        lab = self.lab
        self._again()
        self.scenario.trouble(lab)
        struck = faults.Faults(number, how)
        error = self._try(struck)
        if struck.count < number:
            yield f"it has had {struck.count} effects alone"
        yield from self._of_first(error, how)
        lab.settle()
        try:
            converge(lab.host, self.scenario.wanted(lab), apply=True)
        except PodError as err:
            yield f"the next task fails: {err}, after {error!r}"
            return
        found = _picture(lab)
        yield from _compared(found, self.wanted, "after the next task")
        litter = _REMAINS if how == faults.ONCE else (*_LITTER, *self.scenario.litter)
        yield from self._of_others("the next task", litter)
        yield from _compared(self._collected(), self.clean, "after a collection")
        yield from lab.stage1.wrong
        lab.stage1.wrong.clear()

    def _of_first(self, error: BaseException | None, how: str) -> Iterator[str]:
        """The problems right after the task that has failed."""
        if isinstance(error, PodError) and error.kind == "bug":
            yield f"that is taken for a bug: {error!r}"
        if how != faults.ONCE:
            return
        if self.scenario.trouble is nothing:
            yield from self._of_others("the task", _REMAINS)
        if not self._runs or "web" not in self.wanted["running"]:
            return
        rolled_back = error.facts.get("rolled_back", True) if isinstance(error, PodError) else True
        # With extra trouble two things have failed, and a report of that is all that can be asked for.
        if not self._one_runs() and (rolled_back or self.scenario.trouble is nothing):
            yield f"nothing runs, and rolled_back is {rolled_back}: {error!r}"

    def _of_others(self, whose: str, litter: tuple[str, ...]) -> Iterator[str]:
        left = [state for state in _others(self.lab) if state not in litter]
        if left:
            yield f"{whose} leaves other pods: {left}"

    def _one_runs(self) -> bool:
        return self.lab.meant("web") in self.lab.stage1.running

    def _try(self, trouble: faults.Faults) -> BaseException | None:
        """Run the task, as a process that ends then; returns its error."""
        lab = self.lab
        return faults.attempt(
            lambda: converge(lab.host, self.scenario.wanted(lab), apply=True),
            trouble,
            lambda: lab.stage1.descriptors,
        )

    def _collected(self) -> dict[str, object]:
        """The leftovers after a collection without grace periods."""
        lab = self.lab
        lab.clock.passed += 3600
        done, _left = converge(lab.host, gc.ensure_collected(lab.host, gc.GcPolicy(0, 0)), apply=True)
        if done.failures:
            raise done.failures[0]
        if self.scenario.store:
            store_gc.collect(lab.paths, lambda: in_use(lab.host), 0)
        files = [
            _UUID.sub("UUID", str(path.relative_to(lab.base)))
            for path in lab.files(store=self.scenario.store)
        ]
        held = len(lab.stage1.holding)
        return {**_picture(lab), "files": sorted(files), "others": _others(lab), "holding": held}


def _picture(lab: Stage0Lab) -> dict[str, Any]:
    """The state that users see: the pods of names, and the running pods."""
    names = lab.names()
    running = sorted(name for name, uuid in names.items() if uuid in lab.stage1.running)
    return {
        "pods": {name: (lab.state(uuid), lab.documents(uuid)) for name, uuid in names.items()},
        "running": running,
        "number": len(lab.stage1.running),
        "units": lab.systemd.seen() if lab.systemd else {},
    }


def _others(lab: Stage0Lab) -> list[str]:
    """The states of the pods without a name."""
    return sorted(lab.state(uuid) for uuid in lab.uuids() - set(lab.names().values()))


def _compared(found: dict[str, Any], wanted: dict[str, Any], when: str) -> Iterator[str]:
    for what, content in wanted.items():
        if found[what] != content:
            if what == "files":
                yield f"{when} there are {set(found[what]) - set(content)} and not {set(content) - set(found[what])}"
            else:
                yield f"{when} {what}: {found[what]} and not {content}"
