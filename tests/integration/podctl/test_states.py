# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The states of real pods, the directories and locks that they are, and how list shows them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import stat
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost

DIRECTORIES = ["embryo", "exited-garbage", "garbage", "prepare", "prepared", "run"]


def place(pods: PodHost, uuid: str, state: str) -> pathlib.Path:
    return pods.data / "pods" / state / uuid


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """As a process at work holds the directory of a pod."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@pytest.mark.behaviour("A36", "D1", "D2")
def test_the_state_is_the_directory_and_whether_it_is_locked(pods: PodHost) -> None:
    assert pods.ok("list", "--no-legend") == ""
    assert sorted(os.listdir(pods.data / "pods")) == DIRECTORIES
    assert {stat.S_IMODE((pods.data / "pods" / one).stat().st_mode) for one in DIRECTORIES} == {0o750}
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/true")
    assert stat.S_IMODE(place(pods, uuid, "prepared").stat().st_mode) == 0o750
    last = "prepared"
    for directory, free, held in (
        ("prepared", "prepared", None),
        ("prepare", "aborted prepare", "preparing"),
        ("run", "exited", "running"),
        ("exited-garbage", "exited garbage", "exited deleting"),
    ):
        os.rename(place(pods, uuid, last), place(pods, uuid, directory))
        last = directory
        assert pods.state(uuid) == free
        assert [line.split("\t")[0] for line in pods.lines()] == [uuid]
        with locked(place(pods, uuid, directory)) if held else contextlib.nullcontext():
            if held:
                listed = pods.ok("list", "--full", "--no-legend")
                assert re.search(rf"\t{held}\t", listed), listed
    for directory in ("embryo", "garbage"):
        os.rename(place(pods, uuid, last), place(pods, uuid, directory))
        last = directory
        assert pods.lines() == []
    os.rename(place(pods, uuid, "garbage"), place(pods, uuid, "prepared"))


@pytest.mark.behaviour("D2", "D3", "D4")
def test_a_pod_moves_as_one_directory_through_its_life(pods: PodHost) -> None:
    """By renames alone: the directory, an inode, is the same to its end."""
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/sleep", "--", "1000")
    inode = place(pods, uuid, "prepared").stat().st_ino
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    assert place(pods, uuid, "run").stat().st_ino == inode
    assert pods.state(uuid) == "running"
    fd = os.open(place(pods, uuid, "run"), os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    pods.ok("stop", uuid)
    pods.wait(uuid)
    pods.ok("gc", "--mark-only")
    assert place(pods, uuid, "exited-garbage").stat().st_ino == inode
    assert not place(pods, uuid, "run").exists()


@pytest.mark.behaviour("D3", "D20")
def test_several_collections_at_once_remove_each_pod_once(pods: PodHost) -> None:
    """A race that is lost is a success: none of them fails."""
    uuids = [pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/true") for _each in range(4)]
    for uuid in uuids[:2]:
        assert pods.podctl("run-prepared", "--net=none", uuid).status == 0
    words = ("gc", "--grace-period=0s", "--expire-prepared=0s")
    collecting = [pods.background(*words) for _each in range(4)]
    said = [process.communicate(timeout=60) for process in collecting]
    assert [process.returncode for process in collecting] == [0] * 4, said
    told = [line for out, _err in said for line in out.splitlines()]
    assert sorted(told) == sorted(f'Garbage collecting pod "{uuid}"' for uuid in uuids)
    assert pods.uuids() == []
    assert [os.listdir(pods.data / "pods" / one) for one in DIRECTORIES] == [[]] * 6


@pytest.mark.behaviour("A31", "A32", "A33", "A34", "A36", "A38", "G2")
def test_a_list_has_a_row_for_each_app_and_columns_between_tabs(pods: PodHost) -> None:
    apps = (pods.image, "--name=first", pods.image, "--name=second")
    uuid = pods.ok("prepare", "--quiet", *apps)
    header, first, second = pods.ok("list").splitlines()
    titles = ["UUID", "APP", "IMAGE NAME", "STATE", "CREATED", "STARTED", "NETWORKS"]
    assert re.split(r"\t+", header.rstrip("\t")) == titles
    cells = re.split(r"\t+", first.rstrip("\t"))
    assert cells[:4] == [uuid[:8], "first", "example.com/busybox:1.0", "prepared"]
    assert re.fullmatch(r"now|\d+ seconds? ago", cells[4])
    assert len(cells) == 5  # never started
    assert second.strip("\t").split("\t")[0] == "second"
    assert second.startswith("\t") and "prepared" not in second
    full = pods.ok("list", "--full").splitlines()
    assert re.split(r"\t+", full[0].rstrip("\t")) == [*titles[:3], "IMAGE ID", *titles[3:]]
    cells = re.split(r"\t+", full[1].rstrip("\t"))
    assert cells[0] == uuid
    assert re.fullmatch(r"sha512-[0-9a-f]{12}", cells[3])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})? [+-]\d{4} \w+", cells[5])
    created = place(pods, uuid, "prepared") / "pod-created"
    for age, text in (
        (90, "1 minute ago"),
        (7300, "2 hours ago"),
        (8 * 86400, "1 week ago"),
        (400 * 86400, "1 year ago"),
    ):
        when = created.stat().st_mtime - age
        os.utime(created, (when, when))
        assert text in pods.ok("list")
        when = created.stat().st_mtime + age
        os.utime(created, (when, when))
    assert pods.ok("list", "--no-legend").splitlines()[0].startswith(uuid[:8])
    pods.ok("image", "rm", "example.com/busybox")
    assert "example.com/busybox:1.0" in pods.ok("list")


@pytest.mark.finding("trial7-F6")
def test_a_pod_that_has_ended_is_not_shown_as_running_while_it_is_collected(pods: PodHost) -> None:
    uuid = pods.ok("prepare", "--quiet", pods.image, "--exec=/bin/sleep", "--", "1000")
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    assert pods.state(uuid) == "running"
    pods.ok("stop", uuid)
    pods.wait(uuid)
    with locked(place(pods, uuid, "run")):
        assert pods.state(uuid) == "exited"
        assert "\texited\t" in pods.ok("list", "--full", "--no-legend")
        assert pods.podctl("rm", uuid).status != 0  # the lock means what it did
    pods.ok("rm", uuid)


@pytest.mark.behaviour("A32", "A38")
def test_a_pod_that_cannot_be_read_is_told_of_below_the_others(pods: PodHost) -> None:
    broken, good = (pods.ok("prepare", "--quiet", pods.image) for _each in range(2))
    manifest = place(pods, broken, "prepared") / "pod"
    before = manifest.read_text()
    manifest.write_text("{")
    done = pods.podctl("list", "--full")
    assert done.status == 0
    assert done.err.splitlines()[0] == "1 error(s) encountered when listing pods:"
    assert broken in done.err
    rows = {line.split("\t")[0]: re.split(r"\t+", line) for line in done.out.splitlines()[1:]}
    assert rows[broken][1:3] == ["-", "-"]
    assert rows[good][1] == "busybox"
    done = pods.podctl("list", "--format=json")
    assert (done.status, good in [pod["name"] for pod in json.loads(done.out)]) == (0, True)
    manifest.write_text(before)


@pytest.mark.parametrize("users", [(), ("--private-users",)], ids=["host-users", "own-users"])
def test_a_rehearsal_leaves_nothing_of_the_host_to_take_down(pods: PodHost, users: tuple[str, ...]) -> None:
    """So that no process of stage1 is needed to remove the pod, as when an app of another one was rehearsed in it."""
    uuid = pods.ok("prepare", "--quiet", *users, pods.image, "--exec=/bin/echo", "--", "ran")
    pods.ok("rehearse", uuid)
    groups = (place(pods, uuid, "prepared") / "cgroups").read_text().splitlines()
    assert groups
    assert [path for path in groups if os.path.exists(path)] == []
    assert not (place(pods, uuid, "prepared") / "subcgroup").exists()
    assert "ran" in pods.ok("run-prepared", "--net=none", uuid)
    assert (place(pods, uuid, "run") / "subcgroup").exists()


def test_a_rehearsal_finds_that_an_app_has_too_little_memory_for_its_start(pods: PodHost) -> None:
    uuid = pods.ok("prepare", pods.image, "--memory=64Ki", "--exec=/bin/true")
    done = pods.podctl("rehearse", uuid)
    assert (done.status, "the process of the app has died" in done.err) == (254, True), done.err
    pods.ok("rm", uuid)
