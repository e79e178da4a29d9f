# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What the fifth trial has found: apps and images that are hostile, callers that are careless."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import signal
import stat
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.strays import bring_back, find_strays
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PODCTL,
    SECONDS,
    Done,
    PodHost,
    called,
    eventually,
    write_image,
)

WAITS = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
USERS = pytest.mark.parametrize("users", [(), ("--private-users",)], ids=["host-users", "own-users"])
APP = {"exec": ["/bin/sh"], "user": "0", "group": "0"}


def running(pods: PodHost, *flags: str, script: str = WAITS) -> str:
    uuid = pods.ok("prepare", "--quiet", *flags, pods.image, "--exec=/bin/sh", "--", "-c", script)
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    return uuid


def sandbox(pods: PodHost, monkeypatch: pytest.MonkeyPatch, *flags: str) -> str:
    monkeypatch.setenv("RKT_EXPERIMENT_APP", "true")
    pods.ok("fetch", pods.image)
    return pods.sandbox(*flags)


def add(pods: PodHost, uuid: str, name: str, *flags: str, script: str = WAITS) -> None:
    pods.ok("app", "add", uuid, pods.image, f"--name={name}", *flags, "--exec=/bin/sh", "--", "-c", script)


@USERS
@pytest.mark.finding("attack5-F1")
@pytest.mark.parametrize("said", ["50", "1", "99999999999999999999"])
def test_a_command_gets_no_descriptors_that_the_caller_only_speaks_of(
    pods: PodHost, users: tuple[str, ...], said: str
) -> None:
    """A shell below a service with sockets has LISTEN_FDS, and no sockets."""
    uuid = running(pods, *users)
    environment = {**os.environ, "LISTEN_FDS": said, "LISTEN_PID": "1"}
    done = pods.podctl("enter", uuid, "/bin/ls", "-l", "/proc/self/fd", env=environment)
    names = [line.split()[8] for line in done.out.splitlines() if len(line.split()) > 8]
    assert [name for name in names if int(name) > 3] == [], done.out
    assert "cgroup" not in done.out
    told = pods.podctl("enter", uuid, "/bin/sh", "-c", "echo $LISTEN_FDS", env=environment)
    assert told.out.strip() == ""


@pytest.mark.finding("attack5-F1")
def test_a_command_gets_what_is_passed_and_no_more(pods: PodHost, tmp_path: pathlib.Path) -> None:
    (tmp_path / "given").write_text("given\n")
    uuid = running(pods)
    script = f'exec 3<{tmp_path}/given; export LISTEN_FDS=7; exec "$@"'
    shown = "cat <&3; echo $LISTEN_FDS; ls /proc/self/fd"
    done = called(["bash", "-c", script, "bash", PODCTL, *pods.where, "enter", uuid, "/bin/sh", "-c", shown])
    assert done.out.split() == ["given", "1", "0", "1", "2", "3", "4"], done.err


@pytest.mark.finding("attack5-F2")
def test_an_app_whose_name_is_supervisor_is_one_like_all_others(pods: PodHost) -> None:
    """Its image may have chosen the name. The group of the first process would be its leaf."""
    script = "i=0; while true; do i=$((i+1)); echo $i > /count; sleep 0.02; done"
    uuid = pods.detached(script, "--name=supervisor")
    place = pods.data / "pods" / "run" / uuid
    eventually(lambda: list(place.glob("overlay/*/upper/supervisor/count")))
    (file,) = place.glob("overlay/*/upper/supervisor/count")
    pods.ok("pause", uuid)
    before = file.read_text()
    assert "paused=true" in pods.ok("status", uuid)
    assert file.read_text() == before
    pods.ok("unpause", uuid)
    eventually(lambda: file.read_text() != before)
    for group in (place / "cgroups").read_text().splitlines():
        held = pathlib.Path(group, "supervisor", "cgroup.procs")
        pid = (place / "pid").read_text().strip()
        assert not held.exists() or pid not in held.read_text().split()


@pytest.mark.finding("attack5-F2")
def test_a_pod_of_release_0_6_is_paused_without_its_supervisor(pods: PodHost) -> None:
    """There the leaf of the first process on cgroup v2 has a name that an app could have."""
    uuid = pods.detached(WAITS)
    place = pods.data / "pods" / "run" / uuid
    groups = [pathlib.Path(group) for group in (place / "cgroups").read_text().splitlines()]
    unified = [group for group in groups if (group / "cgroup.freeze").exists()]
    if not unified:
        pytest.skip("cgroup v2 is not mounted")
    own, former = unified[0] / "_supervisor", unified[0] / "supervisor"
    former.mkdir()
    for pid in (own / "cgroup.procs").read_text().split():
        (former / "cgroup.procs").write_text(pid)
    own.rmdir()
    pods.ok("pause", uuid)
    assert "frozen 0" in (former / "cgroup.events").read_text()
    assert "frozen 1" in (unified[0] / "busybox" / "cgroup.events").read_text()
    pid = int((place / "pid").read_text())
    (unified[0].parent / "cgroup.procs").write_text(str(pid))
    bring_back(find_strays(PodDir(str(place)), pid, ("busybox",)))
    assert str(pid) in (former / "cgroup.procs").read_text().split()
    pods.ok("unpause", uuid)
    pods.ok("stop", uuid)
    assert pods.wait(uuid)[0] == "state=exited"


@USERS
@pytest.mark.finding("attack5-F3")
@pytest.mark.parametrize("number", ["99999999999", "4294967295", "65536"])
def test_an_owner_that_only_the_image_knows_is_one_of_the_pod(
    pods: PodHost, tmp_path: pathlib.Path, users: tuple[str, ...], number: str
) -> None:
    """The owner of a volume by name is a number of the image's; the range after a pod's own is another pod's."""
    passwd = f"root:x:0:0:root:/:/bin/sh\nwww:x:{number}:{number}:www:/:/bin/sh\n".encode()
    image = write_image(tmp_path / "own.aci", "example.com/own", APP, {"etc/passwd": (0o644, passwd)})
    volume = ("--volume=v,kind=empty,owner=www", str(image), "--mount=volume=v,target=/data")
    done = pods.podctl("run", "--net=none", *users, *volume, "--exec=/bin/true")
    assert "Traceback" not in done.err
    if number == "65536" and not users:
        assert done.status == 0, done.err
        return
    assert (done.status, "is out of range" in done.err) == (254, True), done.err


PROFILES = {
    "errno": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "errorcode"},
    "text": {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "__doc__"},
    "architecture": {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH___init__"],
    },
}


@pytest.mark.finding("attack5-F4")
@pytest.mark.parametrize("what", PROFILES)
def test_a_profile_with_a_name_of_python_is_refused(pods: PodHost, tmp_path: pathlib.Path, what: str) -> None:
    (tmp_path / "profile.json").write_text(json.dumps(PROFILES[what]))
    done = pods.podctl("prepare", pods.image, f"--seccomp-profile={tmp_path}/profile.json")
    assert (done.status, "Traceback" in done.err) == (254, False), done.err
    assert "errno of this machine" in done.err or "no architecture __init__" in done.err


def activated(pods: PodHost, image: str, count: int, *, given: bool = True) -> Done:
    """Run a pod as systemd would, with so many sockets from 3 on."""
    program = (
        "import fcntl, os, socket, sys\n"
        "count, given = int(sys.argv[1]), sys.argv[2] == 'True'\n"
        "held = [socket.socket() for _number in range(count)]\n"
        "for each in held: each.bind(('127.0.0.1', 0)); each.listen()\n"
        "high = [fcntl.fcntl(each, fcntl.F_DUPFD, 1024) for each in held]\n"
        "for number, fd in enumerate(high if given else []): os.dup2(fd, 3 + number)\n"
        "os.closerange(3 + (count if given else 0), 4096)\n"
        "os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str(os.getpid()))\n"
        "os.execv(sys.argv[3], sys.argv[3:])\n"
    )
    python = ("python3", "-c", program)
    words = (
        PODCTL,
        *pods.where,
        "run",
        "--net=none",
        image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "echo $LISTEN_FDS",
    )
    return called(
        ["bash", "-c", 'ulimit -n 8192; exec "$@"', "bash", *python, str(count), str(given), *words]
    )


@pytest.mark.finding("attack5-F5")
def test_as_many_sockets_as_are_taken(pods: PodHost, tmp_path: pathlib.Path) -> None:
    port = {"name": "http", "protocol": "tcp", "port": 80, "socketActivated": True}
    image = str(write_image(tmp_path / "served.aci", "example.com/served", {**APP, "ports": [port]}))
    assert activated(pods, image, 256).texts == ["256"]
    done = activated(pods, image, 2, given=False)
    assert (done.status, "is not a socket" in done.err) == (254, True), done.err


@pytest.mark.finding("attack5-F6")
def test_a_pod_of_which_an_app_runs_is_paused_whole(pods: PodHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """One was started since, or whatever has paused the pod was killed."""
    uuid = sandbox(pods, monkeypatch)
    script = "i=0; while true; do i=$((i+1)); echo $i > /count; sleep 0.02; done"
    add(pods, uuid, "first")
    pods.ok("app", "start", uuid, "--app=first")
    pods.ok("pause", uuid)
    add(pods, uuid, "second", script=script)
    pods.ok("app", "start", uuid, "--app=second")
    place = pods.data / "pods" / "run" / uuid
    eventually(lambda: list(place.glob("overlay/*/upper/second/count")))
    (file,) = place.glob("overlay/*/upper/second/count")
    assert pods.ok("pause", uuid) == f'"{uuid}"'
    before = file.read_text()
    assert "already" in pods.ok("pause", uuid)
    assert file.read_text() == before
    pods.ok("unpause", uuid)
    eventually(lambda: file.read_text() != before)
    assert "not paused" in pods.ok("unpause", uuid)


@USERS
@pytest.mark.finding("attack5-F7")
def test_an_app_that_kills_all_others_is_told_of(
    pods: PodHost, monkeypatch: pytest.MonkeyPatch, users: tuple[str, ...]
) -> None:
    uuid = sandbox(pods, monkeypatch, *users)
    add(pods, uuid, "evil", script="trap '' TERM; while true; do kill -9 -1 2>/dev/null; done")
    add(pods, uuid, "good")
    pods.ok("app", "start", uuid, "--app=evil")
    done = pods.podctl("app", "start", uuid, "--app=good")
    if done.status:
        assert "success" not in done.err.lower()
        assert "killed" in done.err or "has died" in done.err or "signal" in done.err, done.err
    pods.ok("app", "rm", uuid, "--app=evil")
    pods.ok("app", "start", uuid, "--app=good")


@pytest.mark.finding("attack5-F8")
def test_an_app_that_cannot_start_keeps_no_other_from_starting(
    pods: PodHost, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Its disk, without which it is not even added, is gone when it is to start."""
    uuid, disk = sandbox(pods, monkeypatch), tmp_path / "disk"
    os.mknod(disk, stat.S_IFBLK | 0o600, os.makedev(7, 0))
    add(pods, uuid, "wrong", f"--device-read-bps={disk}:1M")
    disk.unlink()
    words = ("app", "add", uuid, pods.image, "--name=late", f"--device-read-bps={disk}:1M")
    assert f"device_read_bps.{disk}: cannot look at" in pods.podctl(*words).err
    add(pods, uuid, "right")
    assert str(disk) in pods.podctl("app", "start", uuid, "--app=wrong").err
    pods.ok("app", "start", uuid, "--app=right")


@pytest.mark.finding("attack5-F9")
@pytest.mark.parametrize(
    ("pod_flags", "flags", "named"),
    [
        ((), ("--memory=4M", "--memory-reservation=1G"), "--memory-reservation: it is more than"),
        ((), ("--memory-swap=-1",), "--memory-swap: it has no memory limit"),
        (("--shm-size=1",), (), "--shm-size: 1 is out of range"),
    ],
)
def test_a_refusal_names_the_flag(
    pods: PodHost, pod_flags: tuple[str, ...], flags: tuple[str, ...], named: str
) -> None:
    done = pods.podctl("prepare", *pod_flags, pods.image, *flags)
    assert (done.status, named in done.err) == (254, True), done.err


@pytest.mark.finding("attack5-F10")
def test_a_copy_that_fails_names_the_file(pods: PodHost, tmp_path: pathlib.Path) -> None:
    """Even root has to wait for one that another process has leased."""
    uuid = running(pods)
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree" / "leased", "w") as leased:
        fcntl.fcntl(leased, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        done = pods.podctl("cp", str(tmp_path / "tree"), f"{uuid}:/tmp")
        signal.signal(signal.SIGIO, before)
    assert (done.status, '"tree/leased": ' in done.err) == (254, True), done.err
    assert "/proc/self/fd" not in done.err


@pytest.mark.finding("attack5-F12")
def test_an_app_that_has_never_run_is_said_to_be_so(pods: PodHost, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = sandbox(pods, monkeypatch)
    pods.ok("app", "add", uuid, pods.image, "--name=never", "--exec=/missing")
    assert pods.podctl("app", "start", uuid, "--app=never").status == 1
    done = pods.podctl("enter", "--app=never", uuid, "/bin/true")
    assert (done.status, done.err) == (203, 'enter: cannot enter app "never": it is not running\n')


@USERS
@pytest.mark.finding("attack5-F13")
def test_an_app_without_a_root_has_no_files(
    pods: PodHost, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, users: tuple[str, ...]
) -> None:
    """Its directory was the one in which the root would be mounted."""
    uuid = sandbox(pods, monkeypatch, *users)
    add(pods, uuid, "new")
    pods.ok("app", "add", uuid, pods.image, "--name=failed", "--exec=/missing")
    assert pods.podctl("app", "start", uuid, "--app=failed").status == 1
    (tmp_path / "file").write_text("x")
    for app in ("new", "failed"):
        for words in ((f"{uuid}:{app}:/", "-"), (f"{tmp_path}/file", f"{uuid}:{app}:/file")):
            done = pods.podctl("cp", *words)
            assert (done.status, f'app "{app}" has no root in the pod yet' in done.err) == (254, True), (
                done.err
            )
    pods.ok("app", "start", uuid, "--app=new")
    pods.ok("cp", f"{tmp_path}/file", f"{uuid}:new:/file")


@pytest.mark.finding("attack5-F14")
def test_an_app_of_a_paused_pod_ends_in_order(pods: PodHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed after the time that it had to end in; with the freezer of cgroup v1 not even that."""
    uuid = sandbox(pods, monkeypatch)
    script = "trap 'echo in order; exit 0' TERM; while true; do sleep 0.1; done"
    add(pods, uuid, "one", script=script)
    add(pods, uuid, "other")
    for app in ("one", "other"):
        pods.ok("app", "start", uuid, f"--app={app}")
    pods.ok("pause", uuid)
    pods.ok("app", "stop", uuid, "--app=one")
    assert "in order" in pods.ok("logs", uuid)
    assert "paused=true" in pods.ok("status", uuid)
    pods.ok("app", "rm", uuid, "--app=other")
    assert "paused" not in pods.ok("status", uuid)


@USERS
@pytest.mark.finding("attack5-F15")
def test_the_whole_root_of_a_running_app_can_be_copied(
    pods: PodHost, tmp_path: pathlib.Path, users: tuple[str, ...]
) -> None:
    """/proc has links that lead nowhere for others, and files of which no size is true."""
    uuid = running(pods, *users)
    done = pods.podctl("cp", f"{uuid}:/", str(tmp_path / "root"))
    assert done.status == 0, done.err
    assert "cp: root/proc is the kernel's, and left out" in done.err.splitlines()
    assert (tmp_path / "root" / "data" / "shipped").read_text() == "from the image\n"
    assert not (tmp_path / "root" / "proc").exists()
    for path in ("/proc/version", "/proc", "/sys/kernel"):
        done = pods.podctl("cp", f"{uuid}:{path}", str(tmp_path / "none"))
        assert (done.status, f'"{path}" is in a file system of the kernel' in done.err) == (254, True), (
            done.err
        )


@pytest.mark.finding("attack5-F16")
def test_files_with_holes_are_copied_with_them(pods: PodHost, tmp_path: pathlib.Path) -> None:
    """An app can make one that would take hours to read."""
    uuid = running(pods)
    with open(tmp_path / "holes", "wb") as file:
        for at in (5 << 20, 300 << 30):
            file.seek(at)
            file.write(b"data")
        file.truncate(900 << 30)
    pods.ok("cp", str(tmp_path / "holes"), f"{uuid}:/data/holes")
    pods.ok("cp", f"{uuid}:/data", str(tmp_path / "got"))
    with open(tmp_path / "got" / "holes", "rb") as file:
        file.seek(5 << 20)
        assert file.read(5) == b"data\0"
        file.seek(300 << 30)
        assert file.read(5) == b"data\0"
    size = os.stat(tmp_path / "got" / "holes")
    assert (size.st_size, size.st_blocks < 100) == (900 << 30, True)
    os.truncate(tmp_path / "holes", 2 << 40)
    done = pods.podctl("cp", str(tmp_path / "holes"), f"{uuid}:/data/more")
    assert (done.status, '"more" has 2199023255552 bytes, more than the' in done.err) == (254, True), done.err


@pytest.mark.finding("attack5-F16")
@pytest.mark.parametrize("form", ["0.0", "0.1", "1.0"])
def test_an_archive_with_sparse_files_is_unpacked(pods: PodHost, tmp_path: pathlib.Path, form: str) -> None:
    uuid = running(pods)
    with open(tmp_path / "holes", "wb") as file:
        file.seek(1 << 30)
        file.write(b"end")
    words = [
        "tar",
        "-S",
        "--format=pax",
        f"--sparse-version={form}",
        "-C",
        str(tmp_path),
        "-cf",
        "-",
        "holes",
    ]
    archive = subprocess.run(words, check=True, capture_output=True).stdout
    assert len(archive) < 1 << 20
    send = [PODCTL, *pods.where, "cp", "-", f"{uuid}:/data"]
    subprocess.run(send, input=archive, check=True, timeout=SECONDS)
    pods.ok("cp", f"{uuid}:/data/holes", str(tmp_path / "got"))
    assert os.stat(tmp_path / "got").st_size == (1 << 30) + 3
    with open(tmp_path / "got", "rb") as file:
        file.seek(1 << 30)
        assert file.read() == b"end"


@pytest.mark.finding("attack5-F17")
def test_a_copy_for_which_there_is_no_room_replaces_nothing(pods: PodHost, tmp_path: pathlib.Path) -> None:
    uuid = running(pods)
    (tmp_path / "large").write_bytes(os.urandom(3 << 20))
    pods.ok("cp", str(tmp_path / "large"), f"{uuid}:/data/kept")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", small], check=True)
    try:
        (small / "kept").write_text("before")
        done = pods.podctl("cp", f"{uuid}:/data/kept", str(small))
        assert done.status == 254
        assert f'cannot write "kept": {small}/' in done.err and "no space left" in done.err, done.err
        assert [(path.name, path.read_text()) for path in small.iterdir()] == [("kept", "before")]
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


@USERS
@pytest.mark.finding("attack5-F18")
def test_a_volume_of_one_file_is_written_where_it_is(
    pods: PodHost, tmp_path: pathlib.Path, users: tuple[str, ...]
) -> None:
    """It is a mount, which was taken away from the app when another file replaced it."""
    (tmp_path / "volume").write_text("much longer before")
    (tmp_path / "new").write_text("after")
    uuid = pods.ok(
        *("prepare", "--quiet", *users, f"--volume=v,kind=host,source={tmp_path}/volume", pods.image),
        *("--mount=volume=v,target=/data/file", "--exec=/bin/sh", "--", "-c", WAITS),
    )
    pods.ok("run-prepared", "--detach", "--net=none", uuid)
    pods.ok("cp", str(tmp_path / "new"), f"{uuid}:/data/file")
    assert (tmp_path / "volume").read_text() == "after"
    assert pods.ok("enter", uuid, "/bin/ls", "-A", "/data").split() == ["file", "shipped"]
