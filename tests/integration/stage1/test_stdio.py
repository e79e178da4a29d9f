# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The standard files of an app."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pty
import stat

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import StageLab

# Of fd 0: its device, whether it can be changed, and its content.
ASK = """stat -L -c '%F %t:%T' /proc/self/fd/0
chmod 000 /proc/self/fd/0 2>/dev/console && echo changed
timeout 5 cat <&0; echo read $?"""
NULL = "character special file 1:3"


def led(dev: pathlib.Path, target: str) -> None:
    """A volume at /dev has a link, or another type of file, as null."""
    null, console = dev / "null", dev / "console"
    console.write_text("")
    console.chmod(0o666)
    if target.startswith("/"):
        null.symlink_to(target)
    elif target == "pipe":
        os.mkfifo(null, 0o666)
    elif target == "file":
        null.write_text("of the volume\n")
    elif target == "zero":
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif target == "null":
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))


@pytest.mark.finding("attack4-F1")
@pytest.mark.parametrize("way", ["host", "image"])
@pytest.mark.parametrize(
    "target",
    [
        "/proc/kmsg",
        "/proc/1/fd/1",
        "/proc/1/root",
        *(f"/proc/1/fd/{number}" for number in (2, 3, 5, 7, 9)),
        "/etc/passwd",
        "pipe",
        "file",
        "zero",
        "nothing",
    ],
)
def test_nothing_but_dev_null_is_what_an_app_reads(
    stage: StageLab, tmp_path: pathlib.Path, way: str, target: str
) -> None:
    """With a volume at /dev, even one that an image requests and fills itself, stage1 opens no file for the app."""
    dev = stage.tree / "dev" if way == "image" else tmp_path / "vol"
    dev.mkdir(exist_ok=True)
    led(dev, target)
    kind = {"kind": "empty"} if way == "image" else {"kind": "host", "source": str(dev)}
    volume = {"name": "dev", **kind}
    mode = os.stat("/dev/null").st_mode
    done = stage.run(
        ASK,
        volumes=[volume],
        mounts=[{"volume": "dev", "path": "/dev"}],
        prefill=["dev"] if way == "image" else [],
        docker=way == "image",
    )
    assert done.lines == [NULL, "read 0"], done.err
    assert os.stat("/dev/null").st_mode == mode


@pytest.mark.finding("attack4-F1")
@pytest.mark.parametrize("own", [False, True])
def test_the_null_of_an_app_is_its_own_where_it_has_one(
    stage: StageLab, tmp_path: pathlib.Path, own: bool
) -> None:
    mounts = {}
    if own:
        led(tmp_path, "null")
        volume = {"name": "dev", "kind": "host", "source": str(tmp_path)}
        mounts = {"volumes": [volume], "mounts": [{"volume": "dev", "path": "/dev"}]}
    done = stage.run("readlink /proc/self/fd/0; chmod 604 /proc/self/fd/0 && echo changed", **mounts)
    assert done.lines == ["/dev/null", "changed"], done.err
    if own:
        assert stat.S_IMODE((tmp_path / "null").stat().st_mode) == 0o604
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666


@pytest.mark.finding("attack4-F10", "pods-F3")
@pytest.mark.parametrize("redirected", ["", "<", ">", "2", "<>", "<2", ">2"])
def test_no_process_of_an_interactive_pod_has_the_callers_terminal(
    stage: StageLab, tmp_path: pathlib.Path, redirected: str
) -> None:
    """In the pod each of the caller's terminals is replaced by another one, the other standard files are passed on."""
    words = {"<": "<in", ">": ">out", "2": "2>err"}
    (tmp_path / "in").write_text("from a file\n")
    where = " ".join(words[sign] for sign in redirected)
    prefix = ["/bin/sh", "-c", f'cd {tmp_path}; exec "$@" {where}', "sh"]
    script = """for fd in 0 1 2; do stat -L -c "$fd %t:%T" /proc/self/fd/$fd; done > /said
    test -t 0 || cat; echo out; echo err >&2; touch /ready; tty < /dev/tty > /tty
    while test -e /ready; do sleep 0.05; done"""
    pod = stage.sh(script)
    master, slave = pty.openpty()
    terminal = os.fstat(slave).st_rdev
    child = pod.start(terminal=slave, prefix=prefix, interactive=True)
    os.close(slave)
    root = pathlib.Path(f"/proc/{pod.pid()}/root{pod.dir.app_root('main')}")
    wanted, screen = [word for sign, word in ((">", b"out"), ("2", b"err")) if sign not in redirected], b""
    while not all(word in screen for word in wanted):
        screen += os.read(master, 1024)
    while not (root / "ready").exists():
        assert child.poll() is None
    theirs = f"{os.major(terminal):x}:{os.minor(terminal):x}"
    found = dict(line.split() for line in (root / "said").read_text().splitlines())
    assert theirs not in found.values()
    for pid in (pod.pid(), *_children(pod.pid())):
        assert terminal not in set(_devices(pid)), pid
    (root / "ready").unlink()
    assert child.wait(10) == 0
    os.close(master)
    if ">" in redirected:
        assert (tmp_path / "out").read_text().endswith("out\n")
    if "2" in redirected:
        assert (tmp_path / "err").read_text() == "err\n"


def _children(pid: int) -> list[int]:
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _devices(pid: int) -> list[int]:
    """The devices among the open files of a process."""
    found = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            state = fd.stat()
            if stat.S_ISCHR(state.st_mode):
                found.append(state.st_rdev)
    return found
