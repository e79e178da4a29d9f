# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib
import threading
from unittest.mock import ANY

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import files, syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.locks import FileLock
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import STATES, Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lookup
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import (
    PodState,
    create,
    new_uuid,
    open_pod,
    walk,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    Dns,
    HostsFile,
    NetworkRequest,
    RunSpec,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.host.test_syscalls import (
    in_child,
    privately,
)


@pytest.fixture(name="paths")
def _paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(data=str(tmp_path))


@pytest.mark.behaviour("D1", "D2")
@pytest.mark.parametrize(
    ("place", "unlocked", "locked"),
    [
        ("embryo", PodState.EMBRYO, PodState.EMBRYO),
        ("prepare", PodState.ABORTED_PREPARE, PodState.PREPARING),
        ("prepared", PodState.PREPARED, PodState.PREPARED),
        ("run", PodState.EXITED, PodState.RUNNING),
        ("exited-garbage", PodState.EXITED_GARBAGE, PodState.EXITED_DELETING),
        ("garbage", PodState.GARBAGE, PodState.DELETING),
    ],
)
def test_the_state_is_the_place_and_the_lock(
    paths: Paths, place: str, unlocked: PodState, locked: PodState
) -> None:
    with create(paths) as pod:
        if place != "prepare":
            pod.move(place)
        assert pod.state() is locked
        with open_pod(paths, pod.uuid) as other:
            assert other.state() is locked
            assert not other.lock()
        uuid = pod.uuid
    with open_pod(paths, uuid) as other:
        assert other.state() is unlocked


@pytest.mark.behaviour("D1")
def test_all_six_directories_are_made_at_once(paths: Paths) -> None:
    create(paths).close()
    assert sorted(os.listdir(paths.pods)) == sorted(STATES)


@pytest.mark.root
@pytest.mark.parametrize(
    ("inodes", "flags", "hint"),
    [
        (3, 0, "make room on that file system"),
        (99, syscalls.MS_RDONLY, "that file system is read-only: remount it, or choose another directory"),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_no_pod_is_told_with_what_helps(
    paths: Paths, inodes: int, flags: int, hint: str
) -> None:
    def make_one() -> None:
        privately()
        syscalls.mount("small", paths.data, "tmpfs", flags, f"nr_inodes={inodes}")
        with pytest.raises(HostFailure, match="cannot create a pod: ") as caught:
            create(paths)
        assert (caught.value.hint, caught.value.facts["path"]) == (hint, paths.pods if flags else ANY)

    in_child(make_one)


@pytest.mark.behaviour("D3")
def test_whoever_loses_a_race_for_a_move_is_told(paths: Paths) -> None:
    with create(paths) as pod, open_pod(paths, pod.uuid) as other:
        pod.move("prepared")
        with pytest.raises(Conflict, match="moved by another process"):
            other.move("garbage")


def test_a_pod_is_on_disk_once_it_is_prepared(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(files, "sync_dir", synced.append)
    pod = create(paths)
    assert synced == []
    pod.move("prepared")
    assert synced == [paths.state("prepared"), paths.state("prepare")]
    pod.move("run", synced=False)
    assert (len(synced), pod.state()) == (2, PodState.RUNNING)


@pytest.mark.behaviour("D4")
def test_the_lock_goes_with_the_process_that_holds_it(paths: Paths) -> None:
    with create(paths) as pod:
        pod.move("run")
        uuid, held = pod.uuid, os.dup(pod.fd)
    with open_pod(paths, uuid) as other:
        assert other.state() is PodState.RUNNING
        os.close(held)
        assert other.state() is PodState.EXITED


def test_a_pod_that_is_gone_is_not_found(paths: Paths) -> None:
    with create(paths) as pod:
        os.unlink(pod.dir.created)
        os.rmdir(pod.dir.path)
        with pytest.raises(NotFound):
            pod.state()
    with pytest.raises(NotFound):
        open_pod(paths, new_uuid())


@pytest.mark.behaviour("D5", "A64")
def test_a_pod_is_found_by_the_beginning_of_its_uuid_and_by_its_name(paths: Paths) -> None:
    with create(paths) as pod:
        uuid = pod.uuid
    lookup.set_name(paths, "web", uuid)
    for text in (uuid, uuid[:8].upper(), "web"):
        with lookup.resolve(paths, text) as found:
            assert found.uuid == uuid
    lookup.drop_name(paths, "web", new_uuid())
    assert lookup.uuid_of_name(paths, "web") == uuid
    lookup.drop_name(paths, "web", uuid)
    assert lookup.uuid_of_name(paths, "web") is None


@pytest.mark.behaviour("D5", "A43")
def test_what_names_no_pod_or_several_is_refused(paths: Paths) -> None:
    first, second = "aaaa" + new_uuid()[4:], "aaaa" + new_uuid()[4:]
    for uuid in (first, second):
        os.makedirs(paths.pod("run", uuid).path)
    with pytest.raises(InvalidSpec, match="ambiguous uuid, 2 matches"):
        lookup.resolve(paths, "aaaa")
    with pytest.raises(InvalidSpec, match="UUID cannot be empty"):
        lookup.resolve(paths, "")
    with pytest.raises(NotFound, match='no matches found for "bbbb"'):
        lookup.resolve(paths, "bbbb")
    with pytest.raises(NotFound):
        lookup.resolve(paths, "../x")


def test_pods_are_walked_in_order(paths: Paths) -> None:
    made = sorted(_made(paths) for _number in range(5))
    assert [pod.uuid for pod in walk(paths)] == made


def _made(paths: Paths) -> str:
    with create(paths) as pod:
        return pod.uuid


def test_a_lock_that_is_held_says_by_whom(paths: Paths) -> None:
    path = f"{paths.data}/lock"
    by_us = rf"held by .*pid {os.getpid()}"
    with FileLock(path), pytest.raises(Conflict, match=by_us), FileLock(path, timeout=0.1):
        pass
    with FileLock(path, timeout=0):
        pass


def test_who_asks_for_the_state_keeps_nobody_from_the_lock(paths: Paths) -> None:
    """Reading the state takes the lock for a moment: polling must not look like another process that holds the pod."""
    with create(paths) as pod:
        uuid = pod.uuid
    stop = threading.Event()

    def poll() -> None:
        with open_pod(paths, uuid) as asked:
            while not stop.is_set():
                asked.state()

    pollers = [threading.Thread(target=poll) for _number in range(3)]
    for poller in pollers:
        poller.start()
    try:
        for _number in range(300):
            with open_pod(paths, uuid) as pod:
                assert pod.lock()
    finally:
        stop.set()
        for poller in pollers:
            poller.join()


def test_a_run_spec_survives_json() -> None:
    spec = RunSpec(
        name="web",
        networks=(NetworkRequest("default", (("IP", "172.16.28.9"),)),),
        hostname="here",
        dns=Dns("custom", ("9.9.9.9",), ("example.com",), ("ndots:2",), "local"),
        hosts=HostsFile("custom", (("10.0.0.1", ("a", "b")),)),
        ipc="parent",
        insecure=("paths",),
        overlay=False,
        stop_timeout=3,
    )
    assert RunSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"ipc": "x"}, "ipc"),
        ({"insecure": ("image",)}, "insecure_options"),
        ({"stop_timeout": -1}, "stop_timeout"),
    ],
)
def test_a_wrong_run_spec_is_refused(change: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        RunSpec(**change)  # type: ignore[arg-type]
    assert caught.value.where == where
