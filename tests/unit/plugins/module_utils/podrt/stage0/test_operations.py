# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The plans of a command line, applied to pods that a fake stage1 runs; and walking a plan as it does."""

from __future__ import annotations

import pathlib
from collections.abc import Generator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import Pod, open_pod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import operations
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import (
    Change,
    Difference,
    converge,
    walk,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    preparation,
)


def ignore(_uuid: str) -> None:
    """Who hears of a UUID, and does nothing."""


class TestStart:
    @staticmethod
    def started(lab: Stage0Lab) -> str:
        made: list[Pod] = []
        walk(lab.host, operations.ensure_started(lab.host, "web", made.append), apply=True)
        (pod,) = made
        with pod:
            return pod.uuid

    def test_a_prepared_pod_is_handed_over_as_it_is(self, stage0: Stage0Lab) -> None:
        uuid = stage0.make("web")
        assert self.started(stage0) == uuid == stage0.meant("web")
        assert stage0.state(uuid) == "prepared"

    def test_one_that_has_ended_is_made_anew_and_its_files_stay_for_a_grace_period(
        self, stage0: Stage0Lab
    ) -> None:
        old = stage0.make("web", "run")
        new = self.started(stage0)
        assert (stage0.meant("web"), stage0.state(new)) == (new, "prepared")
        assert stage0.state(old) == "exited garbage"

    def test_what_runs_or_is_none_is_refused(self, stage0: Stage0Lab) -> None:
        stage0.running("web")
        with pytest.raises(Conflict, match='pod "web" is running'):
            self.started(stage0)
        with pytest.raises(NotFound, match='there is no pod of the name "db"'):
            walk(stage0.host, operations.ensure_started(stage0.host, "db", Pod.close), apply=True)

    def test_a_name_that_means_another_pod_by_then_is_a_conflict(self, stage0: Stage0Lab) -> None:
        stage0.make("web")
        plan = operations.ensure_started(stage0.host, "web", Pod.close)
        change = next(plan)
        stage0.make("web")
        with pytest.raises(Conflict, match="no longer means"):
            change.apply(stage0.host)


class TestStop:
    @staticmethod
    def stopped(lab: Stage0Lab, uuid: str, *, force: bool = False) -> bool:
        with open_pod(lab.paths, uuid) as pod:
            plan = operations.ensure_signalled(lab.host, pod, force=force)
            return bool(walk(lab.host, plan, apply=True)[0].changes)

    @pytest.mark.parametrize("force", [False, True])
    def test_the_runtime_of_the_pod_is_asked(self, stage0: Stage0Lab, force: bool) -> None:
        uuid = stage0.running("web")
        assert self.stopped(stage0, uuid, force=force)
        assert [verb for verb, _uuid in stage0.stage1.calls] == ["stop"]

    def test_what_has_ended_is_left_alone(self, stage0: Stage0Lab) -> None:
        assert not self.stopped(stage0, stage0.make("web", "run"))
        assert stage0.stage1.calls == []

    @pytest.mark.parametrize("state_dir", ["embryo", "prepare", "prepared"])
    def test_what_has_never_run_cannot_be_stopped(self, stage0: Stage0Lab, state_dir: str) -> None:
        with pytest.raises(Conflict, match="is not running"):
            self.stopped(stage0, stage0.make("web", state_dir))


class TestNewPod:
    @staticmethod
    def plan(lab: Stage0Lab, made: list[Pod], *, runs: bool, name: str = "web") -> Generator[Any, bool, None]:
        return operations.ensure_new_pod(preparation(name), name, ignore, made.append, runs=runs)

    def test_an_image_that_has_gone_meanwhile_has_a_type_of_its_own(self, stage0: Stage0Lab) -> None:
        made: list[Pod] = []
        with pytest.raises(operations.ImageGone):
            walk(stage0.host, self.plan(stage0, made, runs=False), apply=True)
        assert (made, stage0.uuids(), stage0.meant("web")) == ([], set(), None)

    @pytest.mark.parametrize("runs", [False, True])
    def test_a_name_that_is_taken_is_foreseen_and_refused(self, stage0: Stage0Lab, runs: bool) -> None:
        uuid = stage0.make("web")
        outcome, _left = walk(stage0.host, self.plan(stage0, [], runs=runs), apply=False)
        (foreseen,) = outcome.obstacles
        with pytest.raises(Conflict) as refused:
            walk(stage0.host, self.plan(stage0, [], runs=runs), apply=True)
        assert (foreseen.message, foreseen.hint) == (refused.value.message, refused.value.hint)
        assert stage0.uuids() == {uuid}

    def test_the_path_of_a_pod_without_a_name_is_that_of_all(self, stage0: Stage0Lab) -> None:
        (change,) = self.plan(stage0, [], runs=False, name="")
        assert change.differences == (Difference("pods", None, "prepared"),)


def test_planning_writes_nothing(stage0: Stage0Lab) -> None:
    uuids = [stage0.make("db", "run"), stage0.running("web"), stage0.make("prepared")]
    before = {path: path.lstat().st_mtime_ns for path in pathlib.Path(stage0.paths.data).rglob("*")}
    for uuid in uuids:
        with open_pod(stage0.paths, uuid) as pod:
            walk(stage0.host, operations.ensure_deleted(stage0.host, pod), apply=False)
    with open_pod(stage0.paths, uuids[1]) as pod:
        walk(stage0.host, operations.ensure_signalled(stage0.host, pod, force=True), apply=False)
    walk(stage0.host, operations.ensure_started(stage0.host, "db", Pod.close), apply=False)
    assert {path: path.lstat().st_mtime_ns for path in pathlib.Path(stage0.paths.data).rglob("*")} == before


class Failing(Change):
    error: Exception

    def apply(self, host: Host) -> None:
        raise self.error


class TestWalk:
    @staticmethod
    def plan(error: Exception) -> Generator[Any, bool, str]:
        yield Failing("it", (), error)
        return "done"

    @pytest.mark.parametrize("error", [OSError(28, "no space"), BrokenPipeError(), KeyError("bug")])
    def test_what_is_raised_stays_what_it_is(self, stage0: Stage0Lab, error: Exception) -> None:
        with pytest.raises(type(error)) as caught:
            walk(stage0.host, self.plan(error), apply=True)
        assert caught.value is error

    def test_a_plan_may_have_better_words_for_it(self, stage0: Stage0Lab) -> None:
        def worded() -> Generator[Any, bool, str]:
            try:
                return (yield from self.plan(KeyError("bug")))
            except KeyError as err:
                raise Conflict("better words") from err

        for way in (walk, converge):
            with pytest.raises(Conflict, match="better words"):
                way(stage0.host, worded(), apply=True)
