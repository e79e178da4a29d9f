# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Apps that are started again by the supervisor, on the real kernel."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.restart import (
    RestartCounts,
    read_restarts,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    CONTINUE,
    RESTART,
    RunSpec,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    LabPod,
    StageLab,
    children_of,
    eventually,
    finish,
    python,
)

QUICK = RunSpec(networks=HOST_NET.networks, stop_timeout=1)
PATIENT = QUICK.replace(exit_policy=CONTINUE)
AT_ONCE = "backoff=20ms,max-backoff=40ms"
COUNT = "echo x >> /runs; n=$(wc -l < /runs)"


def policy(text: str) -> list[dict[str, str]]:
    return [{"name": RESTART, "value": text}]


def app(script: str, restart: str = f"always,{AT_ONCE}", **more: object) -> dict[str, object]:
    return {"exec": ["/bin/sh", "-c", script], "annotations": policy(restart), **more}


def handler(event: str, script: str) -> dict[str, object]:
    return {"name": event, "exec": ["/bin/sh", "-c", script]}


def restarts(pod: LabPod, name: str = "main") -> RestartCounts:
    found = read_restarts(pod.dir, name)
    return found if found else RestartCounts()


def command_of(pid: int) -> bytes:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def running(pod: LabPod, words: str) -> list[int]:
    """The children of PID 1, as the host sees them, with these words in their command."""
    return [pid for pid in children_of(pod.pid()) if words.encode() in command_of(pid)]


def waiting(pod: LabPod) -> list[int]:
    """The waiting processes: interpreters that were started to become an app, and wait."""
    return [*running(pod, "stage1.inside.app"), *running(pod, "stage1.inside.nursery")]


def own(pod: LabPod) -> int:
    """The process of the only app."""
    return eventually(lambda: [pid for pid in children_of(pod.pid()) if pid not in waiting(pod)])[0]


def test_an_app_that_fails_is_started_again_and_its_good_end_is_the_last(stage: StageLab) -> None:
    pod = stage.sh(f"{COUNT}; echo run $n; test $n -ge 3", QUICK, annotations=policy(f"on-failure,{AT_ONCE}"))
    done = pod.call()
    assert done.status == 0, done.err
    assert [line for line in done.lines if line.startswith("run")] == ["run 1", "run 2", "run 3"]
    assert pod.statuses() == {"main": 0}
    found = restarts(pod)
    assert (found.count, found.exit_code, found.next_at) == (2, 0, None)


def test_after_the_last_retry_a_failure_is_the_end_of_the_pod(stage: StageLab) -> None:
    pod = stage.pod(
        {"main": app("exit 7", f"on-failure:3,{AT_ONCE}"), "other": {"exec": ["sleep", "1000"]}}, QUICK
    )
    done = pod.call()
    assert done.status == 7
    assert pod.statuses() == {"main": 7, "other": 0}
    assert restarts(pod).count == 3
    assert sum("is started again" in line for line in done.lines) == 3


def test_a_signal_is_a_failure_and_its_number_the_last_status(stage: StageLab) -> None:
    pod = stage.sh("kill -9 $$", QUICK, annotations=policy(f"on-failure:1,{AT_ONCE}"))
    assert pod.call().status == 9
    assert (restarts(pod).count, restarts(pod).signal, restarts(pod).exit_code) == (1, 9, None)
    assert pathlib.Path(pod.dir.app_end("main")).read_text() == "signal"


def test_always_also_follows_a_good_end_and_the_others_keep_their_processes(stage: StageLab) -> None:
    pod = stage.pod({"main": app(f"{COUNT}; exit 0"), "other": {"exec": ["sleep", "1000"]}}, QUICK)
    process = pod.start()
    pod.wait_ready()
    before = running(pod, "sleep\0001000")
    assert len(before) == 1
    eventually(lambda: restarts(pod).count >= 3)
    assert running(pod, "sleep\0001000") == before
    assert pod.statuses() == {"main": None, "other": None}, "an app between two starts has not exited"
    done = pod.call("stop", force=False)
    assert done.status == 0, done.err
    assert finish(process).status == 0
    assert pod.statuses() == {"main": 0, "other": 0}


def test_every_start_has_the_same_limits_root_and_rights(stage: StageLab) -> None:
    """What an app sees of itself: its groups, capabilities, filter, session, files, limits, directory."""
    look = (
        "cat /proc/self/cgroup; grep -E '^(Cap|NoNew|Seccomp:|Uid|Gid|Groups|SigIgn|SigBlk)' /proc/self/status;"
        "readlink /proc/self/ns/*; ls /proc/self/fd | wc -l; ulimit -n; pwd; umask;"
        "echo $PPID-$(cat /proc/$$/oom_score_adj);"
        "awk '{print $4, $6 == $1}' /proc/$$/stat"
    )
    script = f"{COUNT}; ({look}) > /seen-$n 2>&1; test $n -ge 3"
    pod = stage.sh(
        f"{script} && cmp /seen-1 /seen-2 && cmp /seen-2 /seen-3 && cat /seen-3",
        QUICK,
        annotations=policy(f"on-failure,{AT_ONCE}"),
        workingDirectory="/data",
        isolators=[{"name": "os/linux/oom-score-adj", "value": 100}],
    )
    done = pod.call()
    assert done.status == 0, done.lines
    plain = stage.sh(
        f"({look}) 2>&1",
        QUICK,
        workingDirectory="/data",
        isolators=[{"name": "os/linux/oom-score-adj", "value": 100}],
    ).call()

    def same(lines: list[str]) -> list[str]:
        return [line for line in lines if ":[" not in line and "/" not in line and "again" not in line]

    assert same(done.lines) == same(plain.lines)
    assert len(same(done.lines)) > 15


def test_the_back_off_grows_and_a_long_run_begins_it_again(stage: StageLab) -> None:
    pod = stage.sh(
        f"{COUNT}; test $n -ne 4 || sleep 10.2; exit 1",
        QUICK,
        annotations=policy("on-failure:5,backoff=100ms,max-backoff=800ms"),
    )
    done = pod.call()
    assert done.status == 1
    pauses = [line.split(" in ")[1] for line in done.lines if "started again" in line]
    first, again = pauses[:4], pauses[3:]
    assert first == ["0.1 seconds", "0.2 seconds", "0.4 seconds", "0.1 seconds"]
    assert again == ["0.1 seconds", "0.2 seconds", "0.4 seconds", "0.8 seconds", "0.8 seconds"]


def test_a_stop_in_a_pause_ends_the_pod_at_once(stage: StageLab) -> None:
    pod = stage.sh("exit 3", QUICK, annotations=policy("always,backoff=10m"))
    process = pod.start()
    pod.wait_ready()
    found = eventually(lambda: restarts(pod).next_at and restarts(pod))
    assert found.exit_code == 3
    assert found.next_at > time.time() + 300
    assert pod.statuses() == {"main": None}
    begun = time.monotonic()
    pod.call("stop", force=False)
    assert finish(process).status == 0
    assert time.monotonic() - begun < 5
    assert pod.statuses() == {"main": 0}
    assert restarts(pod).next_at is None


def test_handlers_run_for_each_start_and_post_stop_before_the_next(stage: StageLab) -> None:
    pod = stage.sh(
        f"{COUNT}; echo main-$n-$(id -u) >> /order; test $n -ge 3",
        QUICK,
        annotations=policy(f"on-failure,{AT_ONCE}"),
        eventHandlers=[
            handler("pre-start", "echo pre-$(id -u)-$PPID >> /order; cat /proc/self/cgroup > /groups-pre"),
            handler("post-stop", "echo post >> /order; sleep 0.1; cat /order"),
        ],
    )
    done = pod.call()
    assert done.status == 0, done.lines
    order = [line.partition("-")[0] for line in done.lines if "again" not in line][-9:]
    assert order == ["pre", "main", "post"] * 3


def test_a_failing_pre_start_handler_is_a_failing_start(stage: StageLab) -> None:
    pod = stage.sh(
        "cat /tries",
        QUICK,
        annotations=policy(f"on-failure:5,{AT_ONCE}"),
        eventHandlers=[handler("pre-start", "echo x >> /tries; test $(wc -l < /tries) -ge 3 || exit 9")],
    )
    done = pod.call()
    assert done.status == 0, done.lines
    assert restarts(pod).count == 2
    assert done.lines.count("x") == 3


def test_a_program_that_the_image_lacks_is_not_tried_again(stage: StageLab) -> None:
    pod = stage.pod({"main": {"exec": ["/bin/sh-not"], "annotations": policy(f"always,{AT_ONCE}")}}, QUICK)
    done = pod.call()
    assert done.status != 0
    assert restarts(pod).count == 0


def test_a_program_that_goes_away_later_is_awaited(stage: StageLab) -> None:
    pod = stage.pod(
        {
            "main": {"exec": ["/run-me"], "annotations": policy(f"on-failure:2,{AT_ONCE}")},
            "maker": {"exec": ["sleep", "1000"]},
        },
        QUICK,
    )
    (stage.tree / "run-me").write_text("#!/bin/sh\nrm /run-me\nexit 5\n")
    (stage.tree / "run-me").chmod(0o755)
    try:
        done = pod.call()
    finally:
        (stage.tree / "run-me").unlink()
    assert done.status == 203
    assert sum("could not be started" in line for line in done.lines) == 2
    assert restarts(pod).count == 2


def test_a_killed_app_is_started_again_and_its_children_are_gone(stage: StageLab) -> None:
    pod = stage.sh("sleep 1234 & echo up; sleep 4321", QUICK, annotations=policy(f"on-failure,{AT_ONCE}"))
    process = pod.start()
    pod.wait_ready()
    for number in range(1, 4):
        found = own(pod)
        below = eventually(lambda found=found: children_of(found))
        os.kill(found, signal.SIGKILL)
        eventually(lambda number=number: restarts(pod).count == number)
        eventually(lambda below=below: not any(b"sleep" in command_of(pid) for pid in below))
    pod.call("stop", force=False)
    assert finish(process).status == 0


def test_out_of_memory_counts_for_its_start_alone(stage: StageLab) -> None:
    eat = "head -c 200m /dev/zero | tail"
    pod = stage.sh(
        f"{COUNT}; if test $n = 1; then {eat}; exit 1; fi; exit 4",
        QUICK,
        annotations=policy("on-failure:1,backoff=1s"),
        isolators=[{"name": "resource/memory", "value": {"limit": "32Mi"}}],
    )
    process = pod.start()
    first = eventually(lambda: restarts(pod).next_at and restarts(pod))
    assert first.oom
    assert finish(process).status == 4
    assert (restarts(pod).oom, restarts(pod).exit_code) == (False, 4)
    assert "oom" not in pathlib.Path(pod.dir.app_end("main")).read_text()


def test_without_its_waiting_process_the_next_end_is_the_last(stage: StageLab) -> None:
    pod = stage.pod({"main": app("sleep 1000"), "other": {"exec": ["sleep", "3000"]}}, PATIENT)
    process = pod.start()
    pod.wait_ready()
    [lost] = waiting(pod)
    os.kill(lost, signal.SIGKILL)
    eventually(lambda: restarts(pod).lost)
    assert pod.statuses() == {"main": None, "other": None}
    [app_itself] = running(pod, "sleep\0001000")
    os.kill(app_itself, signal.SIGKILL)
    eventually(lambda: pod.statuses()["main"] == 9)
    assert "the process that would do so has ended" in pod.log()
    assert pod.state() == "running"
    pod.call("stop", force=False)
    assert finish(process).status == 9, "it is the first that has failed"


def test_a_waiting_process_that_is_killed_in_a_pause_ends_its_app(stage: StageLab) -> None:
    pod = stage.sh("exit 6", QUICK, annotations=policy("always,backoff=10m"))
    process = pod.start()
    eventually(lambda: os.path.exists(pod.dir.pid) and restarts(pod).next_at)
    os.kill(waiting(pod)[0], signal.SIGKILL)
    assert finish(process).status == 6
    assert pod.statuses() == {"main": 6}


def test_a_stopped_waiting_process_does_not_keep_a_pod_from_stopping(stage: StageLab) -> None:
    pod = stage.sh("exit 6", QUICK, annotations=policy("always,backoff=300ms"))
    process = pod.start()
    pod.wait_ready()
    os.kill(waiting(pod)[0], signal.SIGSTOP)
    time.sleep(0.6)
    begun = time.monotonic()
    pod.call("stop", force=False)
    assert finish(process).status == 0
    assert time.monotonic() - begun < 3


def test_the_waiting_process_has_no_more_rights_than_its_app(stage: StageLab) -> None:
    pod = stage.sh(
        "sleep 1000",
        QUICK,
        annotations=policy("always"),
        user="100",
        group="200",
    )
    process = pod.start()
    pod.wait_ready()
    [found], app_itself = waiting(pod), own(pod)

    def rights(pid: int) -> dict[str, str]:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        pairs = (line.split(":", 1) for line in lines)
        return {
            name: value.strip() for name, value in pairs if name.startswith(("Cap", "Uid", "Gid", "Groups"))
        }

    assert rights(found) == rights(app_itself)
    assert os.readlink(f"/proc/{found}/root") == os.readlink(f"/proc/{app_itself}/root")
    assert os.stat(f"/proc/{found}/environ").st_uid == 0, "it is dumpable: its user could trace it"
    names = {
        os.readlink(f"/proc/{found}/fd/{fd}").partition(":")[0] for fd in os.listdir(f"/proc/{found}/fd")
    }
    # Of its leaf in each hierarchy: tasks in v1, cgroup.procs in v2.
    assert {os.path.basename(name) for name in names} == {"null", "pipe", "socket", "cgroup.procs", "tasks"}
    pod.call("stop", force=False)
    assert finish(process).status == 0


@pytest.mark.parametrize(("exit_policy", "ends"), [(CONTINUE, False), ("end-pod", True)])
def test_an_exit_policy_decides_on_the_others(stage: StageLab, exit_policy: str, ends: bool) -> None:
    pod = stage.pod(
        {
            "bad": {"exec": ["/bin/sh", "-c", "exit 5"]},
            "worse": {"exec": ["/bin/sh", "-c", "sleep 0.3; exit 6"]},
            "good": {"exec": ["/bin/sh", "-c", "sleep 0.8; echo done"]},
        },
        QUICK.replace(exit_policy=exit_policy),
    )
    done = pod.call()
    assert done.status == 5
    assert pod.statuses() == {"bad": 5, "worse": 0 if ends else 6, "good": 0}
    assert ("good", "done") in done.said or ends


def test_a_terminal_and_a_restart_policy_exclude_each_other(stage: StageLab) -> None:
    pod = stage.sh("exit 6", QUICK, annotations=policy("always"))
    done = pod.call(interactive=True)
    assert done.status != 0
    assert "cannot have a restart policy" in done.err


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "in the foreground"])
def test_the_supervisor_needs_little_more_memory_after_many_restarts(stage: StageLab, detached: bool) -> None:
    pod = stage.sh("exit 1", QUICK, annotations=policy("always,backoff=10ms,max-backoff=10ms"))
    process = pod.start(detach=detached)
    pod.wait_ready()

    def private() -> int:
        text = pathlib.Path(f"/proc/{pod.pid()}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))

    eventually(lambda: restarts(pod).count > 5)
    if detached:
        pod.wait_rest()
    before = private()
    eventually(lambda: restarts(pod).count > 60)
    assert private() - before < 100
    assert len(children_of(pod.pid())) <= 2
    pod.call("stop", force=False)
    assert finish(process).status == 0
    pod.wait_ended()


@pytest.mark.parametrize("ready", [True, False])
def test_a_start_waits_until_each_app_was_up_once(stage: StageLab, ready: bool) -> None:
    """An app that is started again and again is late in the end, and so is the pod."""
    says = "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)"
    says += "; s.connect(os.environ['NOTIFY_SOCKET']); s.send(b'READY=1'); time.sleep(1000)"
    script = f"""import os, sys, time
runs = open("/runs", "a+"); runs.write("x"); runs.seek(0); number = len(runs.read()); runs.close()
number < 4 and sys.exit(3)
{says if ready else "sys.exit(3)"}"""
    stage.link_libraries()
    given = python(script)
    volumes = given.pop("volumes")
    notify = {"name": "appc.io/executor/supports-systemd-notify", "value": "true"}
    annotations = [*policy("on-failure,backoff=20ms,max-backoff=50ms"), notify]
    pod = stage.pod({"main": {**given, "annotations": annotations}}, QUICK, volumes=volumes)  # type: ignore[arg-type]
    done = pod.call(detach=True, seconds=10 if ready else 2)
    if ready:
        assert done.status == 0, done.err
        assert restarts(pod).count == 3
        pod.call("stop", force=False)
        pod.wait_ended()
        assert pod.statuses() == {"main": 0}
    else:
        assert done.status != 0
        assert 'app "main" could not be started: it has not said READY=1 within 1 seconds' in done.err
        assert pod.statuses()["main"] not in (None, 0)
