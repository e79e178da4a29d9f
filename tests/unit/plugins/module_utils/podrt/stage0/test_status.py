# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The status of pods in any state, and with any damage."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import PodState
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.status import (
    AppStatus,
    PodStatus,
    is_alive,
    list_pods,
    read_status,
    shown_status,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    ID,
    Stage0Lab,
)


def status(lab: Stage0Lab, uuid: str) -> PodStatus:
    with lifecycle.open_pod(lab.paths, uuid) as pod:
        return read_status(pod)


@pytest.mark.parametrize(
    ("state_dir", "state", "app"),
    [
        ("prepare", PodState.ABORTED_PREPARE, "created"),
        ("prepared", PodState.PREPARED, "created"),
        ("run", PodState.EXITED, "unknown"),
        ("exited-garbage", PodState.EXITED_GARBAGE, "unknown"),
    ],
)
def test_a_pod_is_in_the_state_of_its_directory(
    stage0: Stage0Lab, state_dir: str, state: PodState, app: str
) -> None:
    found = status(stage0, stage0.make("web", state_dir))
    assert (found.state, found.name, found.pid, found.started) == (state, "web", None, None)
    assert found.created is not None
    [shown] = found.apps
    assert shown.created_at is not None and shown.created_at >= found.created
    assert shown.replace(created_at=None) == AppStatus("web", "example.com/a", str(ID), app)


def test_a_pod_that_runs_has_a_process_and_a_beginning(stage0: Stage0Lab) -> None:
    uuid = stage0.running("web")
    found = status(stage0, uuid)
    assert (found.state, found.pid) == (PodState.RUNNING, stage0.stage1.pid_of(uuid))
    assert found.started is not None
    assert [app.state for app in found.apps] == ["running"]
    assert (found.exit_code, found.problem) == (None, "")


def test_a_pod_that_has_ended_has_the_statuses_of_its_apps(stage0: Stage0Lab) -> None:
    uuid = stage0.running("web")
    stage0.stage1.finish(uuid, 3)
    found = status(stage0, uuid)
    assert (found.state, found.exit_code) == (PodState.EXITED, 3)
    [app] = found.apps
    assert (app.state, app.exit_code) == ("exited", 3)
    assert app.finished_at is not None


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((), 0),
        ((0, 0), 0),
        ((0, 3, 5), 3),
        ((None, 0), None),
        ((None, 4), 4),
        ((0, None), None),
    ],
)
def test_a_pod_ends_as_the_first_app_that_failed(codes: tuple[int | None, ...], expected: int | None) -> None:
    apps = tuple(AppStatus(f"a{at}", "", "", "exited", code) for at, code in enumerate(codes))
    assert PodStatus("u", PodState.EXITED, None, None, None, apps, ()).exit_code == expected


@pytest.mark.parametrize(
    ("file", "content", "problem", "name"),
    [
        ("pod", b"{", "cannot read the manifest of a pod", "web"),
        ("runspec", b"\xff", "cannot read the run spec of a pod", "web"),
        ("runspec", b'{"format": 99, "name": "web"}', "newer release", "web"),
        ("pid", b"many", "pid", "web"),
        ("net-info.json", b"3", "is not a list of objects", "web"),
        ("net-info.json", b"[3]", "is not a list of objects", "web"),
        ("net-info.json", b"", "cannot read the networks of the pod", "web"),
        ("stage1/rootfs/rkt/status/web", b"x", "status", "web"),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_the_rest_is_known(
    stage0: Stage0Lab, file: str, content: bytes, problem: str, name: str
) -> None:
    uuid = stage0.running("web")
    path = pathlib.Path(stage0.paths.pod("run", uuid).path, file)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    found = status(stage0, uuid)
    assert problem in found.problem
    assert (found.state, found.name) == (PodState.RUNNING, name)
    assert found.created is not None


def test_what_is_missing_is_a_problem_of_a_pod_that_is_complete(stage0: Stage0Lab) -> None:
    for state_dir, problem in (("prepare", ""), ("prepared", "no pod manifest")):
        uuid = stage0.make("web", state_dir, means=False)
        pathlib.Path(stage0.paths.pod(state_dir, uuid).manifest).unlink()
        assert status(stage0, uuid).problem == problem


def test_an_interface_is_told_with_all_that_its_record_has(stage0: Stage0Lab) -> None:
    uuid = stage0.running("web")
    record = {"netName": "lan", "ip": "198.18.0.2", "ifName": "eth0", "later": [1]}
    pathlib.Path(stage0.paths.pod("run", uuid).net_info).write_text(json.dumps([record]))
    [network] = status(stage0, uuid).networks
    assert (network.net_name, network.ip, network.if_name) == ("lan", "198.18.0.2", "eth0")
    assert json.loads(network.raw) == record


@pytest.mark.parametrize("was_asked", [True, False])
def test_a_pod_that_was_asked_to_stop_is_told_from_one_that_ended(stage0: Stage0Lab, was_asked: bool) -> None:
    uuid = stage0.make("web", "run")
    if was_asked:
        pathlib.Path(stage0.paths.pod("run", uuid).stopped).touch()
    assert status(stage0, uuid).was_stopped is was_asked


def test_one_pod_that_is_damaged_or_goes_hides_no_other(stage0: Stage0Lab) -> None:
    uuids = {
        stage0.make("a", "run"),
        stage0.make("b", "prepared"),
        stage0.running("c"),
        stage0.make("d", "exited-garbage", means=False),
    }
    for state_dir in ("embryo", "garbage"):
        stage0.make("web", state_dir, means=False)
    damaged = stage0.make("e", "run")
    pathlib.Path(stage0.paths.pod("run", damaged).manifest).write_text("")
    assert {found.uuid for found in list_pods(stage0.host)} == uuids | {damaged}
    assert [found.uuid for found in list_pods(stage0.host)] == sorted(uuids | {damaged})


def test_a_pod_that_is_gone_is_not_found(stage0: Stage0Lab) -> None:
    uuid = stage0.make("web", "garbage")
    with lifecycle.open_pod(stage0.paths, uuid) as pod:
        pod.discard()
        with pytest.raises(NotFound, match="is gone"):
            read_status(pod)


@pytest.mark.finding("trial7-F6")
def test_a_pod_without_a_process_is_shown_as_exited_while_another_process_holds_its_lock(
    stage0: Stage0Lab,
) -> None:
    uuid = stage0.running("web")
    [shown] = list_pods(stage0.host)
    assert shown.state is PodState.RUNNING
    stage0.kernel.answers[is_alive] = False
    [shown] = list_pods(stage0.host)
    assert (shown.uuid, shown.name, shown.state, shown.problem) == (uuid, "web", PodState.EXITED, "")
    assert [app.state for app in shown.apps] == ["unknown"]
    assert status(stage0, uuid).state is PodState.RUNNING  # plans go by the lock alone
    pathlib.Path(stage0.paths.pod("run", uuid).pid).unlink()  # one that is being started
    [shown] = list_pods(stage0.host)
    assert shown.state is PodState.RUNNING


@pytest.mark.finding("trial7-F6")
def test_a_pod_that_is_removed_while_it_is_looked_at_is_no_problem(
    stage0: Stage0Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = stage0.make("web", "run")
    read = documents.read_manifest

    def removed(place: PodDir) -> PodManifest:
        """As a collector that is faster than who reads: it moves the pod, and then removes a document at a time."""
        with lifecycle.open_pod(stage0.paths, uuid) as pod:
            if pod.state_dir == "run":
                pod.move("exited-garbage")
            else:
                os.unlink(pod.dir.manifest)
                pod.move("garbage")
                pod.discard()
        return read(place)

    monkeypatch.setattr(documents, "read_manifest", removed)
    assert list_pods(stage0.host) == ()


@pytest.mark.finding("trial7-F6")
def test_a_pod_that_is_being_deleted_lacks_documents(stage0: Stage0Lab) -> None:
    uuid = stage0.make("web", "exited-garbage")
    with lifecycle.open_pod(stage0.paths, uuid) as pod, lifecycle.open_pod(stage0.paths, uuid) as other:
        assert other.lock()
        os.unlink(pod.dir.manifest)
        os.unlink(pod.dir.runspec)
        found = shown_status(stage0.host, pod)
        assert (found.state, found.problem) == (PodState.EXITED_DELETING, "")
        other.close()
        assert "no pod manifest" in shown_status(stage0.host, pod).problem


def test_a_zombie_is_not_alive() -> None:
    assert is_alive(os.getpid())
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child)
    os.waitpid(child, 0)
    assert not is_alive(child)
