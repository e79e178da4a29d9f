# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Isolation of a run from the machine's mounts, links, nftables and podman.

The program runs itself again in new mount, network and PID namespaces. When it ends, so does every process in them;
then the control groups and the directory are removed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

_INSIDE = "PODS_BENCH_DIR"
_FILESYSTEM_BYTES = 16 << 30  # sparse: only written blocks take space
_CGROUPS = pathlib.Path("/sys/fs/cgroup")


def leave_interpreter_alone() -> None:
    """Go on in a copy of the interpreter: pods that shared its pages with this process would seem to take less."""
    if os.readlink("/proc/self/exe").startswith("/memfd:"):
        return
    copy = os.memfd_create("python")
    with open(sys.executable, "rb") as source, open(copy, "wb", closefd=False) as target:
        shutil.copyfileobj(source, target)
    os.execve(copy, [sys.executable, *sys.argv], os.environ)


def work_dir() -> pathlib.Path | None:
    """The directory of this run; None outside of the namespaces."""
    found = os.environ.get(_INSIDE)
    return pathlib.Path(found) if found else None


def group_of(work: pathlib.Path) -> str:
    """The control group for peers, below the root of every hierarchy."""
    return f"/{work.name}"


def run_inside(argv: Sequence[str]) -> int:
    """Run this program again in its own namespaces; returns its exit status."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="pods-bench-"))
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*unshare, "--propagation", "private", sys.executable, *argv]
    try:
        return subprocess.run(command, check=False, env={**os.environ, _INSIDE: str(work)}).returncode
    except KeyboardInterrupt:
        return 130
    finally:
        _remove_groups(work)
        shutil.rmtree(work)


def enter(work: pathlib.Path) -> None:
    """Become the only child of the first process, in a system with its own state in the directory."""
    _reap_for_a_child()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for path in ("/run", "/dev/shm"):
        subprocess.run(["mount", "-t", "tmpfs", "bench", path], check=True)
    for path in ("/etc", "/var/lib"):
        upper, scratch = (work / f"{path[1:].replace('/', '-')}.{kind}" for kind in ("upper", "work"))
        upper.mkdir()
        scratch.mkdir()
        options = f"lowerdir={path},upperdir={upper},workdir={scratch}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "bench", path], check=True)
    os.environ["TMPDIR"] = str(work / "tmp")
    (work / "tmp").mkdir()


@contextlib.contextmanager
def fresh_filesystem(work: pathlib.Path) -> Iterator[pathlib.Path]:
    """Mount a new ext4 in a file, bypassing the page cache of the outer file system where it can."""
    image, top = work / "fresh.ext4", work / "fresh"
    with image.open("wb") as file:
        file.truncate(_FILESYSTEM_BYTES)
    top.mkdir()
    subprocess.run(
        ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)], check=True
    )
    argv = ["losetup", "--find", "--show", "--direct-io=on", str(image)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        subprocess.run(["mount", device, top], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)  # once it is unmounted
    try:
        yield top
    finally:
        subprocess.run(["umount", "--lazy", top], check=True)
        image.unlink()


def _reap_for_a_child() -> None:
    """Fork a child that does the work, while the first process of the PID namespace only reaps."""
    child = os.fork()
    if child == 0:
        return
    while True:
        try:
            pid, status = os.wait()
        except KeyboardInterrupt:
            continue
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _remove_groups(work: pathlib.Path) -> None:
    """Remove the groups of peers, and the leftovers of pods of this run."""
    uuids = {path.name.replace("-", "\\x2d") for path in work.glob("*/pods/*/*-*-*-*-*")}
    for path, folders, _files in os.walk(_CGROUPS):
        for name in folders:
            if name == work.name or any(uuid in name for uuid in uuids):
                _remove(pathlib.Path(path, name))


def _remove(top: pathlib.Path) -> None:
    for path, _folders, _files in os.walk(top, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(path)
