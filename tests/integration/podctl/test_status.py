# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What scripts of rkt rely on, with real pods: status, stop, rm, gc, enter, and how they name a pod."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils._glue import install
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import task_words
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PODCTL, PodHost, eventually

WAITS = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})? [+-]\d{4} \w+"
MISSING = "ffffffff-0000-4000-8000-000000000000"


def prepared(pods: PodHost, script: str = WAITS, *flags: str) -> str:
    return pods.ok("prepare", "--quiet", *flags, pods.image, "--exec=/bin/sh", "--", "-c", script)


def lines(pods: PodHost, *words: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in pods.ok("status", *words).splitlines())


@pytest.mark.behaviour("A39", "E21", "G3")
def test_the_lines_of_a_status_follow_the_life_of_the_pod(pods: PodHost) -> None:
    uuid = prepared(pods)
    found = lines(pods, uuid)
    assert list(found) == ["state", "created"]
    assert found["state"] == "prepared"
    assert re.fullmatch(TIME, found["created"])
    pods.ok("run-prepared", "--detach", "--net=default", uuid)
    found = lines(pods, "--wait-ready", uuid)
    assert list(found) == ["state", "created", "started", "networks", "pid", "exited"]
    assert re.fullmatch(TIME, found["started"])
    assert re.fullmatch(r"default:ip4=172\.16\.28\.\d+", found["networks"])
    assert (found["state"], found["exited"]) == ("running", "false")
    assert pathlib.Path(f"/proc/{found['pid']}").exists()
    pods.ok("stop", uuid)
    ended = lines(pods, "--wait", uuid)
    assert list(ended) == [*found, "app-busybox"]
    assert (ended["state"], ended["exited"], ended["app-busybox"]) == ("exited", "true", "0")
    assert ended["networks"] == found["networks"]
    pods.ok("gc", "--mark-only")
    marked = lines(pods, uuid)
    assert (marked["state"], marked["app-busybox"]) == ("exited garbage", "0")
    assert "networks" not in marked


@pytest.mark.behaviour("A37", "A39")
def test_a_status_in_json_has_the_members_of_rkt(pods: PodHost, tmp_path: pathlib.Path) -> None:
    volume = f"--volume=data,kind=host,source={tmp_path},readOnly=true"
    mount = "--mount=volume=data,target=/mnt"
    labels = ("--user-label=tier=front", "--user-annotation=owner=me")
    before = int(time.time())
    words = ("prepare", "--quiet", volume, pods.image, mount, *labels, "--exec=/bin/sh", "--", "-c", "exit 3")
    uuid = pods.ok(*words)
    pods.podctl("run-prepared", "--net=none", uuid)
    after = int(time.time())
    found = json.loads(pods.ok("status", "--format=json", uuid))
    (app,) = found["apps"]
    assert (found["name"], found["state"], found["app_names"]) == (uuid, "exited", ["busybox"])
    assert before <= found["created_at"] <= found["started_at"] <= after
    assert before <= app["started_at"] // 10**9 <= app["finished_at"] // 10**9 <= after
    assert (app["name"], app["state"], app["exit_code"]) == ("busybox", "exited", 3)
    assert app["image_id"].startswith("sha512-")
    assert app["mounts"] == [
        {"name": "data", "container_path": "/mnt", "host_path": str(tmp_path), "read_only": True}
    ]
    assert (app["user_labels"], app["user_annotations"]) == ({"tier": "front"}, {"owner": "me"})
    assert "networks" not in found
    pretty = pods.ok("status", "--format=json-pretty", uuid)
    assert pretty.splitlines()[1].startswith('\t"name"')
    assert json.loads(pretty) == found
    assert json.loads(pods.ok("list", "--format=json")) == [found]
    done = pods.podctl("status", "--format=yaml", uuid)
    assert (done.status, "Invalid format option: yaml" in done.err) == (254, True)
    done = pods.podctl("list", "--format=yaml")
    assert (done.status, "Invalid format option: yaml" in done.err) == (254, True)


@pytest.mark.behaviour("A40", "A63", "D13", "D15")
def test_waiting_for_the_end_of_a_real_pod(pods: PodHost) -> None:
    uuid = pods.detached("while ! test -e /tmp/go; do sleep 0.05; done; exit 7")
    for flag in ("--wait=300ms", "--wait=0.2s"):
        done = pods.podctl("status", flag, uuid)
        assert (done.status, done.out) == (254, "")
        assert "status: error waiting for pod to finish: after 0." in done.err
    for flag in ("--wait=false", "--wait=0", "--wait=F"):
        assert lines(pods, flag, uuid)["state"] == "running"
    done = pods.podctl("status", "--wait=soon", uuid)
    assert (done.status, "error parsing --wait" in done.err) == (254, True)
    flags = ("--wait", "--wait=", "--wait=true", "--wait=1", "--wait=-1s", "--wait=1m")
    waiting = [pods.background("status", flag, uuid) for flag in flags]
    assert all(process.poll() is None for process in waiting)
    # By no process in the pod, which may end before that one has.
    pods.ok("cp", __file__, f"{uuid}:/tmp/go")
    for flag, process in zip(flags, waiting):
        out, err = process.communicate(timeout=30)
        assert (process.returncode, "app-busybox=7" in out.splitlines()) == (0, True), (flag, err)
    assert lines(pods, "--wait=1ms", uuid)["app-busybox"] == "7"


@pytest.mark.behaviour("A40", "D15")
def test_waiting_for_a_pod_that_never_runs(pods: PodHost) -> None:
    uuid = prepared(pods)
    for flag in ("--wait=false", "--wait-ready=0", "--wait-ready=false"):
        assert lines(pods, flag, uuid)["state"] == "prepared"
    for flag in ("--wait=200ms", "--wait-ready=200ms"):
        done = pods.podctl("status", flag, uuid)
        assert (done.status, "error waiting for pod" in done.err) == (254, True)
    waiting = pods.background("status", "--wait", uuid)
    pods.ok("rm", uuid)
    waiting.communicate(timeout=30)
    assert waiting.returncode in (0, 254)


def info_of(pods: PodHost, uuid: str) -> dict[str, Any]:
    """What the module pod_info tells of a pod."""
    key = pods.data / "fingerprint.key"
    if not key.exists():
        install.make_key(str(key))
    asked = {"data_dir": str(pods.data), "config_dir": f"{pods.base}/etc", "gather": ["pods"], "uuid": uuid}
    words = [sys.executable, "-B", *task_words("pod_info", "run")]
    done = subprocess.run(
        words, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True
    )
    (found,) = json.loads(done.stdout)["pods"]
    told: dict[str, Any] = found
    return told


@pytest.mark.behaviour("A37", "A39")
def test_a_paused_pod_is_told_of_everywhere(pods: PodHost) -> None:
    uuid = pods.detached(WAITS)
    assert "paused" not in lines(pods, uuid)
    assert info_of(pods, uuid)["paused"] is False
    pods.ok("pause", uuid)
    found = lines(pods, uuid)
    assert (found["state"], found["paused"], found["exited"]) == ("running", "true", "false")
    for words in (("status", "--format=json", uuid), ("status", "--format=json-pretty", uuid)):
        assert json.loads(pods.ok(*words))["paused"] is True
    told = info_of(pods, uuid)
    assert (told["state"], told["paused"]) == ("running", True)
    assert pods.podctl("status", "--wait=200ms", uuid).status == 254
    pods.ok("unpause", uuid)
    assert "paused" not in json.loads(pods.ok("status", "--format=json", uuid))
    assert info_of(pods, uuid)["paused"] is False


@pytest.mark.behaviour("A41", "A42", "A43", "G5", "G6")
def test_a_file_of_a_uuid_stands_for_the_uuid(pods: PodHost, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "uuid"
    pods.background(
        *("run", "--net=none", f"--uuid-file-save={file}"), pods.image, "--exec=/bin/sleep", "--", "99"
    )
    eventually(lambda: file.exists() and file.read_text() != "")
    uuid = file.read_text()
    pods.ok("status", "--wait-ready=30s", uuid)
    file.write_text(f"\n  {uuid}\t\n")
    assert lines(pods, f"--uuid-file={file}")["state"] == "running"
    for verb in ("status", "cat-manifest", "stop", "rm", "pause", "unpause"):
        done = pods.podctl(verb, f"--uuid-file={file}", uuid)
        assert (done.status, "takes a UUID or --uuid-file, not both" in done.err) == (254, True), done.err
        assert f"podctl {verb}" in done.err  # the usage
    assert lines(pods, "--uuid-file=", uuid)["state"] == "running"
    assert json.loads(pods.ok("cat-manifest", f"--uuid-file={file}"))["acKind"] == "PodManifest"
    assert pods.ok("stop", "--force", f"--uuid-file={file}") == f'"{uuid}"'
    assert lines(pods, "--wait=20s", f"--uuid-file={file}")["state"] == "exited"
    assert pods.ok("rm", f"--uuid-file={file}") == f'"{uuid}"'
    file.write_text(" \n")
    for verb, status in (("status", 254), ("stop", 254), ("rm", 254)):
        assert pods.podctl(verb, f"--uuid-file={file}").status == status
    for verb in ("status", "stop", "rm"):
        done = pods.podctl(verb, f"--uuid-file={tmp_path}/none")
        assert (done.status, "unable to read UUID from file" in done.err) == (1, True), done.err


@pytest.mark.behaviour("A42", "D12", "G5")
def test_stop_tells_of_each_pod_and_does_not_wait(pods: PodHost) -> None:
    slow = pods.detached(
        "trap 'while ! test -e /tmp/go; do sleep 0.05; done; exit 0' TERM; while true; do sleep 0.1; done"
    )
    ended = pods.detached("exit 0")
    pods.wait(ended)
    never = prepared(pods)
    done = pods.podctl("stop", slow, ended, never, MISSING)
    assert (done.status, done.out.splitlines()) == (254, [f'"{slow}"', f'pod "{ended}" is already stopped'])
    assert done.err.splitlines()[-1] == "stop: failed to stop 2 pod(s)"
    assert f'no matches found for "{MISSING}"' in done.err
    assert pods.state(slow) == "running"
    # By no process in the pod, which may end before that one has.
    pods.ok("cp", __file__, f"{slow}:/tmp/go")
    assert pods.wait(slow)[-1] == "app-busybox=0"
    assert pods.ok("stop", slow) == f'pod "{slow}" is already stopped'


@pytest.mark.behaviour("A42", "D12", "D14")
def test_a_forced_stop_is_a_kill(pods: PodHost) -> None:
    uuid = pods.detached("trap 'echo asked' TERM; echo ready; while true; do sleep 0.1; done")
    eventually(lambda: "ready" in pods.ok("logs", uuid))
    assert pods.ok("stop", "--force", uuid) == f'"{uuid}"'
    assert not [line for line in pods.wait(uuid) if line.startswith("app-")]
    assert "asked" not in pods.ok("logs", uuid)


@pytest.mark.behaviour("A43", "G5")
def test_rm_goes_on_after_each_refusal(pods: PodHost) -> None:
    ended, never = pods.detached("exit 0"), prepared(pods)
    pods.wait(ended)
    runs = pods.detached(WAITS)
    done = pods.podctl("rm", runs, ended, "", MISSING, never)
    assert (done.status, done.out.splitlines()) == (254, [f'"{ended}"', f'"{never}"'])
    assert f'pod "{runs}" is currently running' in done.err
    assert "UUID cannot be empty" in done.err
    assert f'no matches found for "{MISSING}"' in done.err
    assert done.err.splitlines()[-1] == "rm: failed to remove one or more pods"
    assert pods.uuids() == [runs]


@pytest.mark.behaviour("A44", "D16", "D17")
def test_gc_expires_what_is_prepared_and_has_grace_with_what_has_ended(pods: PodHost) -> None:
    ended, never = pods.detached("exit 0"), prepared(pods)
    pods.wait(ended)
    done = pods.podctl("gc", "--mark-only", "--expire-prepared=0s")
    assert (done.status, done.out, done.err) == (0, "", f'gc: moving pod "{ended}" to garbage\n')
    assert (pods.state(ended), pods.state(never)) == ("exited garbage", "prepared")
    done = pods.podctl("gc", "--grace-period=1h30m", "--expire-prepared=24h")
    assert (done.status, done.out) == (0, "")
    assert done.err == f'gc: pod "{ended}" not removed: still within grace period (1h30m0s)\n'
    done = pods.podctl("gc", "--expire-prepared=0s")
    assert f'gc: moving expired prepared pod "{never}" to garbage\n' in done.err
    assert done.out == f'Garbage collecting pod "{never}"\n'
    assert pods.uuids() == [ended]
    done = pods.podctl("gc", "--grace-period=0s")
    assert (done.out, pods.uuids()) == (f'Garbage collecting pod "{ended}"\n', [])


@pytest.mark.behaviour("A44", "D16", "D19")
def test_gc_takes_what_a_killed_preparation_has_left(pods: PodHost) -> None:
    uuid = prepared(pods)
    os.rename(pods.data / "pods/prepared" / uuid, pods.data / "pods/prepare" / uuid)
    assert pods.state(uuid) == "aborted prepare"
    assert lines(pods, "--wait=10s", uuid)["state"] == "aborted prepare"
    done = pods.podctl("gc")
    assert f'gc: moving failed prepare "{uuid}" to garbage\n' in done.err
    assert done.out == f'Garbage collecting pod "{uuid}"\n'


def renamed(pods: PodHost, uuid: str, wanted: str, state: str = "prepared") -> str:
    """Give a pod that does not run another UUID."""
    os.rename(pods.data / "pods" / state / uuid, pods.data / "pods" / state / wanted)
    return wanted


@pytest.mark.behaviour("A64", "D5")
def test_every_command_takes_the_beginning_of_a_uuid(pods: PodHost, tmp_path: pathlib.Path) -> None:
    first = renamed(pods, prepared(pods), "abcd1111-0000-4000-8000-000000000000")
    second = renamed(pods, prepared(pods, "exit 3"), "abcd2222-0000-4000-8000-000000000000")
    for words in (
        *(("status",), ("cat-manifest",), ("run-prepared",), ("enter",), ("stop",), ("rm",)),
        ("export",),
    ):
        more = (str(tmp_path / "out.aci"),) if words == ("export",) else ()
        done = pods.podctl(*words, "abcd", *more)
        assert (done.status, "ambiguous uuid, 2 matches" in done.err) == (254, True), (words, done.err)
        done = pods.podctl(*words, "abcdef", *more)
        assert (done.status, 'no matches found for "abcdef"' in done.err) == (254, True), (words, done.err)
    assert lines(pods, "ABCD1")["state"] == "prepared"
    assert json.loads(pods.ok("cat-manifest", "abcd1"))["acKind"] == "PodManifest"
    pods.ok("run-prepared", "--detach", "--net=none", "abcd1")
    assert pods.ok("enter", "abcd1", "/bin/echo", "inside") == "inside"
    assert pods.ok("stop", "abcd1") == f'"{first}"'
    assert lines(pods, "--wait=20s", "abcd1")["app-busybox"] == "0"
    pods.ok("export", "abcd1", str(tmp_path / "out.aci"))
    assert (tmp_path / "out.aci").stat().st_size > 0
    assert pods.podctl("run-prepared", "--net=none", "abcd2").status == 3
    assert pods.ok("rm", "abcd1", "abcd2").splitlines() == [f'"{first}"', f'"{second}"']


@pytest.mark.behaviour("A45", "A46")
def test_entering_tells_what_it_lacks(pods: PodHost) -> None:
    never = prepared(pods)
    done = pods.podctl("enter", never, "/bin/true")
    assert (done.status, f'enter: pod "{never}" isn\'t currently running\n' in done.err) == (254, True)
    apps: list[str] = []
    for name in ("one", "two"):
        apps += [pods.image, f"--name={name}", "--exec=/bin/sh", "--", "-c", WAITS, "---"]
    uuid = pods.ok("prepare", "--quiet", *apps)
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    done = pods.podctl("enter", uuid, "/bin/true")
    assert done.status == 254
    assert all(
        text in done.err for text in ("\tone\n", "\ttwo\n", 'specify app using "podctl enter --app= ..."')
    )
    assert (
        pods.ok("enter", "--app=two", uuid, "/bin/sh", "-c", "echo $AC_APP_NAME; pwd; id -u") == "two\n/\n0"
    )
    words = [PODCTL, *pods.where, "enter", "--app=one", uuid, "/bin/sh", "-c", "kill -TERM $$"]
    assert subprocess.run(words, check=False, timeout=60).returncode == -15


@pytest.mark.behaviour("A25")
def test_run_prepared_takes_flags_before_and_after_one_uuid(pods: PodHost) -> None:
    for words in ((), ("a", "b")):
        assert pods.podctl("run-prepared", *words).status == 254
    uuid = prepared(pods, "hostname; readlink /proc/self/ns/ipc")
    done = pods.podctl("run-prepared", "--net=none", uuid, "--hostname=there", "--ipc=parent")
    assert (done.status, done.texts) == (0, ["there", os.readlink("/proc/self/ns/ipc")])
    done = pods.podctl("run-prepared", uuid)
    assert (done.status, f'pod "{uuid}" is not prepared' in done.err) == (254, True)
    two = pods.ok("prepare", "--quiet", pods.image, "--name=one", pods.image, "--name=two")
    done = pods.podctl("run-prepared", "--interactive", two)
    assert (done.status, "interactive option only supports pods with one app" in done.err) == (254, True)
    assert pods.state(two) == "prepared"
