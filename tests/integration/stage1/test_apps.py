# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Apps that are added to a running pod, and taken from it, on the real kernel."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import socket
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.reading import read_text
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import (
    CONTINUE,
    LONGEST_WAIT,
    RESTART,
    RunSpec,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    NO_NET,
    Done,
    LabPod,
    StageLab,
    children_of,
    eventually,
    finish,
    python,
)

MUTABLE = [{"name": documents.MUTABLE, "value": "true"}]
QUICK = RunSpec(networks=NO_NET.networks, stop_timeout=1)
SLEEPS = {"exec": ["/bin/sh", "-c", "echo begun; exec sleep 1000"]}
_TRACE = {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_PTRACE"]}}


def sh(script: str, **more: object) -> dict[str, object]:
    return {"exec": ["/bin/sh", "-c", script], **more}


def running(
    stage: StageLab, apps: dict[str, dict[str, object]], runspec: RunSpec = QUICK, **more: object
) -> LabPod:
    pod = stage.pod(apps, runspec, **more)  # type: ignore[arg-type]
    done = pod.call(detach=True)
    assert done.status == 0, done.err
    return pod


def sandbox(stage: StageLab, **more: object) -> LabPod:
    """A running pod that has no app, and stays."""
    return running(stage, {}, annotations=MUTABLE, **more)


def add(pod: LabPod, name: str, app: dict[str, object] | None = None) -> Done:
    pod.lab.add_app(pod, name, app or SLEEPS)
    return pod.call("start_app", name=name)


def added(pod: LabPod, name: str, app: dict[str, object] | None = None) -> int:
    """Add an app that has to come up. Returns the only process of it."""
    done = add(pod, name, app)
    assert (done.status, done.err) == (0, "")
    return own(pod, name)


def processes(pod: LabPod, name: str) -> list[int]:
    group = read_text(pod.dir.cgroups).splitlines()[0]
    with contextlib.suppress(FileNotFoundError):
        return [int(word) for word in pathlib.Path(group, name, "cgroup.procs").read_text().split()]
    return []


def own(pod: LabPod, name: str) -> int:
    """The process of an app that PID 1 has started, as the host sees it."""
    (pid,) = {*processes(pod, name)} & {*children_of(pod.pid())}
    return pid


def leaves(pod: LabPod) -> set[str]:
    groups = [pathlib.Path(line) for line in read_text(pod.dir.cgroups).splitlines()]
    return {child.name for group in groups if group.is_dir() for child in group.iterdir() if child.is_dir()}


def descriptors(pod: LabPod) -> list[str]:
    """What PID 1 has open; the channel to its starter is closed soon after the start."""
    place = pathlib.Path(f"/proc/{pod.pid()}/fd")
    found = []
    for number in os.listdir(place):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(re.sub(r"\[\d+\]", "", os.readlink(place / number)))
    return sorted(found)


def at_rest(pod: LabPod) -> list[str]:
    """The same, once the start is over."""
    found: list[str] = []
    while found != (found := descriptors(pod)):
        time.sleep(0.1)
    return found


def mounts(pod: LabPod) -> list[str]:
    lines = pathlib.Path(f"/proc/{pod.pid()}/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines]


def namespaces(pid: int, *names: str) -> list[str]:
    return [os.readlink(f"/proc/{pid}/ns/{name}") for name in names]


def test_an_app_is_started_in_a_pod_without_any(stage: StageLab) -> None:
    pod = sandbox(stage)
    assert children_of(pod.pid()) == []
    pid = added(pod, "late")
    # PID 1 is its parent: it reaps it, and knows how it ends.
    assert children_of(pod.pid()) == [pid]
    eventually(lambda: "begun" in pod.log("late"))
    assert namespaces(pid, "pid", "net", "ipc", "uts") == namespaces(pod.pid(), "pid", "net", "ipc", "uts")
    assert pod.statuses() == {"late": None}


def test_an_app_that_is_added_has_nothing_of_the_command_that_adds_it(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    """Its standard input would be a terminal of the user who calls podctl."""
    theirs = tmp_path / "theirs"
    theirs.write_text("of the caller")
    look = (
        "ls /proc/self/fd; stat -L -c %t:%T /proc/self/fd/0; grep flags /proc/self/fdinfo/0; cat;"
        " cat < /proc/self/fd/0; echo looked; exec sleep 1000"
    )
    pod = running(stage, {"first": sh(look)})
    eventually(lambda: "looked" in pod.log("first"))
    pod.lab.add_app(pod, "late", sh(look))
    done = pod.call("start_app", prefix=("sh", "-c", 'exec "$@" 0<>"$0" 7<"$0"', str(theirs)), name="late")
    assert (done.status, done.err) == (0, "")
    eventually(lambda: "looked" in pod.log("late"))
    first, late = (
        [line.split(" ", 2)[2] for line in pod.log(name).splitlines()] for name in ("first", "late")
    )
    assert late == first
    assert "1:3" in late, "it is /dev/null"


def test_an_app_that_is_added_has_what_the_first_ones_have(stage: StageLab) -> None:
    """Its root, its privileges, its limits: compared with an app of the same words that was there from the start.

    SigQ counts the signals for all processes of a user, of the whole machine for root.
    """
    look = (
        "ls / /dev /proc/self/fd; cat /proc/mounts /proc/self/limits; id; umask; pwd; env | sort;"
        " grep -E 'Cap|NoNew|Seccomp:|Sig|Groups' /proc/self/status; cat /proc/self/oom_score_adj /etc/hosts;"
        " stat -c '%n %a %u %g %t:%T' /dev/*; touch /dev/shm/$AC_APP_NAME; ls /dev/shm /sys/fs/cgroup;"
        " cat /proc/self/cgroup; echo looked; exec sleep 1000"
    )
    pod = running(stage, {"appone": sh(look)})
    eventually(lambda: "looked" in pod.log("appone"))
    added(pod, "apptwo", sh(look))
    eventually(lambda: "looked" in pod.log("apptwo"))

    def said(name: str) -> list[str]:
        lines = [line.split(" ", 2)[2] for line in pod.log(name).splitlines()]
        lines = [re.sub(r"^SigQ:\t\d+/", "SigQ:\t", line) for line in lines]
        return [line.replace(name, "NAME") for line in lines if not line.startswith(("overlay ", "/dev/pts"))]

    first, second = said("appone"), said("apptwo")
    second.remove("appone")  # what it has put into the shared memory
    assert [line for line in second if line not in first] == []
    assert [line for line in first if line not in second] == []


def test_others_are_not_touched_and_the_pod_is_not_either(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS, "db": SLEEPS})
    before = {name: own(pod, name) for name in ("web", "db")}
    first, fds, seen = pod.pid(), at_rest(pod), mounts(pod)
    added(pod, "cache")
    done = pod.call("remove_app", name="cache")
    assert (done.status, done.err) == (0, "")
    assert {name: own(pod, name) for name in ("web", "db")} == before
    assert (pod.pid(), descriptors(pod), mounts(pod)) == (first, fds, seen)
    assert leaves(pod) - {"_supervisor"} == {"web", "db"}
    assert not os.path.exists(pod.dir.app_status("cache"))


def test_an_app_is_stopped_and_started_again(stage: StageLab) -> None:
    pod = sandbox(stage)
    pid = added(pod, "main", sh("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"))
    eventually(lambda: "up" in pod.log("main"))
    done = pod.call("stop_app", name="main")
    assert (done.status, done.err) == (0, "")
    assert not os.path.exists(f"/proc/{pid}")
    assert "bye" in pod.log("main")
    assert pod.statuses() == {"main": 0}
    again = pod.call("start_app", name="main")
    assert (again.status, again.err) == (0, "")
    assert own(pod, "main") != pid
    assert pod.statuses() == {"main": None}


def test_an_app_that_runs_is_not_started_twice(stage: StageLab) -> None:
    pod = sandbox(stage)
    pid = added(pod, "main")
    done = pod.call("start_app", name="main")
    assert done.status == 254
    assert 'app "main" is running' in done.err
    assert own(pod, "main") == pid


@pytest.mark.finding("attack7-F6")
def test_an_app_may_take_longer_to_stop_than_the_kernel_waits(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS}, QUICK.replace(stop_timeout=LONGEST_WAIT))
    assert add(pod, "slow", sh("trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done")).status == 0
    done = pod.call("remove_app", name="slow")
    assert (done.status, done.err) == (0, "")
    assert processes(pod, "slow") == []
    assert own(pod, "web")


def test_an_app_that_ignores_a_request_to_stop_is_killed_in_time(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    other = own(pod, "web")
    deaf = "trap '' TERM; while :; do sleep 1; done"
    assert add(pod, "deaf", sh(f"({deaf}) & {deaf}")).status == 0
    begun = time.monotonic()
    done = pod.call("remove_app", name="deaf")
    assert (done.status, done.err) == (0, "")
    assert 0.9 < time.monotonic() - begun < 10
    assert processes(pod, "deaf") == []
    assert own(pod, "web") == other


@pytest.mark.parametrize("policy", ["end-pod", CONTINUE])
def test_an_app_that_cannot_be_started_costs_nothing_but_itself(stage: StageLab, policy: str) -> None:
    pod = running(stage, {"web": SLEEPS}, QUICK.replace(exit_policy=policy))
    other, fds, seen = own(pod, "web"), at_rest(pod), mounts(pod)
    done = add(pod, "late", {"exec": ["/nowhere"]})
    assert done.status == 203
    assert "invalid-spec" in done.err
    done = pod.call("remove_app", name="late")
    assert (done.status, done.err) == (0, "")
    assert (own(pod, "web"), descriptors(pod), mounts(pod)) == (other, fds, seen)


def test_an_app_that_ends_before_it_is_ready_is_reported_with_its_status(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    notify = [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]
    done = add(pod, "late", sh("exit 7", annotations=notify))
    assert done.status == 7
    assert "before it was ready" in done.err
    assert own(pod, "web")


def test_an_app_that_was_added_and_fails_ends_the_pod_as_any_app_would(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    add(pod, "late", sh("sleep 0.3; exit 3"))
    pod.wait_ended()
    assert pod.statuses()["late"] == 3


def test_a_pod_of_apps_ends_with_the_last_one_and_a_sandbox_stays(stage: StageLab) -> None:
    plain, stays = running(stage, {"web": SLEEPS}), sandbox(stage)
    added(stays, "web")
    for pod in (plain, stays):
        done = pod.call("stop_app", name="web")
        assert done.status == 0, done.err
    plain.wait_ended()
    time.sleep(0.2)
    assert stays.state() == "running"
    stays.call("stop", force=False)
    stays.wait_ended()


def test_a_pod_that_is_held_waits_for_its_next_app(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    first = pod.pid()
    done = pod.call("stop_app", name="web", hold=30)
    assert done.status == 0, done.err
    time.sleep(0.2)
    assert pod.state() == "running"
    done = pod.call("start_app", name="web")
    assert done.status == 0, done.err
    assert (pod.pid(), pod.statuses()) == (first, {"web": None})


def test_a_pod_is_not_held_for_longer(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    done = pod.call("stop_app", name="web", hold=1)
    assert done.status == 0, done.err
    pod.wait_ended()


def test_a_pod_is_held_no_longer_than_until_its_next_app(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    done = pod.call("remove_app", name="web", hold=600)
    assert done.status == 0, done.err
    done = pod.call("start_app", name="web", hold=600)
    assert done.status == 0, done.err
    done = pod.call("stop_app", name="web", hold=600)
    assert done.status == 0, done.err
    done = pod.call("start_app", name="web")
    assert done.status == 0, done.err
    os.kill(own(pod, "web"), signal.SIGKILL)
    pod.wait_ended()


def test_two_commands_at_one_app_do_not_undo_each_other(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    pod.lab.add_app(pod, "late", SLEEPS)
    for _round in range(3):
        commands = [pod.start("start_app", name="late") for _number in range(3)]
        done = [finish(command) for command in commands]
        assert sorted(each.status for each in done) == [0, 254, 254], done
        assert all('app "late" is running' in each.err for each in done if each.status), done
        assert own(pod, "late")
        done = pod.call("remove_app", name="late")
        assert done.status == 0, done.err
    assert len(children_of(pod.pid())) == 1


def test_an_app_is_removed_while_another_command_waits_for_it(stage: StageLab) -> None:
    notify = [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]
    pod = running(stage, {"web": SLEEPS})
    fds = at_rest(pod)
    pod.lab.add_app(pod, "late", {**SLEEPS, "annotations": notify})
    command = pod.start("start_app", name="late")
    eventually(lambda: processes(pod, "late"))
    done = pod.call("remove_app", name="late")
    assert (done.status, done.err) == (0, "")
    assert finish(command).status
    eventually(lambda: descriptors(pod) == fds)
    assert len(children_of(pod.pid())) == 1


def test_handlers_run_for_an_app_that_is_added(stage: StageLab) -> None:
    """Before it always; after it if the pod has had an app with such a handler from the beginning."""
    pre = {"name": "pre-start", "exec": ["/bin/sh", "-c", "echo prepared; id -u > /made"]}
    post = {"name": "post-stop", "exec": ["/bin/sh", "-c", "echo cleaned $(cat /made)"]}
    pod = running(stage, {"web": sh("exec sleep 1000", eventHandlers=[post])})
    done = add(
        pod, "late", sh("cat /made; exec sleep 1000", user="100", group="200", eventHandlers=[pre, post])
    )
    assert (done.status, done.err) == (0, "")
    eventually(lambda: "prepared" in pod.log("late"))
    done = pod.call("stop_app", name="late")
    assert done.status == 0, done.err
    assert "cleaned 0" in pod.log("late")


@pytest.mark.hosts_users
def test_an_app_whose_handler_the_pod_cannot_run_is_refused(stage: StageLab) -> None:
    post = {"name": "post-stop", "exec": ["/bin/sh", "-c", "true"]}
    pod = running(stage, {"web": SLEEPS})
    done = add(pod, "late", sh("exec sleep 1000", eventHandlers=[post]))
    assert (done.status, "lacks rights that its post-stop handler needs" in done.err) == (254, True), done.err


@pytest.mark.hosts_users
def test_an_app_that_may_trace_joins_only_a_pod_that_reckons_with_one(stage: StageLab) -> None:
    innocent, wary = (
        running(stage, {"web": SLEEPS}),
        running(stage, {"web": {**SLEEPS, "isolators": [_TRACE]}}),
    )
    refused = add(innocent, "late", {**SLEEPS, "isolators": [_TRACE]})
    assert (refused.status, "it may trace other processes" in refused.err) == (254, True), refused.err
    added(wary, "late", {**SLEEPS, "isolators": [_TRACE]})


def test_an_app_joins_with_no_device_that_the_pod_may_not_use(stage: StageLab) -> None:
    volumes = [
        {"name": "fuse", "kind": "host", "source": "/dev/zero"},
        {"name": "mem", "kind": "host", "source": "/dev/kmsg"},
    ]
    pod = running(stage, {"web": SLEEPS}, volumes=volumes)
    added(pod, "good", {**SLEEPS, "mounts": [{"volume": "fuse", "path": "/dev/fuse"}]})
    done = add(pod, "bad", {**SLEEPS, "mounts": [{"volume": "mem", "path": "/dev/kmsg"}]})
    assert done.status == 254
    assert "its device c 1:11 is not one of those" in done.err


def test_a_volume_of_the_pod_is_shared_by_an_app_that_is_added(
    stage: StageLab, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "given").write_text("here\n")
    volumes = [
        {"name": "host", "kind": "host", "source": str(tmp_path), "recursive": False},
        {"name": "own", "kind": "empty", "mode": "0755", "uid": 0, "gid": 0},
    ]
    mounted = [{"volume": "host", "path": "/host"}, {"volume": "own", "path": "/own"}]
    pod = running(
        stage, {"web": sh("echo mine > /own/file; exec sleep 1000", mounts=mounted)}, volumes=volumes
    )
    added(
        pod,
        "late",
        # The file is there before it has its line, for as long as the disk makes a writer wait.
        sh("until grep . /own/file; do sleep 0.05; done; cat /host/given; exec sleep 1000", mounts=mounted),
    )
    try:
        eventually(lambda: "mine" in pod.log("late") and "here" in pod.log("late"))
    except AssertionError:
        raise AssertionError([pod.log(name) for name in ("web", "late")]) from None


def test_an_app_that_is_added_is_started_again_by_its_policy(stage: StageLab) -> None:
    policy = [{"name": RESTART, "value": "always,backoff=20ms,max-backoff=40ms"}]
    pod = sandbox(stage)
    done = add(pod, "main", sh("echo x >> /runs; wc -l < /runs; sleep 0.1; exit 1", annotations=policy))
    assert (done.status, done.err) == (0, "")
    eventually(lambda: " stdout 3" in pod.log("main"))
    done = pod.call("remove_app", name="main")
    assert done.status == 0, done.err
    assert children_of(pod.pid()) == []


def test_an_app_that_the_host_stops_alone_does_not_say_that_it_is_started_again(stage: StageLab) -> None:
    policy = [{"name": RESTART, "value": "always,backoff=1m"}]
    pod = sandbox(stage)
    added(pod, "main", {"exec": ["/bin/sleep", "1000"], "annotations": policy})
    for _attempt in range(5):  # its end and that of its waiting process come in any order
        done = pod.call("stop_app", name="main")
        assert (done.status, done.err) == (0, "")
        assert (pod.statuses(), "is started again" in pod.log("main")) == ({"main": 0}, False)
        assert pod.call("start_app", name="main").status == 0


def test_the_command_enter_finds_an_app_that_was_added(stage: StageLab) -> None:
    pod = sandbox(stage)
    added(pod, "late", sh("echo inside > /mark; exec sleep 1000"))
    done = pod.call("enter", app="late", argv=["/bin/cat", "/mark", "/proc/1/comm"])
    assert done.status == 0, done.err
    assert done.out.startswith("inside\n")


def test_limits_hold_for_an_app_that_is_added(stage: StageLab) -> None:
    pod = sandbox(stage)
    limits = [{"name": "resource/memory", "value": {"limit": "16M"}}]
    add(
        pod,
        "eater",
        sh(
            "sleep 0.2; head -c 67108864 /dev/zero | tail -c 67108864 >/dev/null; exec sleep 99",
            isolators=limits,
        ),
    )
    eventually(lambda: documents.read_ending(pod.dir, "eater"))
    found = documents.read_ending(pod.dir, "eater")
    assert found is not None
    assert found.oom


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15])
def test_a_command_that_is_killed_leaves_no_app_behind(stage: StageLab, delay: float) -> None:
    """Wherever it is by then: PID 1 ends what is not kept, and the next command finds a clean place."""
    notify = [{"name": "appc.io/executor/supports-systemd-notify", "value": "true"}]
    pod = running(stage, {"web": SLEEPS})
    other, fds = own(pod, "web"), at_rest(pod)
    pod.lab.add_app(
        pod, "late", {**SLEEPS, "annotations": notify}
    )  # never ready: the command waits until it is killed
    command = pod.start("start_app", name="late")
    time.sleep(delay)
    command.send_signal(signal.SIGKILL)
    command.wait()
    eventually(lambda: processes(pod, "late") == [] and children_of(pod.pid()) == [other])
    eventually(lambda: descriptors(pod) == fds)
    assert own(pod, "web") == other
    done = pod.call("remove_app", name="late")
    assert (done.status, done.err) == (0, "")
    assert leaves(pod) - {"_supervisor"} == {"web"}
    assert [path for path in os.listdir(pod.dir.statuses) if path.startswith("late")] == []


def test_nonsense_on_the_socket_changes_nothing(stage: StageLab) -> None:
    pod = running(stage, {"web": SLEEPS})
    other, fds = own(pod, "web"), at_rest(pod)
    directory = os.open(os.path.dirname(pod.dir.control), os.O_RDONLY)
    for frame in (
        b"x",
        b"add",
        b"add\0sweb\0i1\0i0\0i0\0sexec\0s",
        b"stop\0sweb",
        b"\0" * 100000,
        b"go",
        b"forget\0sweb",
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(f"/proc/self/fd/{directory}/{os.path.basename(pod.dir.control)}")
            socket.send_fds(peer, [frame], [0, 1, 2])
            peer.settimeout(10)
            assert peer.recv(5000)[:7] in (b"refused", b"")
    os.close(directory)
    eventually(lambda: descriptors(pod) == fds)
    assert own(pod, "web") == other
    assert os.stat(pod.dir.control).st_mode & 0o777 == 0o600


def test_no_process_of_the_pod_sees_a_process_with_more_rights_than_an_app(stage: StageLab) -> None:
    """What an app that may trace would take over: it looks at all processes while another app is added."""
    watch = (
        "import os\n"
        "seen = set()\n"
        "while True:\n"
        "    for name in os.listdir('/proc'):\n"
        "        if name.isdigit() and name not in ('1', str(os.getpid())):\n"
        "            try: text = open(f'/proc/{name}/status').read()\n"
        "            except OSError: continue\n"
        "            caps = text.partition('CapPrm:')[2].split()[0]\n"
        "            if caps not in seen:\n"
        "                seen.add(caps)\n"
        "                print(caps, flush=True)\n"
    )
    given = python(watch)
    volumes = given.pop("volumes")
    stage.link_libraries()
    pod = running(stage, {"watch": {**given, "isolators": [_TRACE]}}, volumes=volumes)
    for name in ("a", "b", "c"):
        added(pod, name, {**SLEEPS, "user": "100", "group": "200"})
        done = pod.call("remove_app", name=name)
        assert done.status == 0, done.err
    eventually(lambda: "stdout" in pod.log("watch"))
    said = {line.split()[-1] for line in pod.log("watch").splitlines() if " stdout " in line}
    assert said == {"0" * 16}, pod.log("watch")
