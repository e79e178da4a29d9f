# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An app with CAP_SYS_PTRACE can control all processes that it sees, and none of them has more rights than the apps.

The tests stop a process of the pod where the app would find it, by tracing it from outside.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pathlib
import time
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import mask_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RESTART
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import frames
from ansible_collections.stagecraft.pods.tests.integration.stage1 import inject
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    PYTHON,
    SECONDS,
    LabPod,
    StageLab,
    children_of,
    eventually,
    finish,
    python,
)

ALLOWED = mask_of(("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"))
# Longer than a start takes.
LONG = 1.0
# The content of a volume, which is filled before any process of an app gets its plan, so that each can be caught.
MANY = 500
# Looks for processes to write to, and has these make a mount namespace, which takes CAP_SYS_ADMIN.
SEARCH = f"""import os, sys, time
sys.path.insert(0, "/lab")
from inject import call_in
seen, end = set(), time.monotonic() + {LONG}
while time.monotonic() < end:
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        try:
            os.close(os.open(f"/proc/{{pid}}/mem", os.O_RDWR))
            with open(f"/proc/{{pid}}/status") as file:
                found = dict(line.split(":\\t", 1) for line in file)
        except OSError:
            continue
        rights = pid, int(found["CapPrm"], 16), int(found["CapBnd"], 16)
        if pid not in (1, os.getpid()) and rights not in seen:
            seen.add(rights)
            done = call_in(pid, 272, 0x20000) if rights[1] & {mask_of(("CAP_SYS_ADMIN",))} else -1
            print(*rights, "unshared" if done == 0 else "-", flush=True)"""
# Of an app with a policy a process waits for the life of the pod.
RESTARTED = pytest.mark.parametrize(
    "restart", [[], [{"name": RESTART, "value": "always,backoff=1h"}]], ids=["once", "again"]
)
NO_FILTER = {"name": "os/linux/seccomp-retain-set", "value": {"set": ["@appc.io/all"]}}


def retain(*names: str) -> dict[str, object]:
    return {"name": "os/linux/capabilities-retain-set", "value": {"set": list(names)}}


def hunted(stage: StageLab, victim: dict[str, object]) -> LabPod:
    """A pod of a tracer, which searches all processes, and of another app, main."""
    stage.link_libraries()
    (stage.tree / "many").mkdir()
    for number in range(MANY):
        (stage.tree / "many" / str(number)).touch()
    given = python(SEARCH)
    volumes, mounts = list(given.pop("volumes")), list(given.pop("mounts"))  # type: ignore[call-overload]
    lab = os.path.dirname(inject.__file__)
    volumes += [
        {"name": "lab", "kind": "host", "source": lab, "readOnly": True},
        {"name": "many", "kind": "empty"},
    ]
    mounts += [{"volume": "lab", "path": "/lab"}, {"volume": "many", "path": "/many"}]
    tracer = {
        **given,
        "mounts": mounts,
        "isolators": [retain("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"), NO_FILTER],
    }
    return stage.pod({"tracer": tracer, "main": victim}, volumes=volumes, prefill=["many"])


APPS = 2


def found_by_tracer(pod: LabPod) -> list[list[str]]:
    """Its report on each process that it could write to: number, capabilities, the bounding set, the result."""
    log = pod.log("tracer")
    assert " stderr " not in log, log
    return [line.split(" stdout ", 1)[1].split() for line in log.splitlines()]


def wait_for_tracer(pod: LabPod) -> list[list[str]]:
    """The report once it has searched to the end."""
    eventually(lambda: pod.statuses()["tracer"] is not None)
    found = found_by_tracer(pod)
    assert found, "it may not even look at its equals"
    return found


def nursery_of(starter: int) -> int:
    """The process that will fork those of the apps, as soon as there is one: for as long as its interpreter starts."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:  # without a pause: it has few milliseconds
        with contextlib.suppress(OSError):  # something has ended meanwhile
            forked = [child for first in children_of(starter) for child in children_of(first)]
            if len(forked) == 1:
                return forked[0]
    raise AssertionError("it is not there")


def hold_child(starter: int) -> int:
    """Stop the process that becomes main, the last that is forked, in its groups and with all rights. Returns its PID.

    Where it is forked it cannot be stopped for long: the process that forks it waits for a sign of life.
    """
    pid = inject.hold_next_child(nursery_of(starter), APPS)
    place = pathlib.Path(f"/proc/{pid}/cgroup")
    inject.step_until(pid, lambda: all(line.endswith("/main") for line in place.read_text().splitlines()))
    return pid


def hold_handler(starter: int) -> int:
    """Stop the process that becomes its pre-start handler, when it is forked. Returns its PID."""
    pid = hold_child(starter)
    inject.release(pid)
    return inject.hold_next_child(pid)


def pipes_of(pid: int) -> set[str]:
    """The pipes that a process has open beside its standard files."""
    place, found = pathlib.Path(f"/proc/{pid}/fd"), set()
    for number in os.listdir(place):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(place / number) if int(number) > 2 else "")
    return {target for target in found if target.startswith("pipe:")}


def rights_of(pid: int) -> dict[str, int]:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in lines)
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    return {name: int(found[name], 16) for name in names}


@pytest.mark.finding("attack-F3")
@RESTARTED
@pytest.mark.parametrize("hold", [hold_child, hold_handler], ids=["app", "pre-start"])
def test_no_app_is_executed_before_all_of_the_pod_have_given_up_their_rights(
    stage: StageLab, hold: Callable[[int], int], restart: list[dict[str, str]]
) -> None:
    """Nor is the PID on record, by which a command of the tracer's image could enter."""
    handler = {"name": "pre-start", "exec": ["/bin/sh", "-c", "sleep 0.2"]}
    victim = {
        "exec": ["/bin/sh", "-c", "sleep 600"],
        "isolators": [retain("CAP_CHOWN")],
        "eventHandlers": [handler] if hold is hold_handler else [],
        "annotations": restart,
    }
    pod = hunted(stage, victim)
    starter = pod.start(detach=True)
    pid = hold(starter.pid)
    time.sleep(LONG)
    assert found_by_tracer(pod) == []
    assert not os.path.exists(pod.dir.pid)
    # The starter waits for its end: the first process does not have it any more, once it is the supervisor.
    first = children_of(starter.pid)[0]
    (held,) = eventually(lambda: pipes_of(pid) & pipes_of(starter.pid) - pipes_of(first))
    inject.step_until(pid, lambda: held not in pipes_of(pid))
    chown = mask_of(("CAP_CHOWN",))
    caps = {"CapInh": 0, "CapPrm": chown, "CapEff": chown, "CapBnd": chown, "CapAmb": 0}
    assert rights_of(pid) == {**caps, "NoNewPrivs": 1}
    inject.release(pid)
    done = finish(starter)
    assert done.status == 0, done.err
    for _pid, permitted, bounding, did in wait_for_tracer(pod):
        assert (int(permitted) | int(bounding)) & ~ALLOWED == 0
        assert did == "-"


@pytest.mark.finding("attack-F3")
@RESTARTED
@pytest.mark.parametrize("user", ["root", "worker"])
def test_what_waits_for_its_handler_has_no_more_rights_than_its_app(
    stage: StageLab, user: str, restart: list[dict[str, str]]
) -> None:
    """This includes the capability that loads a filter, for which no-new-privileges is the price."""
    victim = {
        "exec": ["/bin/sh", "-c", "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; sleep 600"],
        "user": user,
        "isolators": [retain("CAP_CHOWN")],
        "eventHandlers": [{"name": "pre-start", "exec": ["/bin/sh", "-c", f"sleep {2 * LONG}"]}],
        "annotations": restart,
    }
    pod = hunted(stage, victim)
    starter = pod.start(detach=True)
    for _pid, permitted, bounding, did in wait_for_tracer(pod):
        assert (int(permitted) | int(bounding)) & ~ALLOWED == 0
        assert did == "-"
    assert finish(starter).status == 0
    eventually(lambda: "Seccomp" in pod.log())
    assert [line.split(" stdout ", 1)[1] for line in pod.log().splitlines()] == [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ]


@pytest.mark.finding("attack-F3")
@pytest.mark.parametrize(
    ("extra", "said"), [([], "0"), (["CAP_SYS_PTRACE"], "1"), (["CAP_SYS_PTRACE", "CAP_SYS_ADMIN"], "0")]
)
def test_a_filter_brings_no_new_privileges_where_its_loading_could_be_seen(
    stage: StageLab, extra: list[str], said: str
) -> None:
    look = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status"
    done = stage.run(look, isolators=[retain("CAP_CHOWN", *extra)])
    assert done.lines == [f"NoNewPrivs:\t{said}", "Seccomp:\t2"]


@pytest.mark.finding("attack-F3")
@RESTARTED
@pytest.mark.parametrize("sleeper_may", ["CAP_SYS_PTRACE", "CAP_CHOWN"])
def test_who_may_not_trace_has_no_way_into_an_equal_that_has_no_filter_yet(
    stage: StageLab, sleeper_may: str, restart: list[dict[str, str]]
) -> None:
    """It could get rid of its own filter by that."""
    sleeper = {"exec": ["/bin/sleep", "600"], "isolators": [retain(sleeper_may)]}
    look = """sleep 0.5; for at in /proc/[0-9]*; do name=$(cat $at/comm); test $at = /proc/1 && continue
    (exec 3<>$at/mem) 2>/dev/null && echo "may: $name" || echo "may not: $name"; done"""
    looker = {"exec": ["/bin/sh", "-c", look], "isolators": [retain("CAP_CHOWN", "CAP_KILL")]}
    victim = {
        "exec": ["/bin/sleep", "600"],
        "isolators": [retain("CAP_CHOWN")],
        "eventHandlers": [{"name": "pre-start", "exec": ["/bin/sleep", "2"]}],
        "annotations": restart,
    }
    pod = stage.pod({"tracer": sleeper, "looker": looker, "main": victim})
    starter = pod.start(detach=True)
    eventually(lambda: pod.statuses()["looker"] is not None)
    said = [line.split(" stdout ", 1)[1] for line in pod.log("looker").splitlines()]
    assert "may: sh" in said, said  # itself
    name = os.path.basename(PYTHON)
    assert f"may not: {name}" in said, said
    assert f"may: {name}" not in said
    assert finish(starter).status == 0


@pytest.mark.finding("attack4-F8")
@pytest.mark.parametrize("lacking", [(), ("wake_alarm",), ("wake_alarm", "block_suspend", "audit_read")])
@pytest.mark.parametrize("given", [("CAP_KILL",), ("CAP_KILL", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND")])
def test_an_app_that_is_root_may_not_look_into_the_first_process(
    stage: StageLab, lacking: tuple[str, ...], given: tuple[str, ...]
) -> None:
    """With any capabilities of podctl, and any of the app but CAP_SYS_PTRACE."""
    pod = stage.sh("cd /proc/1; ls root/; readlink fd/0; readlink cwd; echo $?", isolators=[retain(*given)])
    bound = "".join(f",-{name}" for name in lacking)
    prefix = ["setpriv", f"--bounding-set={bound.lstrip(',')}"] if lacking else []
    done = pod.call(prefix=prefix)
    assert sorted(done.text.splitlines()) == ["1", "ls: root/: Permission denied"], done.text
    assert "podctl has no capability" not in done.err


@pytest.mark.finding("attack4-F8")
def test_a_pod_whose_first_process_cannot_be_guarded_says_so(stage: StageLab) -> None:
    prefix = [
        "setpriv",
        "--bounding-set=-all,+kill,+setuid,+setgid,+setpcap,+sys_chroot,+sys_admin,+dac_override",
    ]
    prefix[1] += ",+chown,+fowner,+mknod,+net_admin,+sys_resource"
    done = stage.sh("echo ran", isolators=[retain("CAP_KILL")]).call(prefix=prefix)
    assert done.lines[-1] == "ran", done.err
    assert "podctl has no capability that the apps do not have" in done.err


# Writes to the starter in the name of PID 1, by each socket that PID 1 has. Source: pidfd_getfd(2).
SPEAK = """import ctypes, os, socket, stat, sys
libc = ctypes.CDLL(None, use_errno=True)
process = os.pidfd_open(1)
said = 0
for name in range(3, 64):
    fd = libc.syscall(438, process, name, 0)
    if fd < 0 or not stat.S_ISSOCK(os.fstat(fd).st_mode):
        continue
    if socket.socket(fileno=os.dup(fd)).type & 15 == socket.SOCK_SEQPACKET:
        try:
            said += os.write(fd, bytes.fromhex({frame!r}).ljust({length}, b"x"))
        except OSError as err:
            print(err)
print("said", said, flush=True)
import time
time.sleep(60)"""


@pytest.mark.finding("http-F13")
@pytest.mark.parametrize(
    ("frame", "length", "message"),
    [
        (
            marshal.dumps(("failed", 1)),
            0,
            "cannot understand what a process of the pod said while it started",
        ),
        (
            b"\xe9",
            70_000,
            "cannot understand what a process of the pod said while it started: it is too long",
        ),
        (frames.frame_of("namespaces"), 0, "said while it started: it is out of turn"),
        (
            frames.frame_of("app-failed", "nothing", "x", 9, ""),
            0,
            "said while it started: the pod has no such app",
        ),
        (frames.frame_of("failed", "x", "forged\x1b[2J", "", 0, "self", 1), 0, "host-failure: forged"),
    ],
    ids=["marshal", "long", "out of turn", "no such app", "forged"],
)
def test_what_a_tracer_says_in_the_name_of_pid_1_is_text_at_most(
    stage: StageLab, frame: bytes, length: int, message: str
) -> None:
    stage.link_libraries()
    given = python(SPEAK.format(frame=frame.hex(), length=length))
    volumes = list(given.pop("volumes"))  # type: ignore[call-overload]
    tracer = {**given, "isolators": [retain("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"), NO_FILTER]}
    # An app that is not ready keeps the starter reading.
    late = {
        "exec": ["/bin/sleep", "60"],
        "annotations": [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}],
    }
    pod = stage.pod({"tracer": tracer, "late": late}, volumes=volumes)
    done = finish(pod.start(detach=True))
    assert message in done.err, (done.err, pod.log("tracer"))
    assert "Traceback" not in done.err + done.out
    assert done.status == 254
    assert pod.state() == "exited"
