# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods of a stage1 image that is written from nothing but docs/devel/stage1-contract.md, and of broken ones."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    CHECKOUT,
    SECONDS,
    PodHost,
    cgroups_of,
    eventually,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.stage1lab import (
    ENTER,
    GC,
    RUN,
    STOP,
    write_stage1,
)


def stage1(pods: PodHost, name: str, entries: Mapping[str, str], version: str | None = "6") -> str:
    return write_stage1(pods.base, name, entries, version)


def whole(pods: PodHost, version: str | None = "6", **more: str) -> str:
    log = pods.base / "collected"
    entries = {"run": RUN, "enter": ENTER, "stop": STOP, "gc": GC.format(log=log), **more}
    return stage1(pods, "foreign", entries, version)


def lives(pid: str) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def prepared(pods: PodHost, image: str, *flags: str) -> str:
    return pods.ok("prepare", "--quiet", f"--stage1-path={image}", *flags, pods.image)


def running(pods: PodHost, image: str, *flags: str) -> str:
    uuid = prepared(pods, image, *flags)
    pods.ok("run-prepared", "--detach", "--net=host", uuid)
    return uuid


def directory(pods: PodHost, uuid: str, state: str = "run") -> pathlib.Path:
    return pods.data / "pods" / state / uuid


@pytest.mark.behaviour("D24", "D25", "D26", "D27", "D28", "D34")
def test_a_pod_of_a_stage1_image_runs_is_entered_stopped_and_collected(pods: PodHost) -> None:
    uuid = running(pods, whole(pods))
    place = directory(pods, uuid)
    assert pods.state(uuid) == "running"
    assert (place / "where").read_text().strip() == str(place)
    args = (place / "args").read_text().split()
    assert args == ["--net=host", f"--local-config={pods.base}/etc", "--ipc=auto", uuid]
    done = pods.podctl("enter", uuid, "cat", "/data/shipped")
    assert (done.status, done.out, done.err) == (0, "from the image\n", f"entered busybox by {uuid}\n")
    assert pods.podctl("enter", "--user=worker", uuid, "id").err.startswith(
        "enter: --user is not supported by the stage1 of the pod"
    )
    status = pods.ok("status", uuid).splitlines()
    assert f"pid={(place / 'pid').read_text().strip()}" in status
    assert any(line.startswith("started=") for line in status)
    assert pods.ok("stop", uuid) == f'"{uuid}"'
    lines = pods.wait(uuid)
    assert "state=exited" in lines and "app-busybox=0" in lines
    assert (place / "stops").read_text() == f"{uuid}\n"
    pods.ok("rm", uuid)
    assert (pods.base / "collected").read_text() == f"--local-config={pods.base}/etc {uuid}\n"
    assert not place.exists()
    assert cgroups_of([uuid]) == []


@pytest.mark.behaviour("D25", "C42")
@pytest.mark.parametrize("roots", [(), ("--no-overlay",)], ids=["overlay", "copies"])
def test_the_roots_of_a_stage1_belong_to_the_pods_own_users(pods: PodHost, roots: tuple[str, ...]) -> None:
    uuid = running(pods, whole(pods), "--private-users", *roots)
    place = directory(pods, uuid)
    users = (place / "private-users-prepared").read_text().strip()
    flags = ["--net=host", f"--private-users={users}", f"--local-config={pods.base}/etc", "--ipc=auto", uuid]
    assert (place / "args").read_text().split() == flags
    first = users.partition(":")[0]
    assert (
        pods.ok("enter", uuid, "/bin/busybox", "stat", "-c", "%u:%g", "/data/shipped") == f"{first}:{first}"
    )


@pytest.mark.behaviour("D6", "D10", "D34", "A55")
def test_the_image_of_a_stage1_is_one_like_others_and_may_be_removed(pods: PodHost) -> None:
    uuid = prepared(pods, whole(pods))
    assert "example.com/foreign:1.0" in pods.ok("image", "list")
    place = directory(pods, uuid, "prepared")
    assert json.loads((place / "stage1/manifest").read_text())["name"] == "example.com/foreign"
    tree = (place / "stage1TreeStoreID").read_text()
    assert tree in os.listdir(pods.data / "tree")
    pods.ok("image", "rm", "example.com/foreign")
    pods.ok("image", "gc", "--grace-period=0s")
    assert tree in os.listdir(pods.data / "tree")
    pods.ok("run-prepared", "--detach", "--net=host", uuid)
    assert pods.state(uuid) == "running"
    pods.ok("stop", "--force", uuid)
    pods.wait(uuid)
    pods.ok("rm", uuid)
    pods.ok("image", "gc", "--grace-period=0s")
    assert tree not in os.listdir(pods.data / "tree")


@pytest.mark.behaviour("D28", "D11")
def test_a_stage1_that_only_prints_a_word_is_one(pods: PodHost) -> None:
    image = stage1(pods, "word", {"run": "#!/bin/sh\necho hello\n"}, None)
    done = pods.podctl("run", "--net=host", f"--stage1-path={image}", pods.image)
    assert (done.status, done.out) == (0, "hello\n"), done.err
    (uuid,) = pods.uuids()
    assert pods.ok("status", uuid).splitlines()[0] == "state=exited"
    assert not any(line.startswith(("pid=", "started=")) for line in pods.ok("status", uuid).splitlines())
    assert cgroups_of([uuid]) != []
    removed = pods.podctl("rm", uuid)
    assert removed.status == 0, removed.err
    assert cgroups_of([uuid]) == []


@pytest.mark.behaviour("D11", "A26")
def test_the_status_of_the_stage1_is_that_of_run(pods: PodHost) -> None:
    image = stage1(pods, "fails", {"run": "#!/bin/sh\nexit 7\n"})
    assert pods.podctl("run", "--net=host", f"--stage1-path={image}", pods.image).status == 7


@pytest.mark.behaviour("D25", "D32")
@pytest.mark.parametrize(
    ("version", "passed", "warned"),
    [
        (
            "6",
            [
                "--hostname=h",
                "--dns-conf-mode=resolv=stage0,hosts=default",
                "--disable-paths",
                "--ipc=parent",
            ],
            [],
        ),
        ("5", ["--hostname=h", "--dns-conf-mode=resolv=stage0,hosts=default", "--disable-paths"], ["--ipc"]),
        ("3", ["--hostname=h", "--disable-paths"], ["--dns-conf-mode", "--ipc"]),
        ("2", ["--hostname=h"], ["--disable-paths", "--dns-conf-mode", "--ipc"]),
        (None, [], ["--hostname", "--disable-paths", "--dns-conf-mode", "--ipc"]),
    ],
)
def test_an_option_that_the_version_lacks_is_a_warning(
    pods: PodHost, version: str | None, passed: list[str], warned: list[str]
) -> None:
    run = '#!/bin/sh\necho "$@"\ncat stage1/rootfs/etc/rkt-resolv.conf\n'
    image = stage1(pods, "says", {"run": run}, version)
    flags = ("--net=default:IP=172.16.28.9", "--hostname=h", "--dns=192.0.2.1", "--ipc=parent")
    done = pods.podctl("run", *flags, "--insecure-options=image,paths", f"--stage1-path={image}", pods.image)
    assert done.status == 0, done.err
    words, *_comment, resolv = done.out.splitlines()
    assert words.split()[:-1] == [
        "--net=default:IP=172.16.28.9",
        f"--local-config={pods.base}/etc",
        *passed,
    ]
    assert resolv == "nameserver 192.0.2.1"
    lines = done.err.splitlines()
    assert [line for line in lines if line.startswith("stage1: warning: ")] == [
        f"stage1: warning: {flag} option is not supported by stage1" for flag in warned
    ]


@pytest.mark.behaviour("D32")
def test_what_rkt_did_not_have_is_a_warning(pods: PodHost) -> None:
    """Not one of what a stage1 for rkt knows, though: its isolators are in the manifest, the rest is in flags."""
    image = stage1(pods, "says", {"run": '#!/bin/sh\necho "$@"\n'})
    words = ("prepare", "--insecure-options=image", f"--stage1-path={image}")
    known = (pods.image, "--memory=64M", "--cpu=1", "--caps-retain=CAP_CHOWN", "--oom-score-adj=7")
    assert pods.podctl(*words, *known).err == ""
    of_pod = ("--exit-policy=continue", "--shm-size=32M", "--uts=host", "--memory=64M")
    of_app = ("--restart=always", "--tz=UTC", "--tmpfs=/x", "--pids-limit=7")
    done = pods.podctl("run", *words[1:], *of_pod, pods.image, *of_app)
    assert done.status == 0
    assert (
        "a stage1 image may not apply them: tmpfs, uts, exit_policy, shm_size, restart, timezone, resource/memory, "
        "resource/pids\n"
    ) in done.err


@pytest.mark.behaviour("D25")
def test_debug_and_interactive_are_passed_on(pods: PodHost) -> None:
    image = stage1(pods, "says", {"run": '#!/bin/sh\necho "$@"\n'})
    done = pods.podctl("--debug", "run", "--net=host", "--interactive", f"--stage1-path={image}", pods.image)
    assert done.out.split()[:3] == ["--debug", "--net=host", "--interactive"]


@pytest.mark.behaviour("D8")
def test_the_pid_of_a_pod_may_be_that_of_the_only_child_of_ppid(pods: PodHost) -> None:
    run = "#!/bin/sh\necho $$ >ppid\nsleep 600 &\nwait\n"
    uuid = running(pods, stage1(pods, "parent", {"run": run, "stop": "#!/bin/sh\nkill -9 $(cat ppid)\n"}))
    parent = (directory(pods, uuid) / "ppid").read_text().strip()
    child = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    lines = pods.ok("status", uuid).splitlines()
    assert [f"pid={pid}" for pid in child] == [line for line in lines if line.startswith("pid=")]
    pods.ok("stop", "--force", uuid)
    pods.wait(uuid)
    pods.ok("rm", uuid)
    assert not lives(child[0])


@pytest.mark.behaviour("D26", "A42")
def test_a_stage1_without_stop_is_stopped_by_force_alone(pods: PodHost) -> None:
    run = "#!/bin/sh\ntrap '' TERM\necho $$ >pid\nwhile :; do sleep 1; done\n"
    uuid = running(pods, stage1(pods, "stubborn", {"run": run}))
    done = pods.podctl("stop", uuid)
    assert done.status == 254
    assert "podctl stop not implemented for pod's stage1" in done.err
    done = pods.podctl("enter", uuid, "id")
    assert (done.status, done.err) == (254, "enter: podctl enter not implemented for pod's stage1\n")
    pods.ok("stop", "--force", uuid)
    assert "state=exited" in pods.wait(uuid)
    pods.ok("rm", uuid)
    assert cgroups_of([uuid]) == []


@pytest.mark.parametrize(
    ("entries", "version", "said"),
    [
        pytest.param({"enter": ENTER}, "6", "it has no annotation coreos.com/rkt/stage1/run", id="no run"),
        pytest.param(
            {"run": RUN}, "six", 'has the interface version "six", which is no number', id="garbage version"
        ),
        pytest.param({"run": RUN}, "0", 'has the interface version "0", which is no number', id="no version"),
    ],
)
@pytest.mark.behaviour("D24")
def test_an_image_that_is_no_stage1_makes_no_pod(
    pods: PodHost, entries: Mapping[str, str], version: str, said: str
) -> None:
    image = stage1(pods, "broken", entries, version)
    done = pods.podctl("prepare", f"--stage1-path={image}", pods.image)
    assert done.status == 254
    assert said in done.err
    assert pods.uuids() == []


def test_an_image_that_would_lead_out_of_the_pod_is_refused(pods: PodHost) -> None:
    image = pathlib.Path(whole(pods))
    place = pods.base / "foreign-made"
    (place / "rootfs/opt").symlink_to(pods.base)
    subprocess.run(["tar", "-cf", str(image), "-C", str(place), "manifest", "rootfs"], check=True)
    done = pods.podctl("prepare", f"--stage1-path={image}", pods.image)
    assert done.status == 254
    assert "the stage1 image cannot be used: its /opt is no directory" in done.err
    assert not (pods.base / "stage2").exists()
    pods.ok("gc", "--grace-period=0s")
    assert pods.uuids() == []


@pytest.mark.parametrize(
    ("run", "said"),
    [
        pytest.param(
            "#!/bin/sh\nexit 3\n", "its stage1 has ended with status 3 before the pod was up", id="ends"
        ),
        pytest.param("#!/no/such\n", 'Unable to open "', id="no interpreter"),
        pytest.param("garbage", "has an unsupported file type", id="garbage"),
    ],
)
def test_a_start_that_fails_says_why_and_leaves_nothing_after_gc(pods: PodHost, run: str, said: str) -> None:
    uuid = prepared(pods, stage1(pods, "broken", {"run": run}))
    done = pods.podctl("run-prepared", "--detach", "--net=host", uuid)
    assert done.status == 254
    assert said in done.err
    assert pods.state(uuid) == "exited"
    pods.ok("gc", "--grace-period=0s")
    assert pods.uuids() == []
    assert cgroups_of([uuid]) == []


def test_an_entry_that_is_missing_or_leads_out_is_not_run(pods: PodHost) -> None:
    image = pathlib.Path(whole(pods))
    entries = pods.base / "foreign-made/rootfs/entries"
    (entries / "gc").unlink()
    (entries / "stop").unlink()
    (entries / "stop").symlink_to("/bin/true")
    (pods.base / "foreign-made/rootfs/bin/true").unlink()
    subprocess.run(
        ["tar", "-cf", str(image), "-C", str(image.parent / "foreign-made"), "manifest", "rootfs"], check=True
    )
    uuid = running(pods, str(image))
    done = pods.podctl("stop", uuid)
    assert done.status == 254
    assert "the entry stop of the pod's stage1 is missing: /entries/stop" in done.err
    pods.ok("stop", "--force", uuid)
    pods.wait(uuid)
    pods.ok("rm", uuid)
    assert cgroups_of([uuid]) == []


HANG = """
import sys
sys.path.insert(0, {room!r})
from podrt.host.host import Host
from podrt.host.paths import Paths
from podrt.errors import PodError
from podrt.pod.lifecycle import open_pod
from podrt.stage1.foreign.entries import ImageStage1
host = Host.here(Paths(data={data!r}))
with open_pod(host.paths, {uuid!r}) as pod:
    pod.detach()
    assert pod.lock()
    pod.move("run")
    try:
        ImageStage1(host, pod, debug=False, seconds=0.5).run(detach=True, interactive=False)
    except PodError as err:
        print(err.message)
"""


def test_a_stage1_that_hangs_is_killed(pods: PodHost) -> None:
    run = "#!/bin/sh\nsleep 607 &\nsleep 607\n"
    uuid = prepared(pods, stage1(pods, "hangs", {"run": run, "gc": "#!/bin/sh\nexit 4\n"}))
    room = str(CHECKOUT / "plugins" / "module_utils")
    script = HANG.format(room=room, data=str(pods.data), uuid=uuid)
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (
        done.stdout == "its stage1 has written neither pid nor ppid within 0.5 seconds, and was killed\n"
    ), done.stderr
    assert pods.state(uuid) == "exited"
    assert not any("607" in words for words in _commands())
    pods.ok("rm", uuid)
    assert cgroups_of([uuid]) == []


def _commands() -> list[list[str]]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(pathlib.Path(f"/proc/{name}/cmdline").read_text().split("\0"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


@pytest.mark.behaviour("D11")
def test_a_pod_in_the_foreground_is_the_stage1_itself(pods: PodHost) -> None:
    image = whole(pods)
    process = pods.background("run", "--net=host", f"--stage1-path={image}", pods.image)
    eventually(lambda: pods.uuids() and pods.state(pods.uuids()[0]) == "running")
    (uuid,) = pods.uuids()
    eventually((directory(pods, uuid) / "pid").exists)
    assert pathlib.Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[1].endswith("/entries/run")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    assert "state=exited" in pods.wait(uuid)
