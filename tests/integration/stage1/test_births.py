# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Processes that are in their control groups from their birth, and the same pods where the kernel cannot do that."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.cgroups import SUPERVISOR, group_name
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    PYTHON,
    RUNTIME,
    LabPod,
    StageLab,
    children_of,
    eventually,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.test_apps import QUICK, SLEEPS, add
from ansible_collections.stagecraft.pods.tests.integration.stage1.test_groups import UNIFIED

BORN = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from podrt.stage1.inside.process import fork_in_leaf
heard = []
os.register_at_fork(before=lambda: heard.append("before"), after_in_child=lambda: heard.append("child"))
pid, born = fork_in_leaf(os.open(sys.argv[2], os.O_RDONLY))
if pid == 0:
    # Python is whole: threads run, and a fork of it as well.
    thread = threading.Thread(target=lambda: heard.append("thread"))
    thread.start()
    thread.join()
    place = open("/proc/self/cgroup").read().partition("\\n0::")[2] or open("/proc/self/cgroup").read()[3:]
    print(born, os.getpid() != os.getppid(), *heard, os.path.basename(place.strip()), flush=True)
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    os._exit(7)
print(born, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from podrt.host.syscalls import fork_into
parent, group = os.getpid(), os.open(sys.argv[2], os.O_RDONLY)
def handler(*_words):
    if os.getpid() != parent:
        print("in a child", flush=True)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for number in range(600):
    pid = fork_into(group)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""
# The number of clone3 is the same everywhere; BPF_RET gives errno 38, ENOSYS.
WITHOUT_CLONE3 = (
    PYTHON,
    "-c",
    """
import os, struct, sys
sys.path.insert(0, sys.argv[1])
from podrt.host.syscalls import load_seccomp
rows = (0x20, 0, 0, 0), (0x15, 0, 1, 435), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)
load_seccomp(b"".join(struct.pack("=HBBI", *row) for row in rows))
os.execv(sys.argv[2], sys.argv[2:])
""",
    str(RUNTIME),
)

pytestmark = pytest.mark.skipif(not UNIFIED, reason="no cgroup v2 here")


@pytest.fixture
def group() -> Iterator[pathlib.Path]:
    made = pathlib.Path(UNIFIED) / f"podrt-birth-{os.getpid()}"
    made.mkdir()
    yield made
    with contextlib.suppress(FileNotFoundError):
        eventually(lambda: not (made / "cgroup.procs").read_text())
        made.rmdir()


def forked(directory: pathlib.Path, prefix: tuple[str, ...] = ()) -> list[str]:
    argv = [*prefix, PYTHON, "-I", "-S", "-c", BORN, str(RUNTIME), str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.splitlines()


def test_a_child_is_born_in_a_group(group: pathlib.Path) -> None:
    assert forked(group) == [f"True True before child thread {group.name}", "True 7"]


@pytest.mark.parametrize("prefix", [(), WITHOUT_CLONE3], ids=["not a group", "the call is unknown"])
def test_a_child_is_forked_elsewhere_where_it_cannot_be_born(
    group: pathlib.Path, tmp_path: pathlib.Path, prefix: tuple[str, ...]
) -> None:
    lines = forked(group if prefix else tmp_path, prefix)
    assert lines[-1] == "False 7"
    assert lines[0].split()[:2] == ["False", "True"]
    assert group.name not in lines[0]


def test_a_signal_to_the_parent_is_not_handled_in_the_child(group: pathlib.Path) -> None:
    argv = [PYTHON, "-I", "-S", "-c", INTERRUPTED, str(RUNTIME), str(group)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "done\n"


def of_a_killed_group(group: pathlib.Path) -> tuple[str, ...]:
    """A prefix that runs a command in a group whose processes were all killed once.

    Some kernels kill what a process there forks into another group.
    """
    (group / "cgroup.kill").write_text("1")
    return ("/bin/sh", "-c", f'echo 0 > {group}/cgroup.procs; exec "$@"', "sh")


def test_a_child_of_a_killed_group_lives(group: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = group / "other"
    other.mkdir()
    try:
        assert forked(other, of_a_killed_group(group))[-1] in ("True 7", "False 7")
    finally:
        eventually(lambda: not (other / "cgroup.procs").read_text())
        other.rmdir()


@pytest.mark.parametrize("rights", [(), ("--bounding-set", "-sys_ptrace")], ids=["all", "no tracing"])
@pytest.mark.parametrize("own_users", [False, True], ids=["users of the host", "own users"])
def test_a_pod_is_run_from_a_killed_group(
    group: pathlib.Path, tmp_path: pathlib.Path, rights: tuple[str, ...], own_users: bool
) -> None:
    prefix = of_a_killed_group(group)
    lab = StageLab(tmp_path, private_users=own_users)
    try:
        pod = lab.pod({"main": SLEEPS}, QUICK)
        done = pod.call(prefix=prefix, detach=True)
        assert done.status == 0, done.err
        lab.add_app(pod, "late", SLEEPS)
        limited = (*prefix, "setpriv", *rights) if rights else prefix
        done = pod.call("start_app", prefix=limited, name="late")
        assert (done.status, done.err) == (0, "")
        assert [places(pid, pod) for pid in children_of(pod.pid())] == [{"/main"}, {"/late"}]
    finally:
        lab.close()


def places(pid: int, pod: LabPod) -> set[str]:
    """The group of a process in each hierarchy, beneath that of the pod."""
    name = group_name(pod.uuid)
    lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert all(f"/{name}" in line for line in lines), lines
    return {line.partition(f"/{name}")[2] for line in lines}


@pytest.mark.parametrize("prefix", [(), WITHOUT_CLONE3], ids=["born", "moved"])
@pytest.mark.parametrize("apps", [("main",), ("web", "other")], ids=["one app", "several"])
def test_every_process_of_a_pod_is_in_its_groups(
    stage: StageLab, prefix: tuple[str, ...], apps: tuple[str, ...]
) -> None:
    pod = stage.pod(dict.fromkeys(apps, SLEEPS), QUICK)
    done = pod.call(prefix=prefix, detach=True)
    assert done.status == 0, done.err
    stage.add_app(pod, "late", SLEEPS)
    done = pod.call("start_app", prefix=prefix, name="late")
    assert (done.status, done.err) == (0, "")
    # In v1 the group of the supervisor is that of the pod.
    assert places(pod.pid(), pod) <= {"", f"/{SUPERVISOR}"}
    assert [places(pid, pod) for pid in children_of(pod.pid())] == [{f"/{name}"} for name in (*apps, "late")]


def test_the_process_of_an_app_that_is_not_added_ends(stage: StageLab) -> None:
    """It was started before that was known."""
    pod = stage.pod({"main": SLEEPS}, QUICK)
    assert pod.call(detach=True).status == 0
    before = interpreters()
    done = add(pod, "late", {**SLEEPS, "user": "nobody-of-that-name"})
    assert done.status == 254
    assert pod.call("start_app", name="missing").status == 254
    eventually(lambda: interpreters() <= before)


def interpreters() -> set[int]:
    """The processes that are to become apps."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"stage1.inside.ahead" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
    return found
