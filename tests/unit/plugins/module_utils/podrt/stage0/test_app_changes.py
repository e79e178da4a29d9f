# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Apps of a running pod are replaced alone, and wherever that is killed, the next task makes the pod as it wants it.

The old files of an app are there as long as the pod is described as before.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError, of_kind
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import (
    documents,
    lifecycle,
    subids,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import gc, plan, start
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import converge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.references import in_use
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0 import faults
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.trials import (
    Plan,
    Scenario,
    Trials,
)

WEB = "web"
MARK = "mine"


def app(lab: Stage0Lab, name: str, level: str = "old", image: str = "web", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": f"{lab.store}/{image}.aci", "environment": {"LEVEL": level}, **more}


def plan_of(lab: Stage0Lab, *apps: dict[str, Any], **options: Any) -> Plan:
    return plan.ensure_pod(lab.host, lab.spec(apps=list(apps), **options), "started")


def old(lab: Stage0Lab) -> Plan:
    return plan_of(lab, app(lab, "web"), app(lab, "db"), app(lab, "log"))


def other(lab: Stage0Lab) -> Plan:
    """One app of another image, one more, one less."""
    return plan_of(lab, app(lab, "web", "new", "other"), app(lab, "more"), app(lab, "log"))


def environment(lab: Stage0Lab) -> Plan:
    return plan_of(lab, app(lab, "web", "new"), app(lab, "db"), app(lab, "log"))


def one_less(lab: Stage0Lab) -> Plan:
    return plan_of(lab, app(lab, "web"), app(lab, "log"))


def one_more(lab: Stage0Lab) -> Plan:
    return plan_of(lab, app(lab, "web"), app(lab, "db"), app(lab, "log"), app(lab, "more"))


def apply(lab: Stage0Lab, made: Plan) -> None:
    converge(lab.host, made, apply=True)


def made(lab: Stage0Lab) -> None:
    apply(lab, old(lab))
    for name in ("web", "db", "log"):
        mark(lab, name).write_text("")


def ended(lab: Stage0Lab) -> None:
    """Let the first app end by itself."""
    uuid = str(lab.meant(WEB))
    lab.stage1.fail_app(uuid, 3)
    lab.stage1.up[uuid].discard("web")


def no_start(lab: Stage0Lab) -> None:
    lab.stage1.leaving["start-app"] = of_kind("not-found", "no such user"), "start"


def manifest_of(lab: Stage0Lab) -> str:
    return pathlib.Path(pod_dir(lab).manifest).read_text()


def mark(lab: Stage0Lab, name: str) -> pathlib.Path:
    return pathlib.Path(pod_dir(lab).overlay("tree", name)[0]) / MARK


CHANGES = {"other": other, "environment": environment, "one less": one_less, "one more": one_more}
SCENARIOS = {
    **{name: Scenario((made,), wanted, litter=("prepared",)) for name, wanted in CHANGES.items()},
    "rolled back": Scenario((made,), other, no_start, litter=("prepared",)),
    "of one that had ended": Scenario((made, ended), other, litter=("prepared",)),
}


@pytest.mark.parametrize("how", [faults.KILLED, faults.ONCE, faults.ALWAYS])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_task_again_makes_up_for_a_fault(lab: Stage0Lab, scenario: str, how: str) -> None:
    assert Trials(lab, SCENARIOS[scenario]).problems(4, how) == []


def kills(
    lab: Stage0Lab, wanted: Callable[[Stage0Lab], Plan], found: Callable[[Stage0Lab], None] = made
) -> Iterator[str]:
    """A pod whose change was killed, once for each effect that the change has."""
    lab.host = lab.host.replace(programs=faults.Door(lab.programs), clock=faults.Elsewhere(lab.clock))
    found(lab)
    again = lab.save()

    def attempt(trouble: faults.Faults) -> None:
        faults.attempt(lambda: apply(lab, wanted(lab)), trouble, lambda: lab.stage1.descriptors)

    undisturbed = faults.Faults()
    attempt(undisturbed)
    for number in range(1, undisturbed.count + 1):
        again()
        attempt(faults.Faults(number, faults.KILLED))
        lab.settle()
        yield f"killed at effect {number}: {undisturbed.places[number - 1]}"
    again()


def runs_as(lab: Stage0Lab, *names: str) -> list[str]:
    """What is wrong with a pod of these apps."""
    uuid = str(lab.meant(WEB))
    with lifecycle.open_pod(lab.paths, uuid) as pod:
        manifest = documents.read_manifest(pod.dir)
        found = [
            ("apps", [str(each.name) for each in manifest.apps], list(names)),
            ("that run", lab.stage1.up.get(uuid), set(names)),
            ("what is known of", set(os.listdir(pod.dir.app_infos)), set(names)),
            ("roots", set(os.listdir(pod.dir.app_dirs)), set(names)),
            ("written by", set(os.listdir(f"{pod.dir.overlays}/tree/upper")), set(names)),
            ("aside", os.path.lexists(pod.dir.replaced), False),
            ("half", [name for name in os.listdir(pod.dir.path) if name.endswith(".tmp")], []),
        ]
    found.append(("pods", len(lab.stage1.running), 1))
    return [f"{what}: {there}, not {wanted}" for what, there, wanted in found if there != wanted]


@pytest.mark.parametrize("change", CHANGES)
def test_the_old_description_finds_the_old_files(lab: Stage0Lab, change: str) -> None:
    problems = []
    before = ""
    for where in kills(lab, CHANGES[change]):
        before = before or manifest_of(lab)
        over = is_over(lab, before)
        apply(lab, old(lab))
        wrong = runs_as(lab, "web", "db", "log")
        if not over and not all(mark(lab, name).exists() for name in ("web", "db", "log")):
            wrong.append("the files of an app are lost")
        apply(lab, old(lab))
        problems += [f"{problem}, when {where}" for problem in wrong]
    assert problems == []


def is_over(lab: Stage0Lab, before: str) -> bool:
    """Whether a change of this manifest is over: until then nothing that was there is lost."""
    return manifest_of(lab) != before and not os.path.lexists(f"{pod_dir(lab).replaced}/pod")


def test_a_pod_that_has_ended_meanwhile_starts_again_as_it_was_or_is_wanted(lab: Stage0Lab) -> None:
    problems = []
    for where in kills(lab, other):
        uuid = str(lab.meant(WEB))
        lab.stage1.end(uuid)
        with start.start_again(lab.host, WEB) as fresh:
            apps = {str(each.name) for each in documents.read_manifest(fresh.dir).apps}
            known = set(os.listdir(fresh.dir.app_infos))
        if lab.stage1.call("run-prepared", fresh.uuid).status or known != apps:
            problems.append(f"it has {known} and not {apps}, when {where}")
        lab.stage1.end(fresh.uuid)
    assert problems == []


def stop(lab: Stage0Lab) -> None:
    apply(lab, plan.ensure_state(lab.host, PodName(WEB), "stopped"))


def collect(lab: Stage0Lab) -> None:
    """Remove all that is garbage, and what was prepared and not started."""
    lab.clock.passed += 3600
    apply(lab, gc.ensure_collected(lab.host, gc.GcPolicy(0, 0)))


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", [stop, collect])
def test_a_stop_and_a_collection_leave_a_pod_that_comes_to_what_is_described(
    lab: Stage0Lab, meanwhile: Callable[[Stage0Lab], None]
) -> None:
    problems = []
    for where in kills(lab, other):
        meanwhile(lab)
        apply(lab, old(lab))
        problems += [f"{problem}, when {where}" for problem in runs_as(lab, "web", "db", "log")]
    assert problems == []


@pytest.mark.parametrize("private_users", [False, True], ids=["users of the host", "own users"])
def test_nothing_is_left_when_the_pod_is_removed(
    lab: Stage0Lab, private_users: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subids, "check_supported", lambda: None)
    problems = []
    options = {"private_users": True} if private_users else {}

    def with_users(lab: Stage0Lab) -> Plan:
        return plan_of(lab, app(lab, "web", "new", "other"), app(lab, "db"), app(lab, "log"), **options)

    def found(lab: Stage0Lab) -> None:
        apply(lab, plan_of(lab, app(lab, "web"), app(lab, "db"), app(lab, "log"), **options))

    for where in kills(lab, with_users, found):
        apply(lab, plan.ensure_absent(lab.host, PodName(WEB)))
        lab.clock.passed += 3600
        apply(lab, gc.ensure_collected(lab.host, gc.GcPolicy(0)))
        left = [lab.state(uuid) for uuid in lab.uuids()]
        held = pathlib.Path(lab.paths.subordinate_ids)
        if held.exists() and '"held":[]' not in held.read_text():
            left.append("a range of users")
        problems += [f"{each} is left, when {where}" for each in left]
    assert problems == []


def test_a_collection_of_images_leaves_what_is_aside(lab: Stage0Lab) -> None:
    made(lab)
    trees, images = in_use(lab.host)
    for where in kills(lab, one_less, lambda _lab: None):
        if os.path.lexists(f"{pod_dir(lab).replaced}/pod"):
            now_trees, now_images = in_use(lab.host)
            assert (trees <= now_trees, images <= now_images) == (True, True), where


def test_an_app_that_is_killed_in_the_middle_of_its_restart_is_started(lab: Stage0Lab) -> None:
    def again(lab: Stage0Lab) -> Plan:
        wanted = lab.spec(apps=[app(lab, name) for name in ("web", "db", "log")])
        return plan.ensure_pod(lab.host, wanted, "started", restart_apps=("db",))

    problems = []
    for where in kills(lab, again):
        apply(lab, old(lab))
        problems += [f"{problem}, when {where}" for problem in runs_as(lab, "web", "db", "log")]
    assert problems == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_pod_is_not_held_once_its_change_is_over(lab: Stage0Lab, change: str) -> None:
    made(lab)
    apply(lab, CHANGES[change](lab))
    assert (lab.stage1.kept, len(lab.stage1.running)) == (set(), 1)


@pytest.mark.parametrize("change", ["other", "one less"])
def test_a_pod_is_not_held_for_apps_that_had_ended(lab: Stage0Lab, change: str) -> None:
    """The one that goes is the last that runs: the pod ends once it is gone, or when the new one has not come up."""
    made(lab)
    uuid = str(lab.meant(WEB))
    for name in ("web", "log"):
        pathlib.Path(pod_dir(lab).app_status(name)).write_text("0")
        lab.stage1.up[uuid].discard(name)
    if change == "other":
        ended_all(lab)
        no_start(lab)
        with pytest.raises(PodError):
            apply(lab, other(lab))
    else:
        apply(lab, one_less(lab))
    assert (lab.stage1.kept, lab.stage1.running) == (set(), set())


def ended_all(lab: Stage0Lab) -> None:
    pathlib.Path(pod_dir(lab).app_status("db")).write_text("0")
    lab.stage1.up[str(lab.meant(WEB))] = set()


def test_the_status_of_an_app_that_had_ended_comes_back_with_it(lab: Stage0Lab) -> None:
    made(lab)
    ended(lab)
    no_start(lab)
    with pytest.raises(PodError):
        apply(lab, other(lab))
    assert documents.read_status(pod_dir(lab), "web") == 3
    assert lab.stage1.up[str(lab.meant(WEB))] == {"db", "log"}


def pod_dir(lab: Stage0Lab) -> PodDir:
    with lifecycle.open_pod(lab.paths, str(lab.meant(WEB))) as pod:
        return pod.dir
