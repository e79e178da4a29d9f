# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods that outlive the process that started them: prepared, run, watched, entered, stopped, collected."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PODCTL,
    PodHost,
    cgroups_of,
    eventually,
    write_image,
)

WAITS = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"


@pytest.mark.behaviour("A24", "A25", "A39", "G1")
def test_a_prepared_pod_is_run_and_stopped(pods: PodHost) -> None:
    uuid = pods.ok("prepare", pods.image, "--exec=/bin/sh", "--", "-c", WAITS)
    assert pods.state(uuid) == "prepared"
    assert pods.ok("run-prepared", "--detach", "--net=none", uuid) == ""
    lines = pods.ok("status", "--wait-ready=10s", uuid).splitlines()
    assert lines[0] == "state=running"
    assert "exited=false" in lines
    pid = next(line for line in lines if line.startswith("pid=")).partition("=")[2]
    assert os.path.exists(f"/proc/{pid}")
    assert pods.ok("stop", uuid) == f'"{uuid}"'
    lines = pods.wait(uuid)
    assert (lines[0], lines[-2:]) == ("state=exited", ["exited=true", "app-busybox=0"])
    assert pods.ok("rm", uuid) == f'"{uuid}"'
    assert cgroups_of([uuid]) == []
    assert pods.podctl("status", uuid).status == 254


@pytest.mark.behaviour("A25")
def test_run_prepared_in_the_foreground_ends_with_the_status(pods: PodHost) -> None:
    uuid = pods.ok("prepare", pods.image, "--exec=/bin/sh", "--", "-c", "echo said; exit 3")
    done = pods.podctl("run-prepared", uuid, "--net=none", "--hostname=x")
    assert (done.status, done.texts) == (3, ["said"])
    assert "is not prepared" in pods.podctl("run-prepared", uuid).err


@pytest.mark.behaviour("A42", "D12")
def test_a_pod_that_does_not_listen_is_killed(pods: PodHost) -> None:
    uuid = pods.detached("trap '' TERM; echo ready; while true; do sleep 0.1; done")
    pods.ok("stop", "--force", uuid)
    assert pods.wait(uuid)[0] == "state=exited"


@pytest.mark.behaviour("A43")
def test_a_running_pod_is_not_removed(pods: PodHost) -> None:
    uuid = pods.detached(WAITS)
    done = pods.podctl("rm", uuid)
    assert (done.status, f'rm: pod "{uuid}" is currently running\n' in done.err) == (254, True)
    assert pods.state(uuid) == "running"


@pytest.mark.behaviour("A44", "D16", "D17", "D18")
def test_gc_marks_and_deletes(pods: PodHost) -> None:
    pods.sh("true")
    uuid = pods.uuids()[0]
    assert pods.podctl("gc").err == f'gc: moving pod "{uuid}" to garbage\n'
    assert pods.state(uuid) == "exited garbage"
    assert f'gc: pod "{uuid}" not removed: still within grace period (30m0s)' in pods.podctl("gc").err
    assert pods.ok("gc", "--grace-period=0") == f'Garbage collecting pod "{uuid}"'
    assert pods.uuids() == []


@pytest.mark.behaviour("A31", "A33", "A37", "G2")
def test_lists(pods: PodHost) -> None:
    uuid = pods.detached(WAITS, "--name=web")
    header, row = (line.split("\t") for line in pods.ok("list").splitlines())
    assert [cell for cell in header if cell] == [
        "UUID",
        "APP",
        "IMAGE NAME",
        "STATE",
        "CREATED",
        "STARTED",
        "NETWORKS",
    ]
    cells = [cell for cell in row if cell]
    assert cells[:4] == [uuid[:8], "web", "example.com/busybox:1.0", "running"]
    found = json.loads(pods.ok("list", "--format=json"))[0]
    assert (found["name"], found["state"], found["apps"][0]["state"]) == (uuid, "running", "running")
    pods.ok("image", "rm", "example.com/busybox")
    assert "example.com/busybox:1.0" in pods.ok("list")


@pytest.mark.behaviour("A45", "A46")
def test_entering_a_pod(pods: PodHost) -> None:
    uuid = pods.detached(WAITS, "--name=web", "--environment=OWN=x")
    done = pods.podctl("enter", uuid, "/bin/sh", "-c", "echo $OWN $AC_APP_NAME; hostname; exit 4")
    assert (done.status, done.out.splitlines()) == (4, ["x web", f"rkt-{uuid}"]), done.err
    assert pods.podctl("enter", "--app=web", uuid, "cat", "/data/shipped").out == "from the image\n"
    done = pods.podctl("enter", uuid)
    assert 'enter: no command specified, assuming "/bin/bash"\n' in done.err


def test_logs_of_a_detached_pod(pods: PodHost) -> None:
    uuid = pods.detached("echo one; echo two >&2; echo three; sleep 0.3")
    pods.wait(uuid)
    done = pods.podctl("logs", uuid)
    assert (done.out.splitlines(), done.err.splitlines()) == (["one", "three"], ["two"])


@pytest.mark.behaviour("A64")
def test_a_named_pod_is_started_again_and_again(pods: PodHost) -> None:
    first = pods.ok("prepare", "--pod-name=front", pods.image, "--exec=/bin/sh", "--", "-c", WAITS)
    pods.podctl("run-prepared", "--detach", "--net=none", "front")
    pods.ok("stop", "front")
    pods.wait("front")
    assert pods.ok("start", "front") == ""
    second = next(uuid for uuid in pods.uuids() if pods.state(uuid) == "running")
    assert second != first
    assert pods.state("front") == "running"
    pid = pathlib.Path("/run/pods/pids/front.pid")
    assert f"pid={pid.read_text().strip()}" in pods.ok("status", "front").splitlines()
    pid.unlink()
    with contextlib.suppress(OSError):  # other processes use the directories too
        pid.parent.rmdir()
        pid.parent.parent.rmdir()
    done = pods.podctl("start", "front")
    assert (done.status, 'pod "front" is running' in done.err) == (254, True)
    assert "already" in pods.podctl("prepare", "--pod-name=front", pods.image).err


@pytest.mark.behaviour("D18")
def test_reaping_leaves_nothing_in_the_kernel(pods: PodHost) -> None:
    uuid = pods.ok("prepare", "--pod-name=front", pods.image, "--exec=/bin/true")
    pods.podctl("run-prepared", "--net=none", uuid)
    assert pods.podctl("reap", "front").status == 0
    assert cgroups_of([uuid]) == []
    assert pods.podctl("reap", "nosuch").status == 0
    assert pods.state(uuid) == "exited"


@pytest.mark.behaviour("D4", "D10")
def test_a_pod_outlives_podctl_and_its_image(pods: PodHost) -> None:
    uuid = pods.detached(WAITS)
    pods.ok("image", "rm", "example.com/busybox")
    assert pods.podctl("enter", uuid, "/bin/cat", "/data/shipped").out == "from the image\n"


@pytest.mark.behaviour("D4")
def test_a_supervisor_that_is_killed_leaves_an_exited_pod(pods: PodHost) -> None:
    uuid = pods.detached(WAITS)
    pid = next(line for line in pods.ok("status", uuid).splitlines() if line.startswith("pid=")).partition(
        "="
    )[2]
    os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: pods.state(uuid) == "exited")
    assert pods.ok("rm", uuid) == f'"{uuid}"'
    assert cgroups_of([uuid]) == []


def test_a_closed_pipe_is_quiet(pods: PodHost) -> None:
    pods.ok("fetch", pods.image)
    argv = [PODCTL, *pods.where, "help", "run"]
    done = subprocess.run(
        ["sh", "-c", '"$@" | true', "sh", *argv], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stderr == ""


def chattr_of_the_host() -> dict[str, tuple[int, bytes]]:
    """chattr(1) and its libraries, as files of an image."""
    program = str(shutil.which("chattr"))
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=10).stdout
    places = [program, *(word for word in linked.split() if word.startswith("/"))]
    return {place.lstrip("/"): (0o755, pathlib.Path(place).read_bytes()) for place in places}


@pytest.mark.finding("pods-F12")
@pytest.mark.parametrize("words", [["rm"], ["gc", "--grace-period=0s"]], ids=["rm", "gc"])
def test_what_an_app_has_protected_goes_with_its_pod(
    pods: PodHost, tmp_path: pathlib.Path, words: list[str]
) -> None:
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0"}
    image = write_image(tmp_path / "chattr.aci", "example.com/chattr", app, chattr_of_the_host())
    done = pods.podctl(
        *("run", "--net=none", "--no-overlay", "--volume=v,kind=empty", str(image), "--exec=/bin/sh"),
        *("--mount=volume=v,target=/v", "--caps-retain=CAP_LINUX_IMMUTABLE", "--", "-c"),
        "touch /v/x; chattr +i /v/x /data/shipped /data; chattr +a /v /; rm -f /v/x; test -e /v/x && echo held",
    )
    assert "held" in done.texts  # stdout and stderr come in any order
    (uuid,) = pods.uuids()
    pods.ok(*words, *([uuid] if words == ["rm"] else []))
    assert pods.uuids() == []
    assert list(pods.data.glob(f"pods/*/{uuid}")) == []


def test_an_app_is_started_again_and_the_status_tells_it(pods: PodHost) -> None:
    flags = ("--restart=on-failure,backoff=20ms,max-backoff=40ms", "--exec=/bin/sh")
    script = f"echo x >> /runs; test $(wc -l < /runs) -ge 3 || exit 7; {WAITS}"
    uuid = pods.ok("prepare", pods.image, *flags, "--", "-c", script)
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    eventually(lambda: "restarts-busybox=2" in pods.ok("status", uuid).splitlines())
    lines = pods.ok("status", uuid).splitlines()
    assert lines[0] == "state=running"
    assert lines[-3:] == ["exited=false", "restarts-busybox=2", "last-exit-busybox=7"]
    (app,) = json.loads(pods.ok("status", "--format=json", uuid))["apps"]
    told = app["restart"]
    assert (told["policy"], told["restarts"], told["last_exit_code"]) == ("on-failure", 2, 7)
    assert told["last_started_at"] > told["last_finished_at"] > 10**18
    assert "exit_code" not in app
    pods.ok("stop", uuid)
    assert "app-busybox=0" in pods.wait(uuid)


def test_an_exit_policy_and_a_restart_policy_are_flags_of_run(pods: PodHost) -> None:
    bad = (
        *(pods.image, "--name=bad", "--restart=on-failure:2,backoff=10ms", "--exec=/bin/sh"),
        *("--", "-c", "exit 4"),
    )
    good = (pods.image, "--name=good", "--exec=/bin/sh", "--", "-c", "sleep 1; echo done")
    done = pods.podctl("run", "--net=none", "--exit-policy=continue", *bad, "---", *good)
    assert done.status == 4
    assert done.texts[-1] == "done"
    assert sum("is started again" in text for text in done.texts) == 2


@pytest.mark.behaviour("D12")
def test_the_stop_timeout_is_a_flag(pods: PodHost) -> None:
    """An app that ignores SIGTERM is killed in a second, and not in the ten that it has by default."""
    ignores = ("--exec=/bin/sh", "--", "-c", "trap '' TERM; echo up; while true; do sleep 0.1; done")
    uuid = pods.ok("prepare", "--stop-timeout=1", pods.image, *ignores)
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    eventually(lambda: "up" in pods.ok("logs", uuid))
    before = time.monotonic()
    pods.ok("stop", uuid)
    assert any(line.startswith("app-busybox=") for line in pods.wait(uuid)), pods.wait(uuid)
    assert 0.9 < time.monotonic() - before < 8
    for wrong, said in (("x", '"x" is not'), ("-1", "is out of range"), ("2147483648", "is out of range")):
        done = pods.podctl("prepare", f"--stop-timeout={wrong}", pods.image)
        assert (done.status, said in done.err) == (254, True), done.err


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--restart=often", 'unknown restart policy "often"'),
        ("--restart=on-failure:x", '"x" is not a number of retries'),
        ("--restart=always,backoff=1", 'invalid duration "1"'),
        ("--exit-policy=stop", 'unknown exit policy "stop"'),
    ],
)
def test_a_wrong_policy_is_refused_before_anything_is_made(pods: PodHost, flag: str, complaint: str) -> None:
    words = (flag, pods.image) if "exit" in flag else (pods.image, flag)
    done = pods.podctl("run", "--net=none", *words)
    assert done.status == 254
    assert complaint in done.err
    assert pods.ok("list", "--no-legend") == ""
