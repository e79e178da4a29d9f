# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What is collected and when, and that what is wanted or in use never is."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle, lookup
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import PodState
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import gc
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import converge
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.host.test_syscalls import (
    in_child,
    privately,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

HOUR = 3600.0
DEFAULT = gc.GcPolicy()
AT_ONCE = gc.GcPolicy(0, 0)
MARK_ONLY = gc.GcPolicy(mark_only=True)


def judged(lab: Stage0Lab, policy: gc.GcPolicy) -> list[str]:
    return [verdict.action for verdict in gc.judge(lab.host, policy)]


def ended(lab: Stage0Lab, policy: gc.GcPolicy) -> tuple[list[str], tuple[PodError, ...]]:
    """The steps of a collection, each with its pod, and its failures."""
    steps: list[str] = []

    class Told(gc.CollectPod):
        def report(self, step: str) -> None:
            steps.append(f"{step} {self.verdict.uuid}")

    def told() -> Any:
        for change in gc.ensure_collected(lab.host, policy):
            yield (
                Told(change.subject, change.differences, change.verdict, policy)
                if isinstance(change, gc.CollectPod)
                else change
            )

    outcome, _left = converge(lab.host, told(), apply=True)
    return steps, outcome.failures


def collected(lab: Stage0Lab, policy: gc.GcPolicy = DEFAULT) -> list[str]:
    """The steps of a collection that has no failures."""
    steps, failures = ended(lab, policy)
    assert failures == ()
    return steps


# directory, seconds since its last change, policy, the verdict where no name means it
VERDICTS = [
    ("embryo", 59, DEFAULT, []),
    ("embryo", 61, DEFAULT, ["abort"]),
    ("embryo", 0, AT_ONCE, ["abort"]),
    ("prepare", 0, DEFAULT, ["abort"]),
    ("prepare", 0, MARK_ONLY, ["abort"]),
    ("prepared", 23 * HOUR, DEFAULT, []),
    ("prepared", 25 * HOUR, DEFAULT, ["expire"]),
    ("prepared", 25 * HOUR, MARK_ONLY, []),
    ("prepared", 0, AT_ONCE, ["expire"]),
    ("run", 0, DEFAULT, ["mark"]),
    ("run", 25 * HOUR, DEFAULT, ["mark"]),
    ("run", 0, AT_ONCE, ["delete"]),
    ("run", 0, gc.GcPolicy(0, 0, mark_only=True), ["mark"]),
    ("exited-garbage", 29 * 60, DEFAULT, ["keep"]),
    ("exited-garbage", 31 * 60, DEFAULT, ["delete"]),
    ("exited-garbage", 25 * HOUR, MARK_ONLY, ["keep"]),
    ("garbage", 0, DEFAULT, ["delete"]),
    ("garbage", 0, MARK_ONLY, []),
]


@pytest.mark.parametrize(("state_dir", "age", "policy", "expected"), VERDICTS)
def test_what_is_due_is_judged_by_place_and_age(
    stage0: Stage0Lab, state_dir: str, age: float, policy: gc.GcPolicy, expected: list[str]
) -> None:
    uuid = stage0.make("web", state_dir, means=False)
    stage0.clock.passed += age
    assert judged(stage0, policy) == expected
    assert stage0.uuids() == {uuid}  # nothing was changed


@pytest.mark.parametrize("state_dir", ["prepared", "run"])
def test_what_a_name_means_is_wanted_however_old_it_is(stage0: Stage0Lab, state_dir: str) -> None:
    stage0.make("web", state_dir)
    stage0.clock.passed += 1000 * HOUR
    assert judged(stage0, AT_ONCE) == []


def test_a_name_that_means_another_pod_protects_that_one_alone(stage0: Stage0Lab) -> None:
    old, new = stage0.make("web", "run"), stage0.make("web", "run")
    collected(stage0, AT_ONCE)
    assert stage0.uuids() == {new} != {old}


def test_what_runs_or_is_held_by_others_is_left_alone(stage0: Stage0Lab) -> None:
    running = stage0.running("web", means=False)
    for state_dir in ("prepare", "prepared", "exited-garbage", "garbage", "embryo"):
        uuid = stage0.make("db", state_dir, means=False)
        with lifecycle.open_pod(stage0.paths, uuid) as pod:
            assert pod.lock()
            collected(stage0, AT_ONCE)
        assert stage0.uuids() == {running, uuid}
        collected(stage0, AT_ONCE)
        assert stage0.uuids() == {running}


def test_what_has_ended_is_marked_kept_and_then_deleted(stage0: Stage0Lab) -> None:
    uuid = stage0.running("web", means=False)
    stage0.stage1.finish(uuid)
    assert collected(stage0) == [f"mark {uuid}"]
    assert stage0.state(uuid) == "exited garbage"
    assert collected(stage0) == [f"keep {uuid}"]
    stage0.clock.passed += HOUR
    assert collected(stage0) == [f"delete {uuid}"]
    assert (stage0.uuids(), stage0.stage1.holding) == (set(), set())


@pytest.mark.parametrize(
    ("state_dir", "first"),
    [("prepare", "abort"), ("prepared", "expire"), ("run", "mark")],
)
def test_a_collection_says_what_it_does(stage0: Stage0Lab, state_dir: str, first: str) -> None:
    uuid = stage0.make("web", state_dir, means=False)
    assert collected(stage0, AT_ONCE) == [f"{first} {uuid}", f"delete {uuid}"]


def test_what_cannot_be_deleted_does_not_keep_the_others_from_it(stage0: Stage0Lab) -> None:
    for _pod in range(2):
        stage0.make("web", "exited-garbage", means=False)
    prepared = stage0.make("web", "prepared", means=False)
    stage0.stage1.failing["stage1-gc"] = "something is still mounted"
    _steps, failures = ended(stage0, AT_ONCE)
    assert [(failure.kind, failure.facts["stage"]) for failure in failures] == [("host-failure", "gc")] * 2
    assert prepared not in stage0.uuids()
    stage0.stage1.failing.clear()
    collected(stage0, AT_ONCE)
    assert stage0.uuids() == set()


@pytest.mark.parametrize(
    ("state_dir", "rehearsed", "calls"),
    [
        ("run", False, ["stage1-gc"]),
        ("exited-garbage", False, ["stage1-gc"]),
        ("prepared", False, []),
        ("prepared", True, ["stage1-gc"]),
        ("garbage", False, []),
    ],
)
def test_what_never_ran_has_nothing_of_the_host(
    stage0: Stage0Lab, state_dir: str, rehearsed: bool, calls: list[str]
) -> None:
    uuid = stage0.make("web", state_dir, means=False)
    if rehearsed:
        pathlib.Path(stage0.paths.pod(state_dir, uuid).subcgroup).write_text("pods")
    collected(stage0, AT_ONCE)
    assert [verb for verb, _uuid in stage0.stage1.calls] == calls


class TestRemove:
    @staticmethod
    def remove(lab: Stage0Lab, uuid: str) -> None:
        with lifecycle.open_pod(lab.paths, uuid) as pod:
            gc.remove(lab.host, pod)

    @pytest.mark.parametrize("state_dir", ["prepare", "prepared", "run", "exited-garbage", "garbage"])
    def test_a_pod_goes_with_its_name(self, stage0: Stage0Lab, state_dir: str) -> None:
        uuid = stage0.make("web", state_dir)
        self.remove(stage0, uuid)
        assert (stage0.uuids(), os.listdir(stage0.paths.names)) == (set(), [])

    def test_one_that_runs_stays(self, stage0: Stage0Lab) -> None:
        uuid = stage0.running("web")
        with pytest.raises(Conflict, match="currently running"):
            self.remove(stage0, uuid)
        assert stage0.meant("web") == uuid

    @pytest.mark.parametrize(
        ("state_dir", "why"),
        [
            ("prepare", "currently being prepared"),
            ("prepared", "in use by another process"),
            ("exited-garbage", "currently being deleted"),
            ("garbage", "currently being deleted"),
        ],
    )
    def test_one_that_others_are_at_stays(self, stage0: Stage0Lab, state_dir: str, why: str) -> None:
        uuid = stage0.make("web", state_dir)
        with lifecycle.open_pod(stage0.paths, uuid) as other:
            assert other.lock()
            with pytest.raises(Conflict, match=why):
                self.remove(stage0, uuid)
        assert stage0.uuids() == {uuid}

    @pytest.mark.parametrize("means", [True, False])
    def test_its_unit_goes_with_it_and_that_of_another_stays(self, stage0: Stage0Lab, means: bool) -> None:
        systemd = stage0.boot()
        unit = pathlib.Path(stage0.paths.units, "pod-web.service")
        unit.write_text(f"# Written by stagecraft.pods for {stage0.paths.data}: 0\n")
        uuid = stage0.make("web", "run")
        if not means:
            stage0.make("web", "prepared")
        self.remove(stage0, uuid)
        assert unit.exists() is not means
        assert bool(systemd.calls) is means

    @pytest.mark.parametrize("damage", [b"{", b"", b'{"format": 99, "name": "web"}'])
    def test_a_damaged_pod_can_be_removed(self, stage0: Stage0Lab, damage: bytes) -> None:
        uuid = stage0.make("web", "run")
        pathlib.Path(stage0.paths.pod("run", uuid).runspec).write_bytes(damage)
        self.remove(stage0, uuid)
        assert (stage0.uuids(), os.listdir(stage0.paths.names)) == (set(), [])

    def test_files_that_cannot_be_removed_are_told_of(self, stage0: Stage0Lab) -> None:
        uuid = stage0.make("web", "run")
        path = stage0.paths.pod("exited-garbage", uuid).path
        pathlib.Path(path).write_text("in the way")
        with pytest.raises(HostFailure, match="cannot move pod"):
            self.remove(stage0, uuid)
        assert stage0.meant("web") == uuid


class TestNames:
    """The leftovers of names after a kill."""

    def test_a_name_of_a_pod_that_exists_nowhere_goes(self, stage0: Stage0Lab) -> None:
        kept = stage0.make("web")
        lookup.set_name(stage0.paths, "gone", lifecycle.new_uuid())
        collected(stage0)
        assert set(os.listdir(stage0.paths.names)) == {"web", "gone"}  # it may be about to be removed
        stage0.clock.passed += 61
        collected(stage0)
        assert (os.listdir(stage0.paths.names), stage0.meant("web")) == (["web"], kept)

    def test_a_name_that_was_being_written_goes(self, stage0: Stage0Lab) -> None:
        stage0.make("web")
        pathlib.Path(stage0.paths.names, "web.0011.tmp").touch()
        stage0.clock.passed += 61
        collected(stage0)
        assert os.listdir(stage0.paths.names) == ["web"]

    @pytest.mark.parametrize("content", ["", "\0", "no UUID\n"])
    def test_a_name_that_cannot_be_read_harms_nothing(self, stage0: Stage0Lab, content: str) -> None:
        stage0.make("web")
        pathlib.Path(stage0.paths.names, "odd").write_text(content)
        os.mkdir(f"{stage0.paths.names}/directory")
        stage0.clock.passed += 61
        collected(stage0)
        assert stage0.meant("web")


def test_leftovers_of_a_name_are_what_was_made_under_it_and_does_not_run(stage0: Stage0Lab) -> None:
    left = {stage0.make("web", state, means=False) for state in ("prepared", "run", "garbage")}
    stage0.running("web", means=False)
    stage0.make("db", "run")
    assert set(gc.named_leftovers(stage0.host, "web")) == left


def test_a_pod_that_went_meanwhile_is_no_failure(stage0: Stage0Lab) -> None:
    uuid = stage0.make("web", "garbage", means=False)
    verdict = gc.judge(stage0.host, AT_ONCE)
    collected(stage0, AT_ONCE)
    assert verdict == (gc.Verdict(uuid, "delete", PodState.GARBAGE),)
    assert collected(stage0, AT_ONCE) == []


@pytest.mark.root
def test_a_pod_on_a_read_only_disk_is_told_with_what_helps(stage0: Stage0Lab) -> None:
    uuid = stage0.make("web", "garbage", means=False)
    pods = stage0.host.paths.pods

    def collect() -> None:
        privately()
        syscalls.mount(pods, pods, "", syscalls.MS_BIND)
        syscalls.mount("", pods, "", syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)
        with lifecycle.open_pod(stage0.host.paths, uuid) as pod:
            pod.lock()
            with pytest.raises(HostFailure, match=f'cannot remove pod "{uuid}": ') as caught:
                gc.delete(stage0.host, pod)
        assert caught.value.hint == "that file system is read-only: remount it, or choose another directory"

    in_child(collect)
