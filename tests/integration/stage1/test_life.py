# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The start, the end and the death of pods: what survives, what is recorded, what is left."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import failure
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import LONGEST_WAIT, RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    StageLab,
    eventually,
    finish,
    groups_of,
)

QUICK = RunSpec(networks=HOST_NET.networks, stop_timeout=1)


@pytest.mark.behaviour("A26", "A28", "D14")
@pytest.mark.parametrize(("script", "status"), [("true", 0), ("exit 5", 5), ("kill -9 $$", 9)], ids=str)
def test_the_status_of_the_app_is_that_of_the_pod(stage: StageLab, script: str, status: int) -> None:
    pod = stage.sh(script)
    done = pod.call()
    assert (done.status, done.err) == (status, "")
    assert pod.statuses() == {"main": status}


@pytest.mark.behaviour("A27", "A28", "D14")
def test_the_first_failure_ends_the_pod_and_the_others_count_as_zero(stage: StageLab) -> None:
    scripts = {"good": "exit 0", "bad": "sleep 0.2; exit 5", "late": "trap 'exit 6' TERM; sleep 60 & wait"}
    apps = {name: {"exec": ["sh", "-c", script]} for name, script in scripts.items()}
    pod = stage.pod(apps, RunSpec(networks=HOST_NET.networks, stop_timeout=60))
    assert pod.call().status == 5, "before the whole stop timeout is over"
    assert pod.statuses() == {"good": 0, "bad": 5, "late": 0}


@pytest.mark.behaviour("D11", "D14")
def test_sigterm_is_an_orderly_stop(stage: StageLab) -> None:
    pod = stage.sh("trap 'echo stopping; exit 3' TERM; echo up; sleep 60 & wait")
    process = pod.start()
    pod.wait_ready()
    eventually(lambda: "up" in pod.log())
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert (done.status, done.lines) == (0, ["up", "stopping"])
    assert pod.statuses() == {"main": 0}


@pytest.mark.finding("attack7-F6")
def test_a_stop_may_take_longer_than_the_kernel_waits(stage: StageLab) -> None:
    runspec = RunSpec(networks=HOST_NET.networks, stop_timeout=LONGEST_WAIT)
    pod = stage.sh("trap 'sleep 1; echo stopped; exit 0' TERM; echo up; sleep 60 & wait", runspec)
    process = pod.start()
    pod.wait_ready()
    eventually(lambda: "up" in pod.log())
    process.send_signal(signal.SIGTERM)
    assert finish(process).lines == ["up", "stopped"]


@pytest.mark.behaviour("D11")
@pytest.mark.parametrize(
    "app",
    [
        {"eventHandlers": [{"name": "pre-start", "exec": ["/bin/sleep", "60"]}]},
        {"annotations": [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]},
    ],
    ids=["pre-start", "not ready yet"],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pod_can_be_stopped_while_it_starts(
    stage: StageLab, app: dict[str, object], number: signal.Signals
) -> None:
    pod = stage.sh("sleep 60", QUICK, **app)
    process = pod.start()
    pod.pid()
    time.sleep(0.5)
    process.send_signal(number)
    assert finish(process).status == 0
    assert pod.state() == "exited"
    assert groups_of(pod.uuid) == []


@pytest.mark.behaviour("D11")
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_starter_that_is_asked_to_stop_at_any_time_leaves_an_orderly_end(
    stage: StageLab, delay: float
) -> None:
    pod = stage.sh("trap 'exit 0' TERM; sleep 60 & wait", QUICK)
    process = pod.start()
    eventually(lambda: os.path.exists(f"{pod.dir.path}/cgroups"))
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert (done.status, done.err) == (0, "")
    assert pod.state() == "exited"
    assert groups_of(pod.uuid) == []


@pytest.mark.behaviour("D12", "C57")
def test_stop_kills_what_does_not_end_in_its_time(stage: StageLab) -> None:
    pod = stage.sh("trap '' TERM; while :; do sleep 1; done", QUICK)
    process = pod.start()
    pod.wait_ready()
    started = time.monotonic()
    done = pod.call("stop", force=False)
    assert done.status == 0, done.err
    assert finish(process).status == 0
    assert 0.9 < time.monotonic() - started < 25


@pytest.mark.behaviour("A30", "D12")
def test_a_pod_that_is_killed_takes_its_starter_along(stage: StageLab) -> None:
    pod = stage.sh("sleep 60")
    process = pod.start()
    pod.wait_ready()
    done = pod.call("stop", force=True)
    assert done.status == 0, done.err
    assert finish(process).status == -signal.SIGKILL
    assert pod.statuses() == {"main": None}
    assert groups_of(pod.uuid) == []


STOPPED_BY = """trap 'echo TERM; sleep 0.5; exit 3' TERM; trap 'echo QUIT; exit 3' QUIT
(trap 'echo child TERM; exit' TERM; trap 'echo child QUIT; exit' QUIT; echo child ready; while :; do sleep 0.1; done) &
echo ready; while :; do sleep 0.1; done"""


@pytest.mark.finding("use-N12")
@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("SIGQUIT", {"QUIT"}),
        ("3", {"QUIT"}),
        ("SIGNOTHING", {"TERM", "child TERM"}),
        ("", {"TERM", "child TERM"}),
    ],
)
def test_the_first_process_is_stopped_by_the_signal_that_the_image_names(
    stage: StageLab, said: str, heard: set[str]
) -> None:
    """As in docker; without a name all processes get SIGTERM. The pod counts as stopped without error either way."""
    annotations = [{"name": "appc.io/docker/stopsignal", "value": said}] if said else []
    pod = stage.sh(STOPPED_BY, annotations=annotations)
    process = pod.start()
    pod.wait_ready()
    eventually(lambda: pod.log().count("ready") == 2)
    done = pod.call("stop", force=False)
    assert done.status == 0, done.err
    done = finish(process)
    assert done.status == 0
    lines = {line.partition("stdout ")[2] for line in pod.log().splitlines() if " stdout " in line}
    assert {line for line in lines if "ready" not in line} == heard


@pytest.mark.behaviour("A29")
@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("/bin/nosuch", 'Error: Unable to open "/bin/nosuch": No such file or directory'),
        ("/data/plain", 'Error: "/data/plain" is not executable'),
        ("/data/script", 'Error: Unable to open "/bin/nosuch-shell": No such file or directory'),
        ("/data/empty", 'Error: "/data/empty" has an unsupported file type'),
        ("/data/dynamic", 'Error: Unable to open "/lib64/ld-linux-x86-64.so.2": No such file or directory'),
    ],
    ids=lambda value: value if value.startswith("/") else "",
)
def test_a_program_that_cannot_be_executed_is_203(stage: StageLab, program: str, line: str) -> None:
    data = stage.tree / "data"
    (data / "plain").write_text("x")
    (data / "script").write_text("#!/bin/nosuch-shell -x\n")
    (data / "empty").write_bytes(b"")
    (data / "dynamic").write_bytes(pathlib.Path("/bin/true").read_bytes())
    for name in ("script", "empty", "dynamic"):
        (data / name).chmod(0o755)
    pod = stage.pod({"main": {"exec": [program]}})
    done = pod.call()
    assert (done.status, done.lines) == (203, [line])
    assert pod.statuses() == {"main": 203}


@pytest.mark.behaviour("C12")
def test_a_bare_name_that_is_nowhere_is_an_error_of_the_setup(stage: StageLab) -> None:
    pod = stage.pod({"main": {"exec": ["nosuch"]}})
    done = pod.call()
    assert (done.status, done.err) == (254, 'invalid-spec: error looking up "nosuch"\n')
    assert groups_of(pod.uuid) == []


@pytest.mark.behaviour("A30")
def test_a_missing_source_of_a_volume_is_1(stage: StageLab) -> None:
    volume = {"name": "v", "kind": "host", "source": "/nosuch/here"}
    done = stage.run("true", volumes=[volume], mounts=[{"volume": "v", "path": "/v"}])
    message = "host-failure: Failed to stat /nosuch/here: No such file or directory\n"
    assert (done.status, done.err) == (1, message)


def test_a_detached_pod_outlives_its_starter(stage: StageLab) -> None:
    pod = stage.sh("echo hello; sleep 60")
    done = pod.call(detach=True)
    assert (done.status, done.out, done.err) == (0, "", "")
    assert pod.state() == "running"
    assert os.readlink(pod.dir.supervisor_status) == "ready"
    eventually(lambda: "stdout hello\n" in pod.log())
    pod.call("stop", force=False)
    pod.wait_ended()
    assert pod.statuses() == {"main": 0}


def test_a_warning_that_cannot_be_told_does_not_keep_a_pod_from_running(stage: StageLab) -> None:
    limits = [{"name": "resource/cpu", "value": {"limit": "1"}}]
    # Without control groups there is a warning.
    hidden = ("sh", "-c", 'umount -l /sys/fs/cgroup; exec "$@" 2>/dev/full', "sh")
    private = ("unshare", "--mount", "--propagation", "private", "--")
    pod = stage.sh("echo ran; mknod /n c 1 3 2>/dev/null || echo refused", isolators=limits)
    done = pod.call(prefix=(*private, *hidden))
    assert (done.status, done.lines) == (0, ["ran", "refused"])


def test_teardown_leaves_nothing_and_may_be_repeated(stage: StageLab) -> None:
    pod = stage.sh("sleep 60")
    pod.call(detach=True)
    assert groups_of(pod.uuid)
    pod.call("stop", force=True)
    pod.wait_ended()
    for _other in range(2):
        done = pod.call("gc")
        assert done.status == 0, done.err
        assert groups_of(pod.uuid) == []


@pytest.mark.behaviour("C17", "C18", "A29")
@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        ({"exec": ["/bin/nosuch"]}, 203, 'Unable to open "/bin/nosuch": No such file or directory'),
        ({"exec": ["true"], "workingDirectory": "/nosuch"}, 200, "working directory"),
        pytest.param(
            {"exec": ["true"], "workingDirectory": "/\x1b[2J\x7f\x9b\u202e"},
            200,
            r'cannot use the working directory "/\x1b[2J\x7f\x9b\u202e"',
            marks=pytest.mark.finding("attack-F13"),
        ),
        (
            {"exec": ["true"], "eventHandlers": [{"name": "pre-start", "exec": ["false"]}]},
            1,
            "pre-start handler ended with status 1",
        ),
    ],
    ids=["exec", "working directory", "control characters", "pre-start"],
)
def test_an_app_that_does_not_start_fails_a_detached_start(
    stage: StageLab, script: dict[str, object], status: int, reason: str
) -> None:
    pod = stage.pod({"main": script, "other": {"exec": ["sleep", "60"]}}, QUICK)
    done = pod.call(detach=True)
    assert done.status == status
    assert reason in done.err
    assert pod.state() == "exited"
    assert groups_of(pod.uuid) == []


@pytest.mark.behaviour("C17")
def test_no_link_of_a_docker_image_leads_its_working_directory_out(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    """Beneath a link it is made in the root of the app, as everything there is, and in no volume."""
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    for each in (outside, volume):
        each.mkdir()
    (stage.tree / "out").symlink_to(f"../../../..{outside}")
    (stage.tree / "into").symlink_to("/vol")
    done = stage.run(f"pwd; ls -ld {outside}/new", docker=True, workingDirectory="/out/new")
    assert (done.status, done.lines[0]) == (0, f"{outside}/new"), done.err
    assert list(outside.iterdir()) == []
    done = stage.run(
        "true",
        docker=True,
        workingDirectory="/into/new",
        mounts=[{"volume": "vol", "path": "/vol"}],
        volumes=[{"name": "vol", "kind": "host", "source": str(volume)}],
    )
    assert (done.status, list(volume.iterdir())) == (200, []), done.err
    assert 'cannot make the working directory "/into/new"' in done.err
    assert "a link of the image leads into a volume, where nothing is created" in done.err
    for taken in ("/bin/busybox/new", "/proc/new", "/sys/new"):
        done = stage.run("true", docker=True, workingDirectory=taken)
        assert (done.status, f'cannot make the working directory "{taken}"' in done.err) == (200, True), taken


@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
def test_a_setup_that_fails_leaves_nothing(stage: StageLab, detach: bool) -> None:
    pod = stage.sh("true", user="nobody-knows")
    done = pod.call(detach=detach)
    assert (done.status, done.err) == (254, 'invalid-spec: "nobody-knows" user not found\n')
    assert pod.state() == "exited"
    assert groups_of(pod.uuid) == []


@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
@pytest.mark.parametrize("delay", [0.02, 0.05, 0.06, 0.07, 0.08, 0.1, 0.15])
def test_a_starter_that_is_killed_leaves_no_half_pod(stage: StageLab, delay: float, detach: bool) -> None:
    """In the foreground nothing survives; a detached pod either never starts or is complete."""
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    pod = stage.sh("sleep 60")
    process = pod.start(detach=detach)
    time.sleep(delay)
    process.kill()
    finish(process)

    def settled() -> bool:
        return pod.state() == "exited" or (detach and os.path.islink(pod.dir.supervisor_status))

    eventually(settled)
    if pod.state() == "running":
        done = pod.call("stop", force=True)
        assert done.status == 0, done.err
        pod.wait_ended()
    assert pathlib.Path("/proc/self/mountinfo").read_text() == mounts
    done = pod.call("gc")
    assert done.status == 0, done.err
    assert groups_of(pod.uuid) == []


def test_orphans_are_reaped_and_end_with_their_app(stage: StageLab) -> None:
    script = (
        "(sleep 60 & echo $! > /orphan) & sleep 0.1; for n in 1 2 3; do (sleep 0.01 &) ; done; sleep 0.3; ps"
    )
    done = stage.run(script)
    assert done.status == 0
    assert "Z" not in {line.split()[3] for line in done.lines if "sleep" in line}


def test_two_thousand_orphans_are_reaped(stage: StageLab) -> None:
    """More than there may be at a time: by the default limit those that are not reaped would count."""
    script = """
        n=0; while [ $n -lt 2000 ]; do (true &); n=$((n + 1)); done
        for turn in $(seq 50); do left=$(ps -o stat | grep -c Z); [ $left = 0 ] && break; sleep 0.1; done
        echo $n; echo $left
    """
    assert stage.run(script).lines == ["2000", "0"]


@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
def test_a_pod_runs_when_stdio_is_closed(stage: StageLab, detach: bool) -> None:
    pod = stage.sh("echo quiet; readlink /proc/self/fd/0")
    closed = ("sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh")
    done = pod.call(prefix=closed, detach=detach)
    assert done.status == 0, done.err
    eventually(lambda: pod.state() == "exited")
    assert [line.split(" ", 2)[2] for line in pod.log().splitlines()] == ["quiet", "/dev/null"]


def test_a_second_app_still_runs_when_the_first_has_ended_well(stage: StageLab) -> None:
    pod = stage.pod({"first": {"exec": ["true"]}, "second": {"exec": ["sh", "-c", "sleep 0.4; echo done"]}})
    done = pod.call()
    assert (done.status, done.said) == (0, [("second", "done")])


def test_an_app_that_never_came_up_is_no_success_when_its_start_is_given_up(stage: StageLab) -> None:
    ready = {"annotations": [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]}
    scripts = {"late": "trap 'exit 0' TERM; while :; do sleep 0.1; done", "up": "exec sleep 60"}
    apps = {name: {"exec": ["/bin/sh", "-c", script]} for name, script in scripts.items()}
    apps["late"] = {**apps["late"], **ready}
    pod = stage.pod(apps, QUICK)
    done = finish(pod.start(detach=True, seconds=3))
    assert "it has not said READY=1 within 2 seconds" in done.err
    assert pod.statuses() == {"late": 254, "up": 0}
    err = failure.app_failure(pod.dir, "web", ("up", "late"))
    assert err is not None
    assert err.message.startswith(
        'app "late" of pod "web" has ended with status 254, since it had not come up in time'
    )
