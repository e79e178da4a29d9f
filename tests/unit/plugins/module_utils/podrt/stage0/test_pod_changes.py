# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Changes of pods: only of those that their plan has seen."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle, lookup
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.names import PodName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import plan, start, swap
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Change, converge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.pod_changes import (
    CreatePod,
    RemovePod,
    ReplacePod,
    RestartPod,
    SettleUnit,
    StartPod,
    StopPod,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    preparation,
)

# Its beginning is the name of a pod as well.
PREFIXED = "db0a2f3c-0000-4000-8000-000000000001"


def rename(stage0: Stage0Lab, uuid: str, wanted: str) -> str:
    """Give a pod that is not running another UUID."""
    with lifecycle.open_pod(stage0.paths, uuid) as pod:
        os.rename(pod.dir.path, stage0.paths.pod(pod.state_dir, wanted).path)
    return wanted


@pytest.mark.finding("review-B1")
def test_a_name_that_means_no_pod_is_not_the_beginning_of_the_uuid_of_another(stage0: Stage0Lab) -> None:
    web = rename(stage0, stage0.make("web", means=False), PREFIXED)
    lookup.set_name(stage0.paths, "web", web)
    stage0.stage1.run(web)
    left = stage0.make("db", "exited-garbage", means=False)
    outcome, _nothing = converge(stage0.host, plan.ensure_absent(stage0.host, PodName("db")), apply=True)
    assert [difference.path for difference in outcome.differences] == [f"pods.{left}"]
    assert (stage0.state(web), stage0.meant("web")) == ("running", web)
    assert stage0.uuids() == {web}
    assert ("stop", web) not in stage0.stage1.calls


@pytest.mark.finding("review-B1")
@pytest.mark.parametrize("verb", [lookup.by_name, lambda paths, name: lookup.expect(paths, name, PREFIXED)])
def test_below_the_command_line_a_name_is_a_name(stage0: Stage0Lab, verb: Callable[..., object]) -> None:
    rename(stage0, stage0.make("web", means=False), PREFIXED)
    with pytest.raises((Conflict, NotFound)):
        verb(stage0.paths, "db")
    assert lookup.uuid_of_name(stage0.paths, "db0a2f3c") is None


def changes_of(name: str, uuid: str) -> dict[str, Change]:
    """Every change of an existing pod, from a plan that has seen this UUID."""
    return {
        "replace": ReplacePod("pod", (), preparation(name), uuid, True, True),
        "start": StartPod("pod", (), name, uuid, True),
        "stop": StopPod("pod", (), name, uuid),
        "restart": RestartPod("pod", (), name, uuid, True),
        "remove": RemovePod("pod", (), name, uuid, ()),
        "settle": SettleUnit("pod", (), name, uuid, True),
    }


@pytest.mark.finding("review-B1")
@pytest.mark.parametrize("kind", sorted(changes_of("web", "")))
def test_a_change_leaves_alone_what_the_name_has_come_to_mean_since_the_plan(
    stage0: Stage0Lab, kind: str
) -> None:
    seen = stage0.make("web", "run")
    since = stage0.running("web", args="/y")
    with pytest.raises(Conflict) as caught:
        changes_of("web", seen)[kind].apply(stage0.host)
    assert since in caught.value.message
    assert (stage0.state(since), stage0.meant("web")) == ("running", since)
    assert stage0.uuids() == {seen, since}


def test_a_pod_is_not_made_under_a_name_that_has_been_taken_since_the_plan(stage0: Stage0Lab) -> None:
    since = stage0.running("web")
    with pytest.raises(Conflict):
        CreatePod("pod", (), preparation("web"), True, True).apply(stage0.host)
    assert stage0.uuids() == {since}


def test_what_the_unit_has_started_meanwhile_is_what_was_wanted(stage0: Stage0Lab) -> None:
    seen = stage0.make("web", "exited-garbage", means=False)
    since = stage0.running("web")
    StartPod("pod", (), "web", seen, True).apply(stage0.host)
    assert stage0.meant("web") == since
    assert stage0.stage1.calls == []


def test_a_pod_that_has_ended_starts_as_a_new_one_of_its_name(stage0: Stage0Lab) -> None:
    old = stage0.make("web", "run")
    StartPod("pod", (), "web", old, True).apply(stage0.host)
    new = stage0.meant("web")
    assert new not in (None, old)
    assert stage0.state(str(new)) == "running"
    assert stage0.uuids() == {new}


@pytest.mark.finding("review-B24")
def test_a_pod_that_could_not_be_stopped_is_not_marked_as_stopped(stage0: Stage0Lab) -> None:
    uuid = stage0.running("web")
    stage0.stage1.failing["stop"] = "it does not listen"
    with pytest.raises(HostFailure, match="it does not listen"):
        StopPod("pod", (), "web", uuid).apply(stage0.host)
    assert not os.path.exists(stage0.paths.pod("run", uuid).stopped)
    del stage0.stage1.failing["stop"]
    StopPod("pod", (), "web", uuid).apply(stage0.host)
    assert os.path.exists(stage0.paths.pod("run", uuid).stopped)
    assert stage0.state(uuid) == "exited"


@pytest.mark.finding("heart-3")
def test_a_pod_that_has_ended_when_its_stop_is_reported_as_too_late_was_stopped(stage0: Stage0Lab) -> None:
    uuid = stage0.running("web")
    stage0.stage1.late.add("stop")
    StopPod("pod", (), "web", uuid).apply(stage0.host)
    found = plan.find_named(stage0.host, "web")
    assert found
    assert (found.state.value, found.was_stopped) == ("exited", True)


@pytest.mark.finding("review-B1")
def test_a_pod_that_could_not_be_deleted_keeps_its_name_for_the_next_try(stage0: Stage0Lab) -> None:
    uuid = stage0.running("web")
    stage0.stage1.failing["stage1-gc"] = "something is still mounted"
    absent = RemovePod("pod", (), "web", uuid, ())
    with pytest.raises(HostFailure, match="still mounted"):
        absent.apply(stage0.host)
    assert stage0.meant("web") == uuid
    del stage0.stage1.failing["stage1-gc"]
    absent.apply(stage0.host)
    assert (stage0.meant("web"), stage0.uuids()) == (None, set())


@pytest.mark.finding("review-B25")
def test_forgetting_a_pods_name_leaves_the_name_of_another(stage0: Stage0Lab) -> None:
    old, new = stage0.make("web"), stage0.make("web")
    lookup.drop_name(stage0.paths, "web", old)
    assert stage0.meant("web") == new
    lookup.drop_name(stage0.paths, "web", new)
    assert stage0.meant("web") is None


def test_a_replacement_that_does_not_start_gives_the_name_and_the_run_back(stage0: Stage0Lab) -> None:
    old, new = stage0.running("web"), stage0.make("web", means=False, args="/y")
    starts = 0

    class FirstFails(type(stage0.stage1)):  # type: ignore[misc]
        def __call__(self, argv, **limits):  # type: ignore[no-untyped-def]
            nonlocal starts
            starts += argv[-3] == "run-prepared"
            self.failing = {"run-prepared": "no such user"} if starts == 1 else {}
            return super().__call__(argv, **limits)

    stage0.stage1.__class__ = FirstFails
    with (
        lifecycle.open_pod(stage0.paths, old) as pod,
        pytest.raises(HostFailure, match="no such user") as caught,
    ):
        swap.swap(stage0.host, "web", pod, new, swap.StartUp(None))
    assert caught.value.facts["rolled_back"] is True
    back = stage0.meant("web")
    assert back not in (None, old, new)
    assert stage0.state(str(back)) == "running"
    assert stage0.uuids() == {back}


def test_what_a_rehearsal_finds_leaves_the_old_pod_alone(stage0: Stage0Lab) -> None:
    old, new = stage0.running("web"), stage0.make("web", means=False, args="/y")
    stage0.stage1.failing["rehearse"] = "no such group"
    with lifecycle.open_pod(stage0.paths, old) as pod, pytest.raises(HostFailure, match="no such group"):
        swap.swap(stage0.host, "web", pod, new, swap.StartUp(None))
    assert (stage0.state(old), stage0.meant("web"), stage0.uuids()) == ("running", old, {old})
    assert [verb for verb, _uuid in stage0.stage1.calls] == ["rehearse"]


def test_a_name_is_free_again_when_its_pod_exists_nowhere(stage0: Stage0Lab) -> None:
    lookup.set_name(stage0.paths, "web", PREFIXED)
    assert stage0.meant("web") is None
    with pytest.raises(NotFound):
        start.start_again(stage0.host, "web")


@pytest.mark.finding("use-N15")
@pytest.mark.parametrize(
    ("state", "runs", "paths", "after"),
    [
        ("started", False, ["pods.web.state"], "running"),
        ("started", True, [], "running"),
        ("stopped", True, ["pods.web.state"], "exited"),
        ("stopped", False, [], "prepared"),
        ("restarted", True, ["pods.web.state"], "running"),
    ],
)
def test_a_handler_needs_no_more_than_a_name(
    stage0: Stage0Lab, state: str, runs: bool, paths: list[str], after: str
) -> None:
    uuid = stage0.make("web")
    if runs:
        stage0.stage1.run(uuid)
    wanted = plan.ensure_state(stage0.host, PodName("web"), state)
    outcome, _warnings = converge(stage0.host, wanted, apply=True)
    assert [difference.path for difference in outcome.differences] == paths
    assert stage0.state(stage0.meant("web")) == after


@pytest.mark.finding("use-N15", "case-20")
def test_a_handler_of_a_pod_that_is_not_there_fails_and_in_check_mode_says_that_it_would(
    stage0: Stage0Lab,
) -> None:
    name = PodName("web")
    foretold, _warnings = converge(
        stage0.host, plan.ensure_state(stage0.host, name, "restarted"), apply=False
    )
    assert foretold.changed
    assert foretold.foreseen == (
        'this would fail now: there is no pod of the name "web" (describe its apps to have one made)',
    )
    with pytest.raises(NotFound, match="there is no pod"):
        converge(stage0.host, plan.ensure_state(stage0.host, name, "restarted"), apply=True)


@pytest.mark.behaviour("C55")
@pytest.mark.parametrize("activated", [True, False])
def test_a_pod_that_a_connection_is_to_start_has_its_unit_before_it_runs(
    lab: Stage0Lab, activated: bool
) -> None:
    systemd = lab.boot()
    socket = pathlib.Path(lab.paths.socket_unit("web"))
    if activated:
        socket.touch()

    def prepared(args: str) -> int:
        steps = plan.ensure_pod(lab.host, lab.spec(app={"args": [args]}), "prepared")
        outcome, _found = converge(lab.host, steps, apply=True)
        return len(outcome.differences)

    unit = lab.paths.unit("web")
    assert (prepared("/x"), os.path.exists(unit), prepared("/x")) == (1, activated, 0)
    assert (prepared("/y"), os.path.exists(unit), prepared("/y")) == (1, activated, 0)
    assert not systemd.is_enabled("pod-web.service")
    socket.touch()
    assert (prepared("/y"), os.path.exists(unit), prepared("/y")) == (not activated, True, 0)
