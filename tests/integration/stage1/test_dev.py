# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An image with its own /dev, and the targets of its standard files."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pathlib
import re

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    StageLab,
    python,
    until,
)

STANDARD = {"stdin": "0", "stdout": "1", "stderr": "2"}


@pytest.mark.behaviour("B45", "C32")
@pytest.mark.parametrize("shipped", [False, True], ids=["no /dev", "a /dev of its own"])
@pytest.mark.parametrize("docker", [False, True], ids=["aci", "docker"])
def test_the_standard_files_lead_to_the_process_itself(stage: StageLab, shipped: bool, docker: bool) -> None:
    if shipped:
        (stage.tree / "dev").mkdir()
        (stage.tree / "dev" / "stdout").write_text("from the image\n")
    links = "; ".join(f"readlink /dev/{name}" for name in (*STANDARD, "fd"))
    done = stage.run(
        f"{links}; echo out > /dev/stdout; cat < /dev/stdin; echo err > /dev/stderr", docker=docker
    )
    assert done.lines[:4] == [*(f"/proc/self/fd/{number}" for number in STANDARD.values()), "/proc/self/fd"]
    assert sorted(done.lines[4:]) == ["err", "out"], done.err


@pytest.mark.behaviour("B45")
@pytest.mark.parametrize("kind", ["file", "link to a file"])
def test_a_dev_that_is_no_directory_is_an_error(stage: StageLab, kind: str) -> None:
    if kind == "file":
        (stage.tree / "dev").write_text("")
    else:
        (stage.tree / "dev").symlink_to("/bin/busybox")
    done = stage.run("echo ran")
    assert (done.status, done.lines) == (254, []), done.err
    assert "/dev" in done.err


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C32")
@pytest.mark.parametrize(("memory", "mebibytes"), [(None, 64), ("16M", 64), ("512Mi", 256)])
def test_shared_memory_has_an_end(stage: StageLab, memory: str | None, mebibytes: int) -> None:
    isolators = [{"name": "resource/memory", "value": {"limit": memory}}] if memory else []
    done = stage.run("stat -f -c '%b %S %c' /dev/shm", isolators=isolators)
    (blocks, size, files) = map(int, done.text.split())
    assert (blocks * size, files) == (mebibytes << 20, mebibytes << 8)


@pytest.mark.finding("pods-F12")
def test_neither_bytes_nor_files_in_shared_memory_take_the_memory_of_the_host(stage: StageLab) -> None:
    script = """head -c 80000000 /dev/zero > /dev/shm/x 2>/dev/null; du -k /dev/shm/x | cut -f1; rm /dev/shm/x
    mkdir /dev/shm/d /dev/d; cd /dev/shm/d; seq 1 40000 | xargs touch 2>/dev/null; ls | wc -l
    cd /dev/d; seq 1 40000 | xargs touch 2>/dev/null; ls | wc -l"""
    done = stage.run(script)
    kept, in_shm, in_dev = map(int, done.text.split())
    assert kept == 64 << 10
    assert 16000 < in_shm < 16384
    assert 16000 < in_dev < 16384


BOTH = pytest.mark.parametrize("users", ["users of the host", "own users"])
NODES = {"full", "null", "random", "tty", "urandom", "zero"}
LINKS = {"fd", "log", "ptmx", "stderr", "stdin", "stdout"}


@BOTH
@pytest.mark.behaviour("C32")
def test_a_dev_has_what_is_listed_and_nothing_else(stage: StageLab) -> None:
    tun = {"net", "net/tun"} if os.path.exists("/dev/net/tun") else set()
    script = (
        "cd /dev; find . | sort; ls pts shm mqueue; stat -c '%n %a %t:%T' null zero full random urandom tty"
    )
    done = stage.run(script)
    found = {line[2:] for line in done.lines if line.startswith("./")}
    assert found == {*NODES, *LINKS, *tun, "shm", "pts", "pts/ptmx", "mqueue"}, done.err
    numbers = {"null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0"}
    assert done.lines[-6:] == [f"{name} 666 {number}" for name, number in numbers.items()]


QUEUE = """
import ctypes, os, sys
name = b"/queue"
fd = ctypes.CDLL(None, use_errno=True).mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)
print(fd >= 0, os.listdir("/dev/mqueue"), flush=True)
"""


@BOTH
@pytest.mark.behaviour("C32")
@pytest.mark.parametrize(("ipc", "shared"), [("private", False), ("parent", True)])
def test_message_queues_are_those_of_the_pod(stage: StageLab, ipc: str, shared: bool) -> None:
    """The apps see each other's, and those of the host only with its namespace."""
    stage.link_libraries()
    one = python(QUEUE)
    volumes = one.pop("volumes")
    other = {"exec": ["/bin/sh", "-c", f"{until('test -e /dev/mqueue/queue')}; stat -c %a /dev/mqueue/queue"]}
    pod = stage.pod({"one": one, "other": other}, HOST_NET.replace(ipc=ipc), volumes=volumes)  # type: ignore[arg-type]
    assert dict(pod.call().said) == {"one": "True ['queue']", "other": "600"}
    on_host = ctypes.CDLL(None).mq_unlink(b"/queue") == 0
    assert on_host is shared


@BOTH
@pytest.mark.parametrize("shipped", ["nothing", "a file", "a link", "a dangling link"])
def test_an_app_has_the_time_zone_that_it_is_given(stage: StageLab, shipped: str) -> None:
    path = stage.tree / "etc" / "localtime"
    zones = stage.tree / "usr" / "share" / "zoneinfo"
    if shipped == "a file":
        path.write_bytes(b"of the image")
    elif shipped != "nothing":
        path.symlink_to("/usr/share/zoneinfo/Etc/UTC")
    if shipped == "a link":
        (zones / "Etc").mkdir(parents=True)
        (zones / "Etc" / "UTC").write_bytes(b"of the image")
    expected = pathlib.Path("/usr/share/zoneinfo/Asia/Tokyo").read_bytes()
    script = "md5sum < /etc/localtime; touch /etc/localtime 2>&1"
    done = stage.run(script, annotations=[{"name": "stagecraft.pods/timezone", "value": "Asia/Tokyo"}])
    assert done.lines[0].split()[0] == hashlib.md5(expected).hexdigest(), done.err
    assert re.search("Read-only file system|Permission denied", done.lines[1])
