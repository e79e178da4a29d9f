# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The files of a pod's directory, and processes that wait for it or work on it at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    cgroups_of,
    eventually,
)

WAITS = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"


def directory(pods: PodHost, state: str, uuid: str) -> pathlib.Path:
    return pods.data / "pods" / state / uuid


def files_of(top: pathlib.Path) -> set[str]:
    """All files in a pod's directory that are not directories."""
    found = (path for path in top.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(top)) for path in found}


def pid_of(pods: PodHost, uuid: str) -> int:
    lines = pods.ok("status", uuid).splitlines()
    return int(next(line for line in lines if line.startswith("pid=")).partition("=")[2])


def lock(path: pathlib.Path) -> int:
    """The exclusive lock of a pod, held until the descriptor is closed."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


@pytest.mark.behaviour("D6", "D7", "D9")
def test_a_pod_is_these_files_and_no_others(pods: PodHost) -> None:
    uuid = pods.ok(
        *("prepare", "--volume=v,kind=empty", pods.image, "--name=web", "--exec=/bin/sh"),
        *("--mount=volume=v,target=/v", "--", "-c", "echo mine > /data/own; echo shared > /v/file; exit 3"),
    )
    top = directory(pods, "prepared", uuid)
    tree = (top / "appsinfo/web/treeStoreID").read_text()
    prepared = {
        *("pod", "runspec", "runtime", "pod-created", "overlay-prepared"),
        *(
            f"appsinfo/web/{name}"
            for name in ("manifest", "treeStoreID", "lower", "filter", "filter.sha256", "prefill")
        ),
        "stage1/rootfs/opt/stage2/web/manifest",
    }
    assert files_of(top) == prepared
    assert top.stat().st_mode & 0o7777 == 0o750
    assert (top / "pod").stat().st_mode & 0o777 == 0o640
    created = json.loads(pods.ok("status", "--format=json", uuid))["created_at"]
    assert created == int((top / "pod-created").stat().st_mtime)
    assert pods.podctl("run-prepared", "--net=none", uuid).status == 3
    top = directory(pods, "run", uuid)
    ran = {
        *("pid", "subcgroup", "cgroups", "devices", "stage1/rootfs/rkt/orders", "sharedVolumes/v/file"),
        *("logs/web.log", "logs/web.log.1", "logs/web.log.2"),
        *(
            f"stage1/rootfs/rkt/{name}"
            for name in ("supervisor-status", "status/web", "status/web.end", "env/web", "hidden/file")
        ),
        *(
            f"overlay/{tree}/upper/web/{name}"
            for name in ("data/own", "etc/hostname", "etc/hosts", "etc/mtab")
        ),
    }
    assert files_of(top) == prepared | ran
    started = json.loads(pods.ok("status", "--format=json", uuid))["started_at"]
    assert started == int((top / "pid").stat().st_mtime)
    for name in ("overlay", "sharedVolumes"):
        assert (top / name).is_dir()
    assert (top / f"overlay/{tree}/work/web").is_dir()
    # cat-manifest prints the manifest as the image spells it; the store and the pod have the parsed one.
    (stored,) = (path for path in (pods.data / "cas" / "imageManifest").rglob("sha512-*") if path.is_file())
    image = json.loads(stored.read_text())
    for path in ("appsinfo/web/manifest", "stage1/rootfs/opt/stage2/web/manifest"):
        assert json.loads((top / path).read_text()) == image
    assert json.loads((top / "pod").read_text()) == json.loads(pods.ok("cat-manifest", uuid))


@pytest.mark.behaviour("D7")
def test_roots_and_statuses_are_where_rkt_has_them(pods: PodHost) -> None:
    uuid = pods.detached(WAITS, "--name=web")
    stage1 = directory(pods, "run", uuid) / "stage1/rootfs"
    pods.ok("status", "--wait-ready=10s", uuid)
    assert os.readlink(stage1 / "rkt/supervisor-status") == "ready"
    assert (stage1 / "rkt/status/web").read_bytes() == b""
    inside = pathlib.Path(f"/proc/{pid_of(pods, uuid)}/root")
    root = inside / (stage1 / "opt/stage2/web/rootfs").relative_to("/")
    assert (root / "data/shipped").read_text() == "from the image\n"
    assert os.listdir(stage1 / "opt/stage2/web/rootfs") == []  # it is mounted only in the pod
    pods.ok("stop", uuid)
    pods.wait(uuid)
    assert (stage1 / "rkt/status/web").read_text().strip() == "0"
    done = pods.sh("kill -9 $$", "--name=other")
    other = next(found for found in pods.uuids() if found != uuid)
    status = directory(pods, "run", other) / "stage1/rootfs/rkt/status/other"
    assert (done.status, status.read_text().strip()) == (9, "9")


@pytest.mark.behaviour("D9")
def test_what_apps_write_is_by_tree_and_app_and_never_in_the_store(pods: PodHost) -> None:
    script = "echo $AC_APP_NAME > /data/shipped; rm /etc/group"
    apps: list[str] = []
    for name in ("one", "two"):
        apps += [pods.image, f"--name={name}", "--exec=/bin/sh", "--", "-c", script, "---"]
    done = pods.podctl("run", "--net=none", *apps)
    assert done.status == 0, done.err
    top = directory(pods, "run", pods.uuids()[0])
    (tree,) = os.listdir(top / "overlay")
    assert tree.startswith("deps-sha512-")
    for name in ("one", "two"):
        assert (top / f"appsinfo/{name}/treeStoreID").read_text() == tree
        upper = top / f"overlay/{tree}/upper/{name}"
        assert (upper / "data/shipped").read_text() == f"{name}\n"
        assert (upper / "etc/group").is_char_device()  # a whiteout
        lower = [pathlib.Path(line) for line in (top / f"appsinfo/{name}/lower").read_text().splitlines()]
        assert lower
        for path in lower:
            assert path.is_relative_to(pods.data / "tree")
        assert [(path / "data/shipped").read_text() for path in lower] == ["from the image\n"]
        assert all((path / "etc/group").exists() for path in lower)


@pytest.mark.behaviour("D8")
def test_pid_is_the_first_process_as_the_host_sees_it(pods: PodHost) -> None:
    prepared = pods.ok("prepare", pods.image)
    assert "pid=" not in pods.ok("status", prepared)
    uuid = pods.detached(WAITS)
    top = directory(pods, "run", uuid)
    pid = int((top / "pid").read_text())
    assert pid_of(pods, uuid) == pid
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    assert (numbers[0], numbers[-1]) == (str(pid), "1")
    identity = os.stat(top).st_ino
    assert identity in [os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd in os.listdir(f"/proc/{pid}/fd")]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pods.state(uuid) == "exited")


@pytest.mark.behaviour("D8")
@pytest.mark.parametrize("verb", ["status", "enter", "stop"])
def test_who_wants_the_pid_waits_until_a_starting_pod_has_one(pods: PodHost, verb: str) -> None:
    uuid = pods.detached(WAITS)
    pids = directory(pods, "run", uuid) / "pid"
    aside = pids.with_name("pid.aside")
    pids.rename(aside)
    words = {"status": (), "enter": ("/bin/echo", "entered"), "stop": ()}[verb]
    process = pods.background(verb, uuid, *words)
    time.sleep(0.7)
    assert process.poll() is None
    aside.rename(pids)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    wanted = {"status": f"pid={pids.read_text().strip()}", "enter": "entered", "stop": f'"{uuid}"'}[verb]
    assert wanted in out.splitlines()


@pytest.mark.behaviour("D13")
def test_waiting_looks_at_the_lock_alone(pods: PodHost) -> None:
    pods.sh("exit 3")
    uuid = pods.uuids()[0]
    begin = time.monotonic()
    assert pods.ok("status", "--wait", uuid).splitlines()[0] == "state=exited"
    assert time.monotonic() - begin < 25
    held = lock(directory(pods, "run", uuid))
    done = pods.podctl("status", "--wait=400ms", uuid)
    begun = f'status: error waiting for pod to finish: after 0.4 s pod "{uuid}" is still running\n'
    assert (done.status, done.err.startswith(begun)) == (254, True)
    process = pods.background("status", "--wait", uuid)
    time.sleep(0.5)
    assert process.poll() is None
    os.close(held)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out.splitlines()[0]) == (0, "state=exited"), err


@pytest.mark.behaviour("D13")
def test_who_waits_keeps_nobody_from_the_lock(pods: PodHost) -> None:
    uuid = pods.detached(WAITS)
    waiting = [pods.background("status", "--wait", uuid) for _number in range(3)]
    time.sleep(0.3)
    assert [process.poll() for process in waiting] == [None] * 3
    os.kill(pid_of(pods, uuid), signal.SIGKILL)
    for process in waiting:
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out.splitlines()[0]) == (0, "state=exited"), err
    assert pods.ok("rm", uuid) == f'"{uuid}"'


def left_of_pods(pods: PodHost) -> list[str]:
    return sorted(str(path.relative_to(pods.data)) for path in (pods.data / "pods").glob("*/*"))


@pytest.mark.behaviour("D19")
@pytest.mark.parametrize("apps", ["two of one name", "a program of no layer"])
def test_a_preparation_that_fails_leaves_nothing(pods: PodHost, apps: str) -> None:
    if apps == "two of one name":
        words = ("prepare", pods.image, pods.image)
    else:
        key = pods.ok("fetch", "--full", pods.image)
        damage_store(pods, key)
        words = ("prepare", "--pull-policy=never", key)
    assert pods.podctl(*words).status == 254
    assert left_of_pods(pods) == []
    assert pods.podctl("gc", "--grace-period=0").status == 0
    assert left_of_pods(pods) == []


def damage_store(pods: PodHost, key: str) -> None:
    """Remove an image's tree, and everything that it could be rendered from."""
    subprocess.run(["rm", "-r", pods.data / "tree"], check=True)
    for blob in (pods.data / "cas/blob").rglob(key):
        blob.unlink()


def aborted(pods: PodHost) -> str:
    """Kill the preparation of a pod with many apps, which take long enough; returns its UUID."""
    apps = [word for number in range(100) for word in (pods.image, f"--name=app{number}")]
    before = set(left_of_pods(pods))
    process = pods.background("prepare", *apps)
    eventually(lambda: any(path.startswith("pods/prepare/") for path in set(left_of_pods(pods)) - before))
    process.send_signal(signal.SIGSTOP)
    (uuid,) = (path.rpartition("/")[2] for path in set(left_of_pods(pods)) - before)
    assert pods.state(uuid) == "preparing"
    process.kill()
    process.wait()
    return uuid


@pytest.mark.behaviour("D19", "A44")
def test_a_preparation_that_was_killed_does_not_survive_gc(pods: PodHost) -> None:
    uuid = aborted(pods)
    assert pods.state(uuid) == "aborted prepare"
    done = pods.podctl("gc")
    assert done.err == f'gc: moving failed prepare "{uuid}" to garbage\n'
    assert done.out == f'Garbage collecting pod "{uuid}"\n'
    assert left_of_pods(pods) == []


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("word", ["stop", "stop --force"])
@pytest.mark.parametrize("damage", ["no number", "another process", "a directory"])
def test_a_running_pod_whose_pid_is_damaged_can_be_stopped(pods: PodHost, word: str, damage: str) -> None:
    uuid = pods.detached(WAITS)
    document = directory(pods, "run", uuid) / "pid"
    document.unlink()
    if damage == "a directory":
        document.mkdir()
    else:
        document.write_text("not a number\n" if damage == "no number" else f"{os.getpid()}\n")
    assert pods.ok(*word.split(), uuid) == f'"{uuid}"'
    assert pods.wait(uuid)[0] == "state=exited"  # nothing of the pod is read before that
    assert pods.ok("rm", uuid) == f'"{uuid}"'


@pytest.mark.finding("review-B8", "attack-F17")
@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("runspec", '{"format":7,"stopTimeout":3}'),
        ("net-info.json", '{"format":7}'),
        ("runspec", "\0["),
        ("pod", "\0["),
        ("runtime", "\0["),
        ("cgroups", "\0["),
        ("subcgroup", "\0["),
        ("appsinfo/busybox/manifest", "\0["),
        ("stage1/rootfs/rkt/supervisor-status", "\0["),
    ],
)
def test_a_running_pod_whose_document_is_newer_or_damaged_is_stopped_and_removed_and_hides_no_other(
    pods: PodHost, document: str, text: str
) -> None:
    other, hurt = pods.detached(WAITS), pods.detached(WAITS)
    path = directory(pods, "run", hurt) / document
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    path.write_text(text)
    listed = pods.ok("list", "--full", "--no-legend")
    assert other in listed and hurt in listed
    assert pods.ok("stop", hurt) == f'"{hurt}"'
    assert pods.wait(hurt)[0] == "state=exited"
    assert pods.ok("rm", hurt) == f'"{hurt}"'
    assert (pods.state(other), pods.uuids(), cgroups_of([hurt])) == ("running", [other], [])


@pytest.mark.finding("attack-F17")
def test_a_gc_that_is_killed_takes_its_child_along(pods: PodHost) -> None:
    pods.sh("true")
    (uuid,) = pods.uuids()
    leases = pods.base / "leases" / "held"
    leases.mkdir(parents=True)
    held = os.open(leases / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    ipam = {"type": "host-local", "subnet": "10.9.9.0/24", "dataDir": str(leases.parent)}
    copies = pathlib.Path(directory(pods, "run", uuid)) / "net"
    copies.mkdir(exist_ok=True)
    network = {"cniVersion": "0.2.0", "name": "held", "type": "bridge", "bridge": "held0", "ipam": ipam}
    (copies / "99-held.conf").write_text(json.dumps(network))
    process = pods.background("gc", "--grace-period=0s")
    eventually(lambda: waiting_for(leases / "lock", process.pid))
    (child,) = waiting_for(leases / "lock", process.pid)
    process.kill()
    process.wait()
    eventually(lambda: not os.path.exists(f"/proc/{child}"))
    os.close(held)
    assert pods.podctl("gc", "--grace-period=0s").status == 0
    assert left_of_pods(pods) == []


def waiting_for(path: pathlib.Path, parent: int) -> list[str]:
    """The children of a process that have a file open."""
    children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = []
    for child in children:
        with contextlib.suppress(OSError):
            opened = {os.readlink(fd) for fd in pathlib.Path(f"/proc/{child}/fd").iterdir()}
            found += [child] if str(path) in opened else []
    return found


@pytest.mark.behaviour("D20")
def test_rm_takes_what_has_ended_or_never_ran_without_grace(pods: PodHost) -> None:
    pods.sh("true")
    exited = pods.uuids()[0]
    pods.sh("true")
    marked = next(uuid for uuid in pods.uuids() if uuid != exited)
    held = lock(directory(pods, "run", exited))
    pods.podctl("gc")
    os.close(held)
    assert pods.state(marked) == "exited garbage"
    prepared, failed = pods.ok("prepare", pods.image), aborted(pods)
    uuids = (exited, marked, prepared, failed)
    assert pods.ok("rm", *uuids).splitlines() == [f'"{uuid}"' for uuid in uuids]
    assert left_of_pods(pods) == []
    assert cgroups_of(list(uuids)) == []


@pytest.mark.behaviour("D20")
def test_rm_leaves_alone_what_somebody_else_deletes(pods: PodHost) -> None:
    pods.sh("true")
    uuid = pods.uuids()[0]
    pods.podctl("gc")
    held = lock(directory(pods, "exited-garbage", uuid))
    done = pods.podctl("rm", uuid)
    assert (done.status, f'rm: pod "{uuid}" is currently being deleted\n' in done.err) == (254, True)
    assert (directory(pods, "exited-garbage", uuid) / "pod").exists()
    os.close(held)
    pods.ok("rm", uuid)


@pytest.mark.behaviour("D20")
def test_rm_and_gc_at_once_remove_each_pod_once(pods: PodHost) -> None:
    uuids = [pods.ok("prepare", pods.image, "--exec=/bin/true") for _number in range(6)]
    for uuid in uuids:
        pods.ok("run-prepared", "--net=none", uuid)
    removing = [pods.background("rm", *uuids) for _number in range(2)]
    collecting = [pods.background("gc", "--grace-period=0") for _number in range(2)]
    said = [process.communicate(timeout=60)[0] for process in (*removing, *collecting)]
    assert left_of_pods(pods) == []
    assert [process.returncode for process in collecting] == [0, 0]
    for uuid in uuids:
        assert sum(f'"{uuid}"' in out for out in said) >= 1
    assert cgroups_of(uuids) == []
