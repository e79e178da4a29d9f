# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The rights of a command that enters an app: those of the app, unless more are requested."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import mask_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.machine import architecture
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    LabPod,
    StageLab,
    eventually,
    groups_of,
    python,
)

STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
LOOK = f"grep -E '^({'|'.join(STATUS)}):' /proc/self/status"
ANYTHING = [{"name": "os/linux/seccomp-retain-set", "value": {"set": ["@appc.io/all"]}}]
SESSION, GET_ID = -3, 0
SERIAL = f"""import ctypes
print(ctypes.CDLL(None).syscall({architecture().keyctl}, {GET_ID}, {SESSION}, 0), flush=True)"""


def retain(*names: str) -> dict[str, object]:
    return {"name": "os/linux/capabilities-retain-set", "value": {"set": list(names)}}


def running(stage: StageLab, script: str = "sleep 600", runspec: RunSpec = HOST_NET, **app: object) -> LabPod:
    pod = stage.sh(script, runspec, **app)
    done = pod.call(detach=True)
    assert done.status == 0, done.err
    return pod


def enter(pod: LabPod, script: str, **entry: object) -> list[str]:
    done = pod.call("enter", app="main", argv=["/bin/sh", "-c", script], **entry)
    assert done.status == 0, done.err
    return done.out.splitlines()


@pytest.mark.finding("attack-F2")
@pytest.mark.parametrize(
    ("isolators", "runspec"),
    [
        ([], HOST_NET),
        ([retain("CAP_KILL")], HOST_NET),
        ([retain("CAP_NET_ADMIN", "CAP_CHOWN")], HOST_NET),
        ([{"name": "os/linux/no-new-privileges", "value": True}], HOST_NET),
        ([{"name": "os/linux/seccomp-remove-set", "value": {"set": ["mkdir"], "errno": "EPERM"}}], HOST_NET),
        (ANYTHING, HOST_NET),
        ([], RunSpec(networks=HOST_NET.networks, insecure=("seccomp", "capabilities"))),
    ],
    ids=["default", "one", "two", "no-new-privileges", "own filter", "no filter", "insecure"],
)
def test_a_command_has_what_the_app_has_and_no_more(
    stage: StageLab, isolators: list[dict[str, object]], runspec: RunSpec
) -> None:
    pod = running(stage, f"{LOOK}; sleep 600", runspec, isolators=isolators)
    eventually(lambda: "Seccomp" in pod.log())
    app = [line.split(" stdout ", 1)[1] for line in pod.log().splitlines()]
    assert enter(pod, LOOK) == app


@pytest.mark.parametrize("user", ["0", "100"])
def test_an_app_has_limits_of_its_own_and_a_command_has_them_too(stage: StageLab, user: str) -> None:
    limits = {
        "nofile": {"soft": 77, "hard": 5000},
        "core": {"soft": 0, "hard": -1},
        "nproc": {"soft": 900, "hard": 901},
    }
    look = "grep -E '^Max (open files|core file size|processes)' /proc/self/limits"
    rlimits = [{"name": "os/linux/rlimits", "value": limits}]
    pod = running(stage, f"{look}; echo end; sleep 600", isolators=rlimits, user=user, group=user)
    eventually(lambda: "end" in pod.log())
    app = [line.split(" stdout ", 1)[1].split() for line in pod.log().splitlines()][:-1]
    assert [words[-3:] for words in app] == [
        ["0", "unlimited", "bytes"],
        ["900", "901", "processes"],
        ["77", "5000", "files"],
    ]
    for who in ({}, {"user": "100"}):
        assert [line.split() for line in enter(pod, look, **who)] == app


def test_a_limit_that_the_kernel_does_not_allow_is_told(stage: StageLab) -> None:
    most = 1 << 40  # more than fs.nr_open can be
    rlimits = [{"name": "os/linux/rlimits", "value": {"nofile": {"soft": 5, "hard": most}}}]
    done = stage.sh("true", HOST_NET, isolators=rlimits).call()
    assert done.status == 254
    assert f"cannot set the resource limit nofile to 5, and at most {most}" in done.err


@pytest.mark.finding("attack-F2")
def test_what_an_image_has_in_place_of_a_shell_gets_nothing_of_the_host(stage: StageLab) -> None:
    script = "mount -t tmpfs evil /data; mknod /disk b 8 0 && : < /disk; unshare -U true; nsenter -t 1 -m true; true"
    done = running(stage).call("enter", app="main", argv=["/bin/sh", "-c", script])
    assert done.status == 0
    lines = done.err.splitlines()
    assert len(lines) == 4, done.err
    assert all("not permitted" in line or "ermission denied" in line for line in lines), done.err


@pytest.mark.finding("attack-F2")
@pytest.mark.behaviour("A46")
@pytest.mark.hosts_users
def test_privileged_is_what_it_was_in_rkt(stage: StageLab) -> None:
    pod = running(stage)
    found = dict(line.split(":\t") for line in enter(pod, LOOK, privileged=True))
    own = dict(line.split(":\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    assert found["CapEff"] == own["CapEff"]
    assert found["CapBnd"] == own["CapBnd"]
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("0", "0")
    assert enter(pod, "mount -t tmpfs t /data && mkdir /data/x && ls /data", privileged=True) == ["x"]


@pytest.mark.finding("attack-F2")
@pytest.mark.parametrize("privileged", [False, True])
def test_a_command_is_in_every_group_of_the_app(stage: StageLab, privileged: bool) -> None:
    pod = running(stage)
    process = pod.start("enter", app="main", argv=["sleep", "321"], privileged=privileged)
    leaves = [pathlib.Path(group) / "main" / "cgroup.procs" for group in groups_of(pod.uuid)]
    assert leaves
    eventually(lambda: all("sleep 321" in commands(leaf) for leaf in leaves))
    assert "sleep 600" in commands(leaves[0])
    process.terminate()
    assert process.wait(10) == -15


def commands(procs: pathlib.Path) -> list[str]:
    """The command lines of the processes in a group."""
    found = []
    for pid in procs.read_text().split():
        try:
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
        except FileNotFoundError:
            continue
        found.append(os.path.basename(line.rstrip("\0").replace("\0", " ")))
    return found


@pytest.mark.finding("attack-F2")
def test_limits_are_those_that_the_app_was_started_with(stage: StageLab) -> None:
    pod = stage.sh("cat /proc/self/limits /proc/self/oom_score_adj; sleep 600")
    scored = ["/bin/sh", "-c", 'echo 200 > /proc/self/oom_score_adj; ulimit -n 200; exec "$@"', "sh"]
    done = pod.call(detach=True, prefix=scored)
    assert done.status == 0, done.err
    eventually(lambda: "stdout 200" in pod.log())
    app = [line.split(" stdout ", 1)[1] for line in pod.log().splitlines()]
    other = ["/bin/sh", "-c", 'ulimit -S -n 100; ulimit -S -c 0; exec "$@"', "sh"]
    script = "cat /proc/self/limits /proc/self/oom_score_adj"
    done = pod.call("enter", prefix=other, app="main", argv=["/bin/sh", "-c", script])
    assert done.out.splitlines() == app
    assert any(line.startswith("Max open files") and "200" in line for line in app)


@pytest.mark.finding("attack-F2")
def test_the_score_of_the_app_is_that_of_a_command(stage: StageLab) -> None:
    pod = running(stage, isolators=[{"name": "os/linux/oom-score-adj", "value": 321}])
    assert enter(pod, "cat /proc/self/oom_score_adj") == ["321"]


@pytest.mark.finding("attack-F2")
@pytest.mark.hosts_users
def test_who_may_trace_others_finds_no_more_rights_in_a_command_than_it_has(stage: StageLab) -> None:
    """The filter is loaded without CAP_SYS_ADMIN, for which no-new-privileges is the price."""
    pod = running(stage, isolators=[retain("CAP_SYS_PTRACE", "CAP_SETUID")])
    found = dict(line.split(":\t") for line in enter(pod, LOOK))
    assert int(found["CapPrm"], 16) == mask_of(("CAP_SYS_PTRACE", "CAP_SETUID"))
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "1")


@pytest.mark.finding("attack-F2")
@pytest.mark.parametrize("user", ["", "worker"])
@pytest.mark.hosts_users
def test_a_command_in_one_app_shows_no_more_rights_to_another_that_may_trace(
    stage: StageLab, user: str
) -> None:
    sleeper = {"exec": ["/bin/sh", "-c", "sleep 600"]}
    tracer = {**sleeper, "isolators": [retain("CAP_SYS_PTRACE", "CAP_KILL")]}
    pod = stage.pod({"main": {**sleeper, "isolators": [retain("CAP_CHOWN")]}, "tracer": tracer})
    done = pod.call(detach=True)
    assert done.status == 0, done.err
    found = dict(line.split(":\t") for line in enter(pod, LOOK, user=user))
    assert int(found["CapPrm"], 16) == (0 if user else mask_of(("CAP_CHOWN",)))
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "1")


@pytest.mark.finding("attack-F2")
@pytest.mark.behaviour("C15")
@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "0 0 0"),
        ({"user": "worker"}, "100 200 200 7"),
        ({"user": "worker", "group": "workers"}, "100 200 200 7"),
        ({"user": "5", "group": "6", "groups": [9, 8]}, "5 6 6 8 9"),
        ({"user": "/data", "group": "/data", "groups": []}, "11 12 12"),
        ({"group": "workers"}, "0 200 200"),
    ],
    ids=["root", "a name", "both names", "numbers", "an owner", "a group alone"],
)
def test_a_command_is_run_as_whoever_is_asked_for(
    stage: StageLab, entry: dict[str, object], said: str
) -> None:
    pod = running(stage, user="worker", group="workers", supplementaryGIDs=[7])
    found = enter(pod, "echo $(id -u) $(id -g) $(id -G)", **entry)[0].split()
    wanted = said.split()
    assert (found[:3], sorted(found[3:])) == (wanted[:3], sorted(wanted[3:]))
    caps = dict(line.split(":\t") for line in enter(pod, LOOK, **entry))
    assert (int(caps["CapEff"], 16) == 0) is (wanted[0] != "0")


@pytest.mark.finding("attack-F2")
@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"user": "nobody"}, '"nobody" user not found'),
        ({"group": "nogroup"}, '"nogroup" group not found'),
        ({"user": "4294967295"}, "out of range"),
        ({"working_directory": "/nosuch"}, 'cannot use the working directory "/nosuch"'),
        ({"working_directory": "/proc/1/root"}, 'cannot use the working directory "/proc/1/root"'),
        ({"working_directory": "/\x1b[2J\x9b"}, r'cannot use the working directory "/\x1b[2J\x9b"'),
        ({"app": "other"}, 'no app "other"'),
    ],
    ids=["user", "group", "number", "missing", "outside", "control", "app"],
)
def test_what_cannot_be_is_one_line(stage: StageLab, entry: dict[str, object], said: str) -> None:
    done = running(stage).call("enter", **{"app": "main", "argv": ["true"], **entry})
    assert done.status != 0
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.finding("attack-F2")
def test_directory_and_variables_of_a_command(stage: StageLab) -> None:
    pod = running(stage, environment=[{"name": "COLOUR", "value": "blue"}, {"name": "SIZE", "value": "1"}])
    entry = {"working_directory": "/data", "environment": [["COLOUR", "red"], ["NEW", "a=b c"]]}
    assert enter(pod, 'pwd; cat shipped; echo "$COLOUR $SIZE $NEW"', **entry) == [
        "/data",
        "from the image",
        "red 1 a=b c",
    ]
    (stage.tree / "data" / "tool").write_text("#!/bin/sh\necho the tool\n")
    (stage.tree / "data" / "tool").chmod(0o755)
    done = pod.call("enter", app="main", argv=["./tool"], working_directory="/data")
    assert done.out == "the tool\n", done.err


@pytest.mark.finding("attack-F11")
def test_apps_handlers_and_commands_have_a_keyring_of_their_own(stage: StageLab) -> None:
    stage.link_libraries()
    more = python(f"{SERIAL}\nimport time\ntime.sleep(600)")
    argv = [*more["exec"][:-1], SERIAL]  # type: ignore[index]
    handlers = [{"name": event, "exec": argv} for event in ("pre-start", "post-stop")]
    app = {key: more[key] for key in ("exec", "mounts")} | {"isolators": ANYTHING, "eventHandlers": handlers}
    pod = stage.pod({"main": app}, volumes=more["volumes"])  # type: ignore[arg-type]
    done = pod.call(detach=True)
    assert done.status == 0, done.err
    eventually(lambda: pod.log().count("stdout") >= 2)
    entered = [
        int(pod.call("enter", app="main", argv=argv, privileged=how).out) for how in (False, True, False)
    ]
    pod.call("stop", force=False)
    pod.wait_ended()
    said = [int(line.split()[-1]) for line in pod.log().splitlines()]
    own = ctypes.CDLL(None).syscall(architecture().keyctl, GET_ID, SESSION, 0)
    assert own > 0
    assert len(said) == 3
    assert all(serial > 0 for serial in (*said, *entered))
    assert len({own, *said, *entered}) == 7


def test_a_command_that_is_asked_to_end_is_told(stage: StageLab) -> None:
    pod = running(stage)
    script = "trap 'exit 7' TERM; touch /ready; while :; do sleep 0.05; done"
    process = pod.start("enter", app="main", argv=["/bin/sh", "-c", script])
    eventually(lambda: pod.call("enter", app="main", argv=["test", "-e", "/ready"]).status == 0)
    process.terminate()
    assert process.wait(10) == 7
    listed = subprocess.run(
        ["ps", "-e", "-o", "args"], capture_output=True, text=True, check=True, timeout=10
    )
    assert "touch /ready" not in listed.stdout


LIMIT = """import resource, sys, time
try:
    resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))
    print("lowered", flush=True)
except PermissionError:
    print("refused", flush=True)
sys.stdin.close()
time.sleep(2)
print("said later", flush=True)
raise SystemExit(7)"""


@pytest.mark.finding("attack-F7")
@pytest.mark.parametrize("filtered", [True, False])
@pytest.mark.hosts_users
def test_an_app_that_is_root_ends_no_pod_by_the_limits_of_its_first_process(
    stage: StageLab, filtered: bool
) -> None:
    """The default filter refuses; without one the pod is supervised to its end, and can be entered."""
    stage.link_libraries()
    pod = running(stage, isolators=[] if filtered else ANYTHING, **python(LIMIT))
    eventually(lambda: ("refused" if filtered else "lowered") in pod.log())
    done = pod.call("enter", app="main", argv=["/bin/busybox", "echo", "entered"])
    assert (done.status, done.out) == (0, "entered\n"), done.err
    pod.wait_ended()
    assert "said later" in pod.log()
    assert pod.statuses() == {"main": 7}


@pytest.mark.finding("pods-F12")
def test_an_app_that_is_full_says_which_limit_it_is(stage: StageLab) -> None:
    limit = [{"name": "resource/pids", "value": {"limit": 3}}]
    pod = running(stage, "sleep 600 & sleep 600 & wait", isolators=limit)
    done = pod.call("enter", app="main", argv=["true"])
    assert done.status == 203
    assert done.err == (
        'enter: cannot enter app "main": it has as many processes as its pids_limit or that of the pod allows, '
        "or its user as many as it may have\n"
    )
