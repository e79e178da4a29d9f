# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""podctl pause and unpause: apps that stand still, and what goes on around them."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    cgroups_of,
    eventually,
)

COUNTS = "trap 'echo over; exit 0' TERM; i=0; while true; do i=$((i+1)); echo $i > /count; sleep 0.02; done"
FREEZER = "freezer.state"


def directory(pods: PodHost, uuid: str) -> pathlib.Path:
    return pods.data / "pods" / "run" / uuid


def count(pods: PodHost, uuid: str) -> str:
    (file,) = directory(pods, uuid).glob("overlay/*/upper/busybox/count")
    return file.read_text()


def begun(pods: PodHost, *flags: str) -> str:
    uuid = pods.detached(COUNTS, *flags)
    eventually(lambda: list(directory(pods, uuid).glob("overlay/*/upper/busybox/count")))
    return uuid


def stands_still(pods: PodHost, uuid: str) -> bool:
    before = count(pods, uuid)
    time.sleep(0.3)
    return count(pods, uuid) == before


@contextlib.contextmanager
def knows_v1_alone(pods: PodHost, uuid: str) -> Iterator[None]:
    """Let a pod know only the group in which the v1 controller freezer is."""
    record = directory(pods, uuid) / "cgroups"
    before = record.read_text()
    groups = [line for line in before.splitlines() if os.path.exists(f"{line}/{FREEZER}")]
    if not groups:
        pytest.skip("the v1 controller freezer is not mounted")
    record.write_text(f"{groups[0]}\n")
    yield
    if record.exists():
        record.write_text(before)


@pytest.fixture(params=["v2", "v1"])
def uuid(request: pytest.FixtureRequest, pods: PodHost) -> Iterator[str]:
    found = begun(pods)
    if request.param == "v1":
        with knows_v1_alone(pods, found):
            yield found
        return
    if not any(os.path.exists(f"{group}/cgroup.freeze") for group in cgroups_of([found])):
        pytest.skip("cgroup v2 is not mounted")
    yield found


def test_a_paused_pod_stands_still_and_is_shown(pods: PodHost, uuid: str) -> None:
    assert pods.ok("pause", uuid[:8]) == f'"{uuid}"'
    assert stands_still(pods, uuid)
    lines = pods.ok("status", uuid).splitlines()
    assert ("state=running" in lines, "exited=false" in lines, "paused=true" in lines) == (True, True, True)
    assert "running (paused)" in pods.ok("list")
    assert json.loads(pods.ok("status", "--format=json", uuid))["paused"] is True
    assert pods.ok("pause", uuid) == f'pod "{uuid}" is already paused'
    done = pods.podctl("enter", uuid, "/bin/true")
    assert (done.status, "is paused, and so would be the command" in done.err) == (254, True)
    assert pods.ok("unpause", uuid) == f'"{uuid}"'
    before = count(pods, uuid)
    eventually(lambda: count(pods, uuid) != before)
    assert pods.ok("unpause", uuid) == f'pod "{uuid}" is not paused'
    assert "paused" not in pods.ok("status", uuid)
    assert "paused" not in pods.ok("list", "--format=json")


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["orderly", "force"])
def test_a_paused_pod_is_stopped(pods: PodHost, uuid: str, force: tuple[str, ...]) -> None:
    pods.ok("pause", uuid)
    assert pods.ok("stop", *force, uuid) == f'"{uuid}"'
    lines = pods.wait(uuid)
    assert lines[0] == "state=exited"
    assert ("app-busybox=0" in lines) is not bool(force)


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_a_paused_pod_whose_supervisor_dies_is_removed(pods: PodHost, version: str) -> None:
    uuid = begun(pods)
    with knows_v1_alone(pods, uuid) if version == "v1" else contextlib.nullcontext():
        pods.ok("pause", uuid)
    pid = re.search(r"^pid=(\d+)$", pods.ok("status", uuid), re.MULTILINE)
    assert pid
    os.kill(int(pid[1]), signal.SIGKILL)
    if version == "v1":
        # The kernel reaps no frozen process, so the pod counts as running.
        assert pods.ok("stop", "--force", uuid) in (f'"{uuid}"', f'pod "{uuid}" is already stopped')
    eventually(lambda: pods.state(uuid) == "exited")
    pods.ok("rm", uuid)
    assert cgroups_of([uuid]) == []


def test_all_apps_are_paused_and_files_can_be_copied(pods: PodHost, tmp_path: pathlib.Path) -> None:
    apps = [(pods.image, f"--name={name}", "--exec=/bin/sh", "--", "-c", COUNTS) for name in ("a", "b")]
    uuid = pods.ok("prepare", "--quiet", *apps[0], "---", *apps[1])
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    eventually(lambda: len(list(directory(pods, uuid).glob("overlay/*/upper/*/count"))) == 2)
    pods.ok("pause", uuid)
    counts = [file.read_text() for file in directory(pods, uuid).glob("overlay/*/upper/*/count")]
    time.sleep(0.3)
    assert [file.read_text() for file in directory(pods, uuid).glob("overlay/*/upper/*/count")] == counts
    pods.ok("cp", f"{uuid}:a:/count", str(tmp_path / "count"))
    assert (tmp_path / "count").read_text() in counts
    pods.ok("stop", uuid)
    assert pods.wait(uuid)[0] == "state=exited"


def test_pods_that_do_not_run_are_refused(pods: PodHost) -> None:
    prepared = pods.ok("prepare", "--quiet", pods.image)
    done = pods.podctl("pause", prepared, "nosuch")
    assert done.status == 254
    assert done.err.splitlines()[0] == f'pause: pod "{prepared}" is not running'
    assert done.err.splitlines()[-1] == "pause: failed to pause 2 pod(s)"
    assert pods.podctl("unpause", prepared).status == 254
