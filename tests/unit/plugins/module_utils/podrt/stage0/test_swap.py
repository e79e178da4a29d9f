# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A failure keeps its kind from where it is raised to the result of the task, and nothing healthy is lost."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    FAMILIES,
    AppFailed,
    PodError,
    of_kind,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import (
    Applied,
    Change,
    Difference,
    converge,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.gc import (
    GcPolicy,
    ensure_collected,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.pod_changes import (
    RemovePod,
    ReplacePod,
    RestartPod,
    StartPod,
    StopPod,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.start import start, start_again
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.swap import (
    StartUp,
    bring_up,
    swap,
    watch,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import failure
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0 import faults
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    preparation,
)

EARLIER = Difference("volumes.a", None, "made")
FACTS = {"where": "apps[0].exec", "errno": 13, "app": "web", "exit_code": 3}


class Before(Change):
    """A change that was made before."""

    def apply(self, host: object) -> None:
        """Do nothing."""


class BringUp(Change):
    """The first start of a pod."""

    uuid: str

    def apply(self, host: Any) -> None:
        """Start it."""
        bring_up(host, self.uuid, boot=True)


def replaced(lab: Stage0Lab) -> Change:
    return RestartPod("", (), "web", lab.running("web"), True)


def removed(lab: Stage0Lab) -> Change:
    uuid = lab.running("web")
    lab.stage1.end(uuid)
    return RemovePod("", (), "web", uuid, ())


# place: the change, the entry that fails, the stage in the result, whether the old pod had been stopped
PLACES: dict[str, tuple[Callable[[Stage0Lab], Change], str, str, bool]] = {
    "first start": (lambda lab: BringUp("", (), lab.make("web")), "run-prepared", "start", False),
    "start": (lambda lab: StartPod("", (), "web", lab.make("web"), True), "run-prepared", "start", False),
    "rehearsal": (replaced, "rehearse", "rehearse", False),
    "stop of the old one": (replaced, "stop", "stop", True),
    "start of the new one": (replaced, "run-prepared", "start", True),
    "stop": (lambda lab: StopPod("", (), "web", lab.running("web")), "stop", "stop", False),
    "removal": (removed, "stage1-gc", "gc", False),
}


@pytest.mark.finding("review-B2")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", FAMILIES)
def test_each_family_is_in_the_result_as_it_was_raised(stage0: Stage0Lab, kind: str, place: str) -> None:
    makes, verb, stage, stopped = PLACES[place]
    change = makes(stage0)
    stage0.stage1.leaving[verb] = of_kind(kind, "why", "what to do", **FACTS), stage
    with pytest.raises(PodError) as caught:
        converge(stage0.host, iter_plan(Before("", (EARLIER,)), change), apply=True)
    result: dict[str, Any] = failure(caught.value)
    assert (result["error"], result["msg"], result["hint"]) == (kind, "why (what to do)", "what to do")
    assert {**FACTS, "stage": stage}.items() <= result["facts"].items()
    assert (result["changed"], result["changes"][0]) == (True, EARLIER.to_json())
    assert result.get("rolled_back") is (True if stopped else None)
    if change.__class__ is RestartPod:
        assert stage0.state(str(stage0.meant("web"))) == "running"
        assert stage0.uuids() == {stage0.meant("web")}


def iter_plan(*changes: Change) -> Any:
    for change in changes:
        applied = yield change
        assert isinstance(applied, Applied)


@pytest.mark.parametrize("kind", FAMILIES)
def test_each_family_of_a_collection_is_told(stage0: Stage0Lab, kind: str) -> None:
    stage0.make("web", "run", means=False)
    stage0.stage1.leaving["stage1-gc"] = of_kind(kind, "why", "what to do", **FACTS), "gc"
    [found] = converge(stage0.host, ensure_collected(stage0.host, GcPolicy(0, 0)), apply=True)[0].failures
    assert (found.kind, found.hint, found.facts["stage"]) == (kind, "what to do", "gc")


def test_what_cannot_be_prepared_says_so_and_touches_nothing(stage0: Stage0Lab) -> None:
    old = stage0.running("web")
    change = ReplacePod("", (), preparation("web"), old, True, True)
    with pytest.raises(PodError) as caught:
        converge(stage0.host, iter_plan(change), apply=True)
    assert caught.value.facts["stage"] == "prepare"
    assert (stage0.state(old), stage0.meant("web"), stage0.stage1.calls) == ("running", old, [])


@pytest.mark.finding("use-N4")
@pytest.mark.parametrize(
    ("ending", "facts"),
    [
        ((3, ""), {"exit_code": 3}),
        ((9, "signal"), {"signal": 9}),
        ((9, "oom signal"), {"signal": 9, "oom": True}),
        ((1, "oom"), {"exit_code": 1, "oom": True}),
        ((0, ""), {"exit_code": 0}),
    ],
)
def test_a_new_pod_that_does_not_stay_up_brings_the_old_one_back(
    stage0: Stage0Lab, ending: tuple[int, str], facts: dict[str, Any]
) -> None:
    old, new = stage0.running("web"), stage0.make("web", means=False)
    stage0.stage1.ending = ending
    with lifecycle.open_pod(stage0.paths, old) as pod, pytest.raises(AppFailed) as caught:
        swap(stage0.host, "web", pod, new, StartUp(True, 5))
    found = {name: value for name, value in caught.value.facts.items() if name not in ("apps", "changes")}
    assert found == {"app": "web", "stage": "run", "rolled_back": True, **facts}
    assert stage0.uuids() == {stage0.meant("web")}
    assert stage0.state(str(stage0.meant("web"))) == "running"


@pytest.mark.parametrize(
    ("seconds", "after", "happens", "expected"),
    [
        (0, 0, "killed", ""),
        (5, 0, "killed", "was killed within 5 seconds"),
        (5, 4.9, "killed", "was killed within 5 seconds"),
        (5, 5.1, "killed", ""),
        (5, 4.9, "failed", "has ended with status 3"),
        (5, 5.1, "failed", ""),
        (5, 4.9, "ended", "has ended within 5 seconds, with status 0"),
        (5, 5.1, "ended", ""),
    ],
)
def test_a_pod_is_up_when_it_has_stayed_so_for_its_time(
    stage0: Stage0Lab, seconds: float, after: float, happens: str, expected: str
) -> None:
    uuid = stage0.running("web")
    things: dict[str, Callable[[], None]] = {
        "killed": lambda: stage0.stage1.end(uuid),
        "failed": lambda: stage0.stage1.fail_app(uuid, 3),
        "ended": lambda: stage0.stage1.finish(uuid),
    }
    stage0.clock.after(after, things[happens])
    with lifecycle.open_pod(stage0.paths, uuid) as pod:
        if not expected:
            return watch(stage0.host, pod, "web", seconds)
        stage0.clock.sleep(0)
        with pytest.raises(AppFailed, match=expected):
            watch(stage0.host, pod, "web", seconds)
    assert stage0.clock.passed == pytest.approx(after, abs=0.1)
    return None


def test_a_pod_that_stays_up_takes_the_place_of_the_old_one(stage0: Stage0Lab) -> None:
    old, new = stage0.running("web"), stage0.make("web", means=False)
    with lifecycle.open_pod(stage0.paths, old) as pod:
        swap(stage0.host, "web", pod, new, StartUp(True, 2))
    assert (stage0.state(new), stage0.meant("web"), stage0.uuids()) == ("running", new, {new})
    assert stage0.clock.passed == pytest.approx(2, abs=0.1)


def killed_anywhere(lab: Stage0Lab, task: Callable[[], object]) -> Iterator[faults.Place]:
    """Kill a task at each of its places, each time from the same beginning."""
    lab.host = lab.host.replace(programs=faults.Door(lab.programs))
    again, counted = lab.save(), faults.Faults()
    faults.attempt(task, counted, lambda: lab.stage1.descriptors)
    for number in faults.numbers_of_places(counted.places, 4):
        again()
        faults.attempt(task, faults.Faults(number, faults.KILLED), lambda: lab.stage1.descriptors)
        yield counted.places[number - 1]


@pytest.mark.finding("heart-1")
def test_a_task_that_is_killed_while_it_goes_back_leaves_no_pod_that_runs_without_its_name(
    stage0: Stage0Lab,
) -> None:
    old, new = stage0.running("web"), stage0.make("web", means=False)

    def task() -> None:
        stage0.stage1.late.add("run-prepared")  # reported as a failure, though the new one runs
        with lifecycle.open_pod(stage0.paths, old) as pod:
            swap(stage0.host, "web", pod, new, StartUp(True))

    for place in killed_anywhere(stage0, task):
        assert stage0.stage1.running <= {stage0.meant("web")}, place


@pytest.mark.finding("heart-2")
def test_a_task_that_is_killed_while_it_goes_back_leaves_a_pod_that_can_be_started(stage0: Stage0Lab) -> None:
    old, new = stage0.running("web"), stage0.make("web", means=False)

    def task() -> None:
        stage0.stage1.leaving["run-prepared"] = of_kind("not-found", "why"), "start"
        with lifecycle.open_pod(stage0.paths, old) as pod:
            swap(stage0.host, "web", pod, new, StartUp(True))

    for place in killed_anywhere(stage0, task):
        stage0.settle()
        if not stage0.stage1.running:
            with start_again(stage0.host, "web") as pod:
                start(stage0.host, pod, boot=True)
        assert stage0.stage1.running == {stage0.meant("web")}, place


@pytest.mark.parametrize("runs", [True, False], ids=["nothing is asked for", "nothing ran"])
def test_it_is_asked_for_where_something_runs_alone(stage0: Stage0Lab, runs: bool) -> None:
    old = stage0.running("web") if runs else stage0.make("web", "run")
    new = stage0.make("web", means=False)
    stage0.stage1.ending = (3, "")
    with lifecycle.open_pod(stage0.paths, old) as pod:
        swap(stage0.host, "web", pod, new, StartUp(True, 0 if runs else 5))
    assert (stage0.state(new), stage0.meant("web")) == ("exited", new)


@pytest.mark.finding("review-B3")
def test_a_gc_that_holds_the_old_pod_does_not_make_a_replacement_fail(stage0: Stage0Lab) -> None:
    old, new = stage0.make("web", "exited-garbage"), stage0.make("web", means=False)
    with lifecycle.open_pod(stage0.paths, old) as gc, lifecycle.open_pod(stage0.paths, old) as pod:
        assert gc.lock()
        swap(stage0.host, "web", pod, new, StartUp(True))
    assert (stage0.state(new), stage0.meant("web")) == ("running", new)


@pytest.mark.finding("review-B3")
def test_a_gc_that_holds_a_new_pod_does_not_hide_why_it_did_not_start(
    stage0: Stage0Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = stage0.make("web")
    stage0.stage1.leaving["run-prepared"] = of_kind("not-found", "why"), "start"
    with lifecycle.open_pod(stage0.paths, uuid) as gc:
        assert gc.lock()
        with pytest.raises(PodError, match="why") as caught:
            bring_up(stage0.host, uuid, boot=True)
    assert caught.value.kind == "not-found"
    assert pathlib.Path(stage0.paths.pod("prepared", uuid).path).is_dir()
