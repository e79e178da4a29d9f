# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The work of the supervisor: logs, handlers, limits; and entering a pod."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import time
import tty

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import logs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import LogPolicy, RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    ENTRY,
    HOST_NET,
    NO_NET,
    PYTHON,
    RUNTIME,
    SECONDS,
    LabPod,
    StageLab,
    eventually,
    finish,
    until,
)

QUICK = RunSpec(networks=HOST_NET.networks, stop_timeout=1)
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (stdout|stderr) (.*)")


def handler(event: str, script: str) -> dict[str, object]:
    return {"name": event, "exec": ["/bin/sh", "-c", script]}


def sockets() -> tuple[int, int]:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


def memory(limit: str) -> list[dict[str, object]]:
    return [{"name": "resource/memory", "value": {"limit": limit}}]


@pytest.mark.behaviour("C19")
def test_output_goes_to_the_console_and_to_the_log(stage: StageLab) -> None:
    pod = stage.sh("echo one; echo two >&2; printf three")
    done = pod.call()
    assert sorted(done.said) == [("main", "one"), ("main", "three"), ("main", "two")]
    found = [match.groups() for match in map(LINE.fullmatch, pod.log().splitlines()) if match]
    assert sorted(found) == [("stderr", "two"), ("stdout", "one"), ("stdout", "three")]
    assert [line.text for line in logs.tail(pod.dir, "main", 3)]


def test_logs_are_rotated_and_bounded(stage: StageLab) -> None:
    policy = RunSpec(networks=HOST_NET.networks, log=LogPolicy(4096, 3))
    pod = stage.sh("i=0; while test $i -lt 500; do echo line-$i; i=$((i+1)); done", policy)
    pod.call()
    files = sorted(os.listdir(pod.dir.logs))
    assert files == ["main.log", "main.log.1", "main.log.2"]
    assert all(os.path.getsize(f"{pod.dir.logs}/{name}") <= 4096 for name in files)
    kept = [line.text for line in logs.read_log(pod.dir, "main", 1 << 20)]
    assert kept == [f"line-{number}" for number in range(500 - len(kept), 500)]
    assert len(kept) > 100


def test_much_output_is_complete_and_in_order(stage: StageLab) -> None:
    done = stage.run("seq 1 20000")
    assert done.lines == [str(number) for number in range(1, 20001)]


def test_logs_do_not_turn_over_while_there_is_no_room_for_a_copy(stage: StageLab) -> None:
    """The kept lines stay, and so do all other lines."""
    policy = RunSpec(networks=HOST_NET.networks, log=LogPolicy(4096, 3))
    lines = "i=0; while test $i -lt 200; do echo $0-$i; i=$((i+1)); done"
    pod = stage.sh(
        f"sh -c '{lines}' early; {until('test -e /room')}; sleep 1; sh -c '{lines}' late",
        policy,
    )
    os.makedirs(pod.dir.logs)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "logs", pod.dir.logs], check=True, timeout=10)
    try:
        filler = pathlib.Path(pod.dir.logs) / "filler"
        filler.write_bytes(bytes(28 << 10))
        process = pod.start()
        eventually(lambda: os.path.exists(pod.dir.app_log("main")) and pod.log().count("early") > 50)
        time.sleep(0.3)
        assert "early-0\n" in pod.log()
        assert os.path.getsize(pod.dir.app_log("main")) <= 4096
        filler.unlink()
        done = pod.call("enter", app="main", argv=["touch", "/room"])
        assert done.status == 0, done.err
        assert finish(process).status == 0
        assert sorted(os.listdir(pod.dir.logs)) == ["main.log", "main.log.1", "main.log.2"]
        kept = [line.text for line in logs.read_log(pod.dir, "main", 1 << 20)]
        assert kept[-1] == "late-199"
        assert pod.statuses() == {"main": 0}
    finally:
        subprocess.run(["umount", "--lazy", pod.dir.logs], check=True, timeout=10)


@pytest.mark.finding("attack-F17")
@pytest.mark.behaviour("D14")
def test_how_an_app_has_ended_is_recorded_on_a_full_disk(stage: StageLab) -> None:
    pod = stage.sh(f"{until('test -e /full')}; exit 7")
    os.makedirs(pod.dir.statuses)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "full", pod.dir.statuses], check=True, timeout=10
    )
    try:
        process = pod.start()
        pod.wait_ready()
        assert pod.statuses() == {"main": None}
        filler = os.open(f"{pod.dir.statuses}/filler", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while os.write(filler, bytes(4096)):
                pass
        os.close(filler)
        # The app and with it the pod may end before touch has, which is killed then.
        done = pod.call("enter", app="main", argv=["touch", "/full"])
        assert done.status in (0, -signal.SIGKILL), done.err
        assert finish(process).status == 7
        assert pod.statuses() == {"main": 7}
    finally:
        subprocess.run(["umount", "--lazy", pod.dir.statuses], check=True, timeout=10)


@pytest.mark.behaviour("D11", "D12")
def test_a_console_that_nobody_reads_does_not_keep_a_pod_from_stopping(stage: StageLab) -> None:
    pod = stage.pod({"loud": {"exec": ["yes"]}, "short": {"exec": ["sleep", "0.5"]}}, QUICK)
    process = pod.start()
    eventually(lambda: pod.statuses()["short"] == 0)
    before = pod.log("loud")
    time.sleep(0.3)
    assert pod.log("loud") == before, "the app waits for the reader"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    assert time.monotonic() - started < 25
    assert pod.statuses() == {"loud": 0, "short": 0}


@pytest.mark.behaviour("C19")
@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_a_slow_reader_gets_everything_and_its_descriptor_stays_as_it_was(stage: StageLab, kind: str) -> None:
    ours, theirs = {"pipe": os.pipe, "socket": sockets, "terminal": pty.openpty}[kind]()
    if kind == "terminal":
        tty.setraw(theirs)
    pod = stage.sh("seq 1 40000")
    words = json.dumps([stage.paths.data, pod.uuid, "run", {}])
    argv = [PYTHON, "-I", "-S", "-c", ENTRY.format(runtime=str(RUNTIME)), words]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs)
    stage.started.append(process)
    time.sleep(1.5)
    assert os.get_blocking(theirs)
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # EIO is the end of a terminal
        while data := os.read(ours, 1 << 16):
            said += data
    assert process.wait(SECONDS) == 0
    assert [line.split(b"]: ")[1] for line in said.splitlines()] == [
        b"%d" % number for number in range(1, 40001)
    ]


def test_a_line_without_an_end_does_not_fill_the_memory(stage: StageLab) -> None:
    done = stage.run("head -c 100000 /dev/zero | tr '\\0' x")
    assert sum(len(line) for line in done.lines) == 100000
    assert max(len(line) for line in done.lines) < 1 << 17


def test_a_console_that_goes_away_does_not_end_the_pod(stage: StageLab) -> None:
    pod = stage.sh("sleep 0.3; echo lost; sleep 0.1; exit 4")
    process = pod.start()
    assert process.stdout
    process.stdout.close()
    assert process.wait(SECONDS) == 4
    assert "stdout lost" in pod.log()


@pytest.mark.behaviour("C18", "C56")
def test_handlers_run_as_root_in_the_root_of_the_app(stage: StageLab) -> None:
    handlers = [
        handler("pre-start", "echo pre $(id -u) $(id -g) $HOME; touch /dev/shm/pre; sleep 0.2"),
        handler(
            "post-stop",
            "echo post $(id -u) $AC_APP_NAME; ls /dev/shm; ls / | grep -c .; ls /work 2>/dev/null",
        ),
    ]
    pod = stage.sh("echo main $(id -u); ls /dev/shm", eventHandlers=handlers, user="worker", group="workers")
    done = pod.call()
    assert done.status == 0
    assert done.lines[:5] == ["pre 0 0 /root", "main 100", "pre", "post 0 main", "pre"]
    assert len(done.lines) == 6


@pytest.mark.behaviour("C18")
def test_a_pre_start_that_fails_is_the_status_of_the_app(stage: StageLab) -> None:
    handlers = [handler("pre-start", "exit 7"), handler("post-stop", "echo post")]
    pod = stage.sh("echo never", eventHandlers=handlers)
    done = pod.call()
    assert done.status == 7
    assert "never" not in done.lines
    assert done.lines[-1] == "post"
    assert pod.statuses() == {"main": 7}


@pytest.mark.behaviour("C18")
def test_a_post_stop_runs_also_when_the_app_fails_or_the_pod_is_stopped(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    for name in ("begun", "go"):
        os.mkfifo(gate / name)
    pod = stage.sh(
        "sleep 60",
        volumes=[{"name": "gate", "kind": "host", "source": str(gate)}],
        mounts=[{"volume": "gate", "path": "/gate"}],
        eventHandlers=[handler("post-stop", "echo it runs > /gate/begun; read go < /gate/go; echo post")],
    )
    process = pod.start()
    pod.wait_ready()
    process.send_signal(signal.SIGTERM)
    # The app has ended and the handler runs: the pod runs as long.
    assert (gate / "begun").read_text() == "it runs\n"
    assert (process.poll(), pod.state(), pod.log()) == (None, "running", "")
    (gate / "go").write_text("go\n")
    done = finish(process)
    assert (done.status, done.lines) == (0, ["post"])
    failing = stage.run("exit 3", eventHandlers=[handler("post-stop", "echo post")])
    assert (failing.status, failing.lines) == (3, ["post"])


@pytest.mark.behaviour("C18", "C47")
def test_handlers_are_bounded_as_their_app_is(stage: StageLab) -> None:
    look = "grep -E 'CapBnd|CapEff' /proc/self/status"
    done = stage.run(look, eventHandlers=[handler("pre-start", look), handler("post-stop", look)])
    assert {line.split()[1] for line in done.lines} == {"00000000a80425fb"}
    assert len(done.lines) == 6


@pytest.mark.behaviour("C44")
def test_too_much_memory_ends_the_app(stage: StageLab) -> None:
    eater = "head -c 67108864 /dev/zero | tail -c 67108864 > /dev/null"
    done = stage.run(f"{eater}; sleep 20; echo survived", isolators=memory("16M"))
    assert done.status == signal.SIGKILL
    assert "survived" not in done.lines


@pytest.mark.behaviour("C45")
def test_cpu_limits_reach_the_kernel(stage: StageLab) -> None:
    isolators = [
        {"name": "resource/cpu", "value": {"limit": "755m"}},
        {"name": "os/linux/cpu-shares", "value": 512},
    ]
    script = (
        "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.shares 2>/dev/null || cat cpu.max cpu.weight"
    )
    done = stage.run(script, isolators=isolators)
    assert done.lines in (["75000", "512"], ["75000 100000", "20"])


def test_a_limit_of_the_pod_holds_for_all_its_apps(stage: StageLab) -> None:
    pod = stage.sh("sleep 60", isolators_of_pod=memory("40M"))
    pod.call(detach=True)
    places = [pathlib.Path(line) for line in pathlib.Path(f"{pod.dir.path}/cgroups").read_text().splitlines()]
    files = [place / name for place in places for name in ("memory.limit_in_bytes", "memory.max")]
    assert [path.read_text().strip() for path in files if path.exists()] == ["39997440"]


# Forks until it is refused, and keeps its processes.
BOMB = "(while :; do sleep 100 & done) 2>/dev/null; exec sleep 100"


def pids_of(pod: LabPod, leaf: str, file: str) -> str:
    """The content of a file of the pids controller in a leaf of the pod."""
    places = [pathlib.Path(line) for line in pathlib.Path(f"{pod.dir.path}/cgroups").read_text().splitlines()]
    (found,) = (path for place in places if (path := place / leaf / file).exists())
    return found.read_text().strip()


def is_full(pod: LabPod, leaf: str) -> bool:
    """Whether a fork was refused in a leaf. Source: admin-guide/cgroup-v1/pids.rst."""
    return pids_of(pod, leaf, "pids.events") not in ("", "max 0")


@pytest.mark.finding("attack-F7")
def test_a_fork_bomb_fills_its_limit_and_no_more(stage: StageLab) -> None:
    pod = stage.sh(BOMB, QUICK, isolators=[{"name": "resource/pids", "value": {"limit": 50}}])
    pod.call(detach=True)
    eventually(lambda: is_full(pod, "main"))
    assert int(pids_of(pod, "main", "pids.current")) in (49, 50)
    done = pod.call("stop", force=False)
    assert done.status == 0, done.err
    pod.wait_ended()


@pytest.mark.finding("attack-F7")
def test_a_fork_bomb_leaves_the_other_apps_and_handlers_of_its_pod_running(stage: StageLab) -> None:
    apps = {
        "bomb": {
            "exec": ["sh", "-c", BOMB],
            "isolators": [{"name": "resource/pids", "value": {"limit": -1}}],
        },
        "calm": {
            "exec": ["sh", "-c", "sleep 1; /bin/echo forked"],
            "eventHandlers": [handler("post-stop", "/bin/echo handled")],
        },
    }
    pod = stage.pod(apps, QUICK, isolators=[{"name": "resource/pids", "value": {"limit": 40}}])
    pod.call(detach=True)
    eventually(lambda: is_full(pod, "bomb"))
    eventually(lambda: "handled" in pod.log("calm"))
    assert "forked" in pod.log("calm")
    assert int(pids_of(pod, "bomb", "pids.current")) in (39, 40)
    pod.call("stop", force=False)
    pod.wait_ended()


@pytest.mark.finding("attack-F7")
def test_processes_are_limited_where_nobody_says_so(stage: StageLab) -> None:
    pod = stage.sh("sleep 60", QUICK)
    pod.call(detach=True)
    places = [pathlib.Path(line) for line in pathlib.Path(f"{pod.dir.path}/cgroups").read_text().splitlines()]
    limits = [place / leaf / "pids.max" for leaf in ("main", "") for place in places]
    assert [path.read_text().strip() for path in limits if path.exists()] == ["2048", "4098"]


@pytest.mark.behaviour("C57")
def test_what_an_app_leaves_behind_ends_with_it(stage: StageLab) -> None:
    there = "ps | grep -q '[s]leep 777'"
    apps = {
        "short": {"exec": ["sh", "-c", f"setsid sleep 777 & {until(there)}; touch /dev/shm/left"]},
        "long": {"exec": ["sh", "-c", f"{until('test -e /dev/shm/left')}; {until('! ' + there)}; echo gone"]},
    }
    assert stage.pod(apps).call().said == [("long", "gone")]


@pytest.mark.behaviour("A45", "A46")
def test_enter_runs_a_command_in_the_app(stage: StageLab) -> None:
    pod = stage.sh("touch /mark; sleep 60", NO_NET, environment=[{"name": "COLOUR", "value": "blue"}])
    pod.call(detach=True)
    eventually(lambda: pod.call("enter", app="main", argv=["test", "-e", "/mark"]).status == 0)
    script = "pwd; ls /mark; id -u; echo $COLOUR $TERM $USER; hostname; readlink /proc/self/ns/net; echo $LANG$SHLVL"
    done = pod.call("enter", app="main", argv=["sh", "-c", script])
    lines = done.out.splitlines()
    assert lines[:5] == ["/", "/mark", "0", "blue xterm root", f"rkt-{pod.uuid}"]
    assert lines[5] == os.readlink(f"/proc/{pod.pid()}/ns/net")
    assert lines[6] == "1"


@pytest.mark.behaviour("A45")
def test_enter_passes_the_status_on(stage: StageLab) -> None:
    pod = stage.sh("sleep 60")
    pod.call(detach=True)
    assert pod.call("enter", app="main", argv=["/bin/sh", "-c", "exit 9"]).status == 9
    assert pod.call("enter", app="main", argv=["sh", "-c", "kill -TERM $$"]).status == -signal.SIGTERM
    missing = pod.call("enter", app="main", argv=["nosuch"])
    assert missing.status != 0
    assert "nosuch" in missing.err


def test_stop_and_enter_of_a_pod_that_has_ended_are_refused_or_nothing(stage: StageLab) -> None:
    pod = stage.sh("true")
    done = pod.call()
    assert done.status == 0, done.err
    done = pod.call("stop", force=False)
    assert done.status == 0, done.err
    assert pod.call("enter", app="main", argv=["true"]).status == 254


def test_a_pid_that_belongs_to_somebody_else_is_not_signalled(stage: StageLab) -> None:
    pod = stage.sh("sleep 60")
    pod.call(detach=True)
    pid = pod.pid()
    bystander = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        pathlib.Path(pod.dir.pid).write_text(str(bystander))
        done = pod.call("stop", force=True)
        assert done.status == 0, done.err
        time.sleep(0.1)
        assert os.waitpid(bystander, os.WNOHANG) == (0, 0)
    finally:
        os.kill(bystander, signal.SIGKILL)
        os.waitpid(bystander, 0)
        pathlib.Path(pod.dir.pid).write_text(str(pid))


@pytest.mark.behaviour("C19")
def test_an_interactive_app_has_a_terminal(stage: StageLab) -> None:
    pod = stage.sh("test -t 0 && test -t 1 && tty; read word; echo got $word; stty size; exit 6")
    master, slave = pty.openpty()
    child = pod.start(terminal=slave, interactive=True)
    os.close(slave)
    said = b""
    while b"/dev/console" not in said:
        said += os.read(master, 1024)
    os.write(master, b"hello\r")
    try:
        while True:
            said += os.read(master, 1024)
    except OSError:
        pass
    assert child.wait(10) == 6
    assert b"got hello" in said
    os.close(master)


@pytest.mark.behaviour("C19")
def test_interactive_without_a_terminal_passes_stdio(stage: StageLab) -> None:
    done = stage.sh("echo plain; echo error >&2").call(interactive=True)
    assert (done.out, done.err) == ("plain\n", "error\n")
