# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Control groups on a real kernel: none is left behind, whatever happens, and pods share none."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import cgroups
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    ENTRY,
    PYTHON,
    RUNTIME,
    LabPod,
    StageLab,
    eventually,
    groups_of,
)

# Like a SIGKILL right after the first of the pod's groups has been created.
KILLED_EARLY = """
import os
make = os.mkdir
def mkdir(path, *more, **names):
    make(path, *more, **names)
    if "machine-rkt" in str(path):
        os.kill(os.getpid(), 9)
os.mkdir = mkdir
"""
UNIFIED = next(
    (path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{path}/cgroup.procs")),
    "",
)


def killed_early(pod: LabPod) -> int:
    given = json.dumps([pod.lab.paths.data, pod.uuid, "run", {}])
    program = KILLED_EARLY + ENTRY.format(runtime=str(RUNTIME))
    return subprocess.run([PYTHON, "-I", "-S", "-c", program, given], check=False, timeout=30).returncode


@pytest.mark.behaviour("D35")
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "record lost"])
def test_groups_of_a_starter_that_was_killed_while_it_made_them_are_found(
    stage: StageLab, recorded: bool
) -> None:
    pod = stage.sh("true")
    assert killed_early(pod) == -9
    assert groups_of(pod.uuid)
    if not recorded:
        os.unlink(f"{pod.dir.path}/cgroups")
    done = pod.call("gc")
    assert done.status == 0, done.err
    assert groups_of(pod.uuid) == []


@pytest.mark.behaviour("D35")
def test_a_start_on_a_full_disk_leaves_no_group(tmp_path: pathlib.Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", small], check=True)
    try:
        lab = StageLab(small)
        pod = lab.sh("true")
        with open(small / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        done = pod.call()
        assert (done.status, "no space left" in done.err) == (254, True), done.err
        assert groups_of(pod.uuid) == []
        os.unlink(small / "filler")
        lab.close()
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


@pytest.fixture
def service() -> Iterator[pathlib.Path]:
    """A group like that of a systemd service, for processes of the test."""
    made = pathlib.Path(UNIFIED) / f"podrt-test-{os.getpid()}.service"
    made.mkdir()
    yield made
    for place, below, _files in os.walk(made, topdown=False):
        for name in below:
            os.rmdir(f"{place}/{name}")
    made.rmdir()


def within(service: pathlib.Path, *, alone: bool) -> tuple[str, ...]:
    """A prefix that makes an entry a process of a service, either its only one or beside the shell that waits."""
    run = 'exec "$@"' if alone else '"$@"; exit $?'
    return ("sh", "-c", f"echo $$ > {service}/cgroup.procs; export INVOCATION_ID=x; {run}", "sh")


@pytest.mark.skipif(not UNIFIED, reason="no cgroup v2 here")
@pytest.mark.behaviour("D35")
def test_pods_that_a_service_starts_among_other_things_share_no_group(
    stage: StageLab, service: pathlib.Path
) -> None:
    stays = stage.sh("sleep 60")
    done = stays.call(prefix=within(service, alone=False), detach=True)
    assert done.status == 0, done.err
    assert stage.sh("true").call(prefix=within(service, alone=False)).status == 0
    assert stays.state() == "running"
    assert [path.name for path in service.iterdir() if path.is_dir()] == []
    stays.call("stop", force=True)
    stays.wait_ended()


@pytest.mark.skipif(not UNIFIED, reason="no cgroup v2 here")
@pytest.mark.behaviour("D35")
def test_a_service_that_is_a_pod_and_nothing_else_holds_the_pods_group(
    stage: StageLab, service: pathlib.Path
) -> None:
    pod = stage.sh("sleep 60")
    done = pod.call(prefix=within(service, alone=True), detach=True)
    assert done.status == 0, done.err
    (scope,) = [path for path in groups_of(pod.uuid) if path.startswith(UNIFIED + "/podrt-test")]
    assert os.path.dirname(scope) == str(service)
    assert sorted(entry.name for entry in os.scandir(scope) if entry.is_dir()) == ["_supervisor", "main"]
    assert scope in pathlib.Path(f"{pod.dir.path}/cgroups").read_text().splitlines()
    pod.call("stop", force=True)
    pod.wait_ended()
    eventually(lambda: pod.call("gc").status == 0)
    assert groups_of(pod.uuid) == []


# A process whose second thread is in a group of threads beneath its own group.
THREADS = """
import sys, threading, time
def joined(path, thread):
    with open(path, "w") as file:
        file.write(str(thread))
def second():
    joined(f"{sys.argv[1]}/app/threads/cgroup.threads", threading.get_native_id())
    print(flush=True)
    time.sleep(60)
joined(f"{sys.argv[1]}/app/cgroup.procs", 0)
threading.Thread(target=second).start()
"""


@pytest.mark.skipif(not UNIFIED, reason="no cgroup v2 here")
@pytest.mark.behaviour("D35")
def test_a_group_of_threads_goes_with_their_process(service: pathlib.Path) -> None:
    (service / "app" / "threads").mkdir(parents=True)
    (service / "app" / "threads" / "cgroup.type").write_text("threaded")
    with subprocess.Popen([PYTHON, "-c", THREADS, str(service)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        cgroups.remove_groups((str(service / "app"),))
        assert process.wait() == -9
    assert [path.name for path in service.iterdir() if path.is_dir()] == []
