# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods are started and stopped by their unit if they have one, and no wait exceeds its limit."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    NotFound,
    of_kind,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import start
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.fakesystemd import (
    FakeSystemd,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

UNIT = "pod-web.service"


def started(lab: Stage0Lab, uuid: str, *, boot: bool | None = True) -> None:
    with lifecycle.open_pod(lab.paths, uuid) as pod:
        start.start(lab.host, pod, boot=boot)


def stopped(lab: Stage0Lab, uuid: str) -> None:
    with lifecycle.open_pod(lab.paths, uuid) as pod:
        start.stop(lab.host, pod)


@pytest.fixture
def systemd(stage0: Stage0Lab) -> FakeSystemd:
    return stage0.boot()


class TestStart:
    def test_without_systemd_a_pod_is_started_detached(self, stage0: Stage0Lab) -> None:
        uuid = stage0.make("web")
        started(stage0, uuid)
        assert stage0.stage1.calls == [("run-prepared", uuid)]
        assert stage0.stage1.running == {uuid}

    def test_a_pod_without_a_name_is_no_unit(self, stage0: Stage0Lab, systemd: FakeSystemd) -> None:
        uuid = stage0.make("", means=False)
        started(stage0, uuid)
        assert (stage0.stage1.running, systemd.calls) == ({uuid}, [])

    @pytest.mark.parametrize("boot", [True, False, None])
    def test_a_pod_with_a_name_is_a_unit(
        self, stage0: Stage0Lab, systemd: FakeSystemd, boot: bool | None
    ) -> None:
        uuid = stage0.make("web")
        started(stage0, uuid, boot=boot)
        assert systemd.active == {UNIT: uuid}
        assert systemd.is_enabled(UNIT) is bool(boot)

    def test_a_unit_keeps_what_a_boot_makes_of_it_where_nothing_is_said(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        started(stage0, uuid)
        stopped(stage0, uuid)
        with start.start_again(stage0.host, "web") as pod:
            start.start(stage0.host, pod, boot=None)
        assert systemd.is_enabled(UNIT)

    def test_a_unit_that_is_as_it_should_be_is_not_loaded_again(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        started(stage0, uuid)
        stopped(stage0, uuid)
        del systemd.calls[:]
        with start.start_again(stage0.host, "web") as pod:
            start.start(stage0.host, pod, boot=True)
        assert systemd.calls == [f"reset-failed {UNIT}", f"start {UNIT}"]

    def test_apps_that_have_ended_by_the_time_that_systemd_looks_did_run(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        stage0.stage1.ending = (0, "")
        started(stage0, uuid)
        assert (stage0.state(uuid), systemd.active) == ("exited", {})

    def test_why_a_unit_did_not_start_is_what_its_pod_has_left(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        stage0.stage1.leaving["run-prepared"] = of_kind("not-found", "no such user"), "start"
        with pytest.raises(NotFound, match="no such user"):
            started(stage0, uuid)

    def test_a_unit_that_says_nothing_is_told_of_by_systemd(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        systemd.failing["start"] = "Transport endpoint is not connected"
        with pytest.raises(HostFailure, match='cannot start pod "web": Transport endpoint'):
            started(stage0, uuid)

    def test_a_unit_that_runs_already_is_another_pod(self, stage0: Stage0Lab, systemd: FakeSystemd) -> None:
        started(stage0, stage0.make("web"))
        other = stage0.make("web")
        with pytest.raises(Conflict, match="runs, and not as pod"):
            started(stage0, other)


class TestStop:
    def test_a_pod_that_does_not_run_is_left_alone(self, stage0: Stage0Lab) -> None:
        stopped(stage0, stage0.make("web"))
        stopped(stage0, stage0.make("web", "run"))
        assert stage0.stage1.calls == []

    def test_one_that_does_not_listen_is_killed_when_its_time_is_over(self, stage0: Stage0Lab) -> None:
        uuid, before = stage0.running("web"), stage0.clock.passed
        stage0.stage1.deaf.add(uuid)
        stopped(stage0, uuid)
        assert stage0.stage1.calls == [("stop", uuid), ("stop", uuid)]
        assert stage0.stage1.running == set()
        assert 25 <= stage0.clock.passed - before < 26  # its own 10, and 15

    def test_one_that_takes_its_time_is_waited_for(self, stage0: Stage0Lab) -> None:
        uuid = stage0.running("web")
        stage0.stage1.deaf.add(uuid)
        stage0.clock.after(9, lambda: stage0.stage1.finish(uuid))
        stopped(stage0, uuid)
        assert stage0.stage1.calls == [("stop", uuid)]

    def test_one_that_survives_that_is_told_of(self, stage0: Stage0Lab) -> None:
        uuid = stage0.running("web")
        stage0.stage1.immortal.add(uuid)
        with pytest.raises(HostFailure, match="does not end even when killed") as caught:
            stopped(stage0, uuid)
        assert caught.value.facts["stage"] == "stop"

    def test_a_unit_is_stopped_by_systemd(self, stage0: Stage0Lab, systemd: FakeSystemd) -> None:
        uuid = stage0.make("web")
        started(stage0, uuid)
        stopped(stage0, uuid)
        assert (systemd.calls[-1], systemd.active) == (f"stop {UNIT}", {})
        assert ("stop", uuid) not in stage0.stage1.calls

    def test_a_unit_that_systemd_cannot_stop_is_told_of(
        self, stage0: Stage0Lab, systemd: FakeSystemd
    ) -> None:
        uuid = stage0.make("web")
        started(stage0, uuid)
        systemd.failing["stop"] = "Access denied"
        with pytest.raises(HostFailure, match="Access denied"):
            stopped(stage0, uuid)
        assert stage0.stage1.running == {uuid}

    @pytest.mark.parametrize("why", ["no unit", "no systemd", "another pod", "another process", "no process"])
    def test_a_pod_that_is_not_the_unit_is_stopped_by_itself(
        self, stage0: Stage0Lab, systemd: FakeSystemd, why: str
    ) -> None:
        uuid = stage0.make("web")
        started(stage0, uuid)
        pid_file = pathlib.Path(stage0.paths.pid_files, "web.pid")
        if why == "no unit":
            os.unlink(stage0.host.paths.unit("web"))
        elif why == "no systemd":
            os.rmdir(stage0.paths.systemd)
        elif why == "another pod":
            stage0.make("web")
        elif why == "another process":
            pid_file.write_text("1\n")
        else:
            pid_file.unlink()
        stopped(stage0, uuid)
        assert stage0.stage1.calls[-1] == ("stop", uuid)
        assert f"stop {UNIT}" not in systemd.calls


class TestStartAgain:
    def test_a_prepared_pod_is_itself(self, stage0: Stage0Lab) -> None:
        uuid = stage0.make("web")
        with start.start_again(stage0.host, "web") as pod:
            assert pod.uuid == uuid

    def test_one_that_runs_is_not_started_again(self, stage0: Stage0Lab) -> None:
        stage0.running("web")
        with pytest.raises(Conflict, match="is running"):
            start.start_again(stage0.host, "web")

    def test_one_that_has_ended_is_made_again_and_the_old_one_is_for_the_collection(
        self, stage0: Stage0Lab
    ) -> None:
        old = stage0.make("web", "run", args="/y")
        with start.start_again(stage0.host, "web") as pod:
            assert pod.uuid not in (old,)
            assert stage0.documents(pod.uuid) == stage0.documents(old)
            assert stage0.meant("web") == pod.uuid
        assert stage0.state(old) == "exited garbage"

    def test_what_a_plan_has_not_seen_is_left_alone(self, stage0: Stage0Lab) -> None:
        seen, since = stage0.make("web", "run"), stage0.make("web", "run")
        with pytest.raises(Conflict):
            start.start_again(stage0.host, "web", seen)
        assert (stage0.meant("web"), stage0.uuids()) == (since, {seen, since})

    def test_its_lock_is_let_go_of_and_goes_when_it_is_done(self, stage0: Stage0Lab) -> None:
        stage0.running("web")
        with pytest.raises(Conflict):
            start.start_again(stage0.host, "web")
        stage0.make("web")
        start.start_again(stage0.host, "web").close()
        assert os.listdir(stage0.paths.locks) == []


def test_a_pod_that_does_not_end_is_waited_for_no_longer_than_said(stage0: Stage0Lab) -> None:
    uuid, before = stage0.running("web"), stage0.clock.passed
    with lifecycle.open_pod(stage0.paths, uuid) as pod:
        assert start.wait(stage0.host, pod, 3) is False
        assert 3 <= stage0.clock.passed - before < 4
        stage0.clock.after(4, lambda: stage0.stage1.finish(uuid))
        assert start.wait(stage0.host, pod, None) is True


@pytest.mark.parametrize(
    ("now", "same", "expected"),
    [("prepared", True, False), ("run", True, True), ("run", False, False)],
    ids=["it does not run", "it runs", "another one runs"],
)
def test_what_runs_meanwhile_is_what_was_wanted(
    stage0: Stage0Lab, now: str, same: bool, expected: bool
) -> None:
    seen = stage0.make("web", "exited-garbage", means=False)
    args = "/x" if same else "/y"
    stage0.running("web", args=args) if now == "run" else stage0.make("web", now, args=args)
    assert start.runs_meanwhile(stage0.host, "web", seen) is expected


def test_a_pid_file_is_no_way_to_another_file(stage0: Stage0Lab) -> None:
    os.makedirs(stage0.paths.pid_files)
    target = stage0.base / "target"
    os.symlink(target, f"{stage0.paths.pid_files}/web.pid")
    with pytest.raises(OSError, match="symbolic links"):
        start.write_pid_file(stage0.host, "web", 7)
    assert not target.exists()
