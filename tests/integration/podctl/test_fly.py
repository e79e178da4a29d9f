# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The flavour fly: one app in its root, and all else the host's."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    SECONDS,
    Done,
    PodHost,
    cgroups_of,
    eventually,
    write_image,
)

FLY = "--stage1-name=coreos.com/rkt/stage1-fly"
WAITS = "trap 'exit 0' TERM; while true; do sleep 0.1; done"


def fly(pods: PodHost, script: str, *flags: str, pod_flags: tuple[str, ...] = ()) -> Done:
    """Run a script in the foreground by fly."""
    words = ("run", FLY, *pod_flags, pods.image, "--exec=/bin/sh", *flags, "--", "-c", script)
    return pods.podctl(*words)


@contextlib.contextmanager
def mounted(kind: str, place: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system that is mounted meanwhile."""
    subprocess.run(["mount", "-t", kind, "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def detached(pods: PodHost, script: str, *flags: str) -> str:
    uuid = pods.ok("prepare", "--quiet", FLY, pods.image, "--exec=/bin/sh", *flags, "--", "-c", script)
    pods.ok("run-prepared", "--detach", uuid)
    return uuid


@pytest.mark.behaviour("D29", "D30", "D31")
def test_the_app_is_in_its_root_with_the_namespaces_of_the_host(pods: PodHost) -> None:
    script = """
        cat /data/shipped; for each in pid net uts ipc user; do ls -l /proc/self/ns/$each | tail -c 20; done
        grep ^CapBnd /proc/self/status; grep ^Seccomp: /proc/self/status; echo v=$AC_APP_NAME; cat /etc/hosts
        ls -d /sys/kernel /dev/null; ls /tmp; id"""
    done = fly(pods, script, "--user=worker", "--group=workers", "--supplementary-gids=7")
    assert done.status == 0, done.err
    text = done.out
    assert text.startswith("from the image\n")
    for each in ("pid", "net", "uts", "ipc", "user"):
        assert os.readlink(f"/proc/self/ns/{each}") in text
    own = pathlib.Path("/proc/self/status").read_text()
    assert next(line for line in own.splitlines() if line.startswith("CapBnd")) in text
    assert "Seccomp:\t0\n" in text
    assert "v=\n127.0.0.1 localhost localdomain\n/dev/null\n/sys/kernel\n" in text
    assert "uid=100(worker) gid=200(workers) groups=7,200(workers)" in text


@pytest.mark.behaviour("C17")
def test_a_missing_working_directory_is_made_for_a_docker_image_alone(
    pods: PodHost, tmp_path: pathlib.Path
) -> None:
    repository = [{"name": "appc.io/docker/repository", "value": "lab"}]
    app = {
        "exec": ["/bin/sh", "-c", "pwd; ls -ld ."],
        "user": "0",
        "group": "0",
        "workingDirectory": "/srv/x",
    }
    of_docker = write_image(tmp_path / "docker.aci", "example.com/docker", app, annotations=repository)
    done = pods.podctl("run", FLY, "--insecure-options=image", str(of_docker), "--readonly-rootfs=true")
    assert (done.status, done.out.split()[:2]) == (0, ["/srv/x", "drwxr-xr-x"]), done.err
    own = write_image(tmp_path / "own.aci", "example.com/own", app)
    done = pods.podctl("run", FLY, "--insecure-options=image", str(own))
    assert done.status == 254
    assert "/srv/x: no such file or directory" in done.err


@pytest.mark.behaviour("D31", "A26", "A28")
def test_the_app_replaces_podctl_and_records_no_status(pods: PodHost) -> None:
    assert fly(pods, "exit 7").status == 7
    process = pods.background("run", FLY, pods.image, "--exec=/bin/sh", "--", "-c", "kill -9 $$")
    assert process.wait(SECONDS) == -signal.SIGKILL
    for uuid in pods.uuids():
        lines = pods.ok("status", uuid).splitlines()
        assert lines[0] == "state=exited"
        assert not any(line.startswith("app-") for line in lines)
    missing = pods.podctl("run", FLY, pods.image, "--exec=/no/such")
    assert missing.status == 203
    assert 'Unable to open "/no/such": No such file or directory' in missing.err
    uuid = pods.ok("prepare", "--quiet", FLY, pods.image, "--exec=/no/such")
    failed = pods.podctl("run-prepared", "--detach", uuid)
    assert failed.status == 254
    assert 'Unable to open "/no/such": No such file or directory' in failed.err
    assert pods.podctl("run", FLY, pods.image, "--working-dir=/no", "--exec=/bin/true").status == 254


@pytest.mark.behaviour("A29")
def test_what_only_the_kernel_refuses_is_told_without_a_file_of_the_host(pods: PodHost) -> None:
    more = {"bin/odd": (0o755, b"\x7fELF odd"), "bin/roots": (0o700, b"#!/bin/sh\n")}
    app = {"exec": ["/bin/odd"], "user": "0", "group": "0"}
    image = str(write_image(pods.base / "odd.aci", "example.com/odd", app, more))
    done = pods.podctl("run", FLY, image)
    assert (done.status, done.err) == (203, 'stage1: Error: "/bin/odd" has an unsupported file type\n')
    done = pods.podctl("run", FLY, image, "--exec=/bin/roots", "--user=worker", "--group=workers")
    assert (done.status, done.err) == (203, 'stage1: Error: "/bin/roots" is not executable\n')
    uuid = pods.ok("prepare", "--quiet", FLY, image)
    failed = pods.podctl("run-prepared", "--detach", uuid)
    assert (failed.status, failed.err) == (254, 'stage1: Error: "/bin/odd" has an unsupported file type\n')


@pytest.mark.behaviour("D31", "A45", "D12")
@pytest.mark.parametrize("force", [False, True])
def test_a_detached_pod_is_entered_stopped_and_collected(pods: PodHost, force: bool) -> None:
    uuid = detached(pods, "(sleep 611 &) ; echo said; " + WAITS, "--set-env=A=b")
    place = pods.data / "pods/run" / uuid
    pid = (place / "pid").read_text()
    assert f"pid={pid}" in pods.ok("status", uuid).splitlines()
    assert (place / "pgid").read_text() == str(os.getpgid(int(pid)))
    assert pods.podctl("status", "--wait-ready=5s", uuid).status == 0
    eventually(lambda: "said" in pods.ok("logs", uuid))
    done = pods.podctl("enter", uuid, "sh", "-c", "cat /data/shipped; echo $A; id -u")
    assert (done.status, done.out) == (0, "from the image\nb\n0\n"), done.err
    assert pods.podctl("enter", "--user=worker", uuid, "id", "-u").out == "100\n"
    pods.ok("stop", *(("--force",) if force else ()), uuid)
    eventually(lambda: not os.path.exists(f"/proc/{pid}/root/data"))
    pods.ok("stop", "--force", uuid)
    assert "state=exited" in pods.wait(uuid)
    pods.ok("rm", uuid)
    assert cgroups_of([uuid]) == []
    assert uuid not in pathlib.Path("/proc/self/mounts").read_text()


@pytest.mark.behaviour("D29")
def test_only_one_app(pods: PodHost) -> None:
    done = pods.podctl("prepare", FLY, pods.image, "--name=a", pods.image, "--name=b")
    assert (done.status, done.err.splitlines()[0]) == (
        254,
        "prepare: fly only supports 1 application per Pod for now",
    )
    assert pods.uuids() == []


@pytest.mark.behaviour("D29")
def test_what_fly_does_not_do_is_told(pods: PodHost) -> None:
    done = pods.podctl("prepare", FLY, pods.image, "--memory=64M", "--caps-retain=CAP_CHOWN")
    assert done.status == 0
    said = "fly isolates nothing, and does not apply: os/linux/capabilities-retain-set, resource/memory"
    assert said in done.err
    done = pods.podctl("run", FLY, "--net=none", "--hostname=h", pods.image, "--exec=/bin/true")
    assert done.status == 0
    assert "fly isolates nothing, and does not apply: hostname, networks" in done.err
    ours = ("--ipc=private", "--exit-policy=continue", "--shm-size=32M")
    done = pods.podctl("run", FLY, *ours, pods.image, "--restart=always", "--tz=UTC", "--exec=/bin/true")
    assert done.status == 0
    assert "does not apply: ipc, exit_policy, shm_size, restart, timezone\n" in done.err
    modes = (
        "--annotation=coreos.com/rkt/stage2/stdin=stream",
        "--annotation=coreos.com/rkt/stage2/stdout=log",
    )
    assert "does not apply: stdin\n" in pods.podctl("prepare", FLY, pods.image, *modes).err
    done = pods.podctl("prepare", FLY, "--port=http:8080", pods.image)
    assert (done.status, "fly cannot forward ports" in done.err) == (254, True)
    done = pods.podctl("prepare", FLY, "--private-users", pods.image)
    assert (done.status, "fly has no users of its own" in done.err) == (254, True)


@pytest.mark.behaviour("D30", "C24")
def test_every_mount_point_needs_a_volume_and_binds_are_not_recursive(pods: PodHost) -> None:
    points = [{"name": "work", "path": "/work"}]
    app = {"exec": ["/bin/ls", "/work"], "user": "0", "group": "0", "mountPoints": points}
    image = str(write_image(pods.base / "points.aci", "example.com/points", app))
    done = pods.podctl("run", FLY, image)
    assert done.status == 254
    assert 'missing volume for mountPoint "' in done.err
    source = pods.base / "source"
    source.mkdir()
    (source / "file").touch()
    done = pods.podctl("run", FLY, f"--volume=work,kind=host,source={source}", image)
    assert (done.status, done.out) == (0, "file\n"), done.err
    (source / "below").mkdir()
    with mounted("tmpfs", source / "below") as below:
        (below / "seen").touch()
        script = ("--exec=/bin/sh", "--", "-c", "ls /work/below")
        for recursive, seen in (("", ""), (",recursive=true", "seen\n")):
            volume = f"--volume=work,kind=host,source={source}{recursive}"
            done = pods.podctl("run", FLY, volume, image, *script)
            assert (done.status, done.out) == (0, seen), done.err


@pytest.mark.behaviour("D21", "D33")
@pytest.mark.parametrize(
    ("flag", "status"),
    [
        ("--stage1-name=fly", 0),
        ("--stage1-name=coreos.com/rkt/stage1-fly:1.30.0", 0),
        ("--stage1-from-dir=stage1-fly.aci", 0),
        ("--stage1-name=native", 1),
        ("--stage1-name=coreos.com/rkt/stage1-coreos", 1),
    ],
)
def test_flavours_have_rkts_names_and_their_own(pods: PodHost, flag: str, status: int) -> None:
    own = os.readlink("/proc/self/ns/pid")
    script = f"ls -l /proc/self/ns/pid | grep -qF '{own}'"
    done = pods.podctl("run", flag, "--net=none", pods.image, "--exec=/bin/sh", "--", "-c", script)
    assert done.status == status, done.err


@pytest.mark.behaviour("D30")
def test_no_overlay_and_a_read_only_root(pods: PodHost) -> None:
    done = fly(pods, "touch /data/x && echo written", pod_flags=("--no-overlay",))
    assert (done.status, done.out) == (0, "written\n"), done.err
    done = fly(pods, "touch /data/x || echo refused", "--readonly-rootfs=true")
    assert done.out == "refused\n"


@pytest.mark.behaviour("D30")
def test_files_of_names_are_the_hosts_or_as_asked_for(pods: PodHost) -> None:
    show = "cat /etc/resolv.conf; echo --; cat /etc/hosts"
    hosts = pathlib.Path("/etc/hosts").read_text()
    resolv = pathlib.Path("/etc/resolv.conf").read_text()
    stub = "127.0.0.1 localhost localdomain"
    for flags, names, entries in (
        ((), resolv, stub),
        (("--dns=host", "--hosts-entry=host"), resolv, hosts),
        (("--dns=10.0.0.1",), "# Generated by rkt run\n\nnameserver 10.0.0.1\n", stub),
    ):
        done = fly(pods, show, pod_flags=flags)
        found = [text.strip() for text in done.out.split("--\n")]
        assert (done.status, found) == (0, [names.strip(), entries.strip()]), (flags, done.err)


@pytest.mark.behaviour("D30")
def test_what_an_app_mounts_is_not_on_the_host(pods: PodHost) -> None:
    script = "busybox mount -t tmpfs fly-own /dev/shm; cut -d' ' -f1-3 /proc/self/mounts"
    mounts = fly(pods, script).out.splitlines()
    assert "fly-own /dev/shm tmpfs" in mounts
    assert any(line.endswith(" /tmp tmpfs") for line in mounts)
    assert {" /dev ", " /proc ", " /sys "} <= {f" {line.split()[1]} " for line in mounts}
    assert "fly-own" not in pathlib.Path("/proc/self/mounts").read_text()
