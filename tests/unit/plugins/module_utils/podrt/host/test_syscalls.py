# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The wrappers around system calls; those that change this process run in a child."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys
import traceback
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.tests.unit.test_layout import RUNTIME


def in_child(work: Callable[[], None]) -> None:
    """Run work in a child process, and fail if it fails."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def privately() -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)


def test_an_error_names_what_it_was_about() -> None:
    with pytest.raises(FileNotFoundError) as found:
        syscalls.openat2(syscalls.AT_FDCWD, "/nosuch/file", os.O_RDONLY, 0)
    assert (found.value.errno, found.value.filename) == (errno.ENOENT, "/nosuch/file")
    with pytest.raises(OSError, match="Bad file descriptor"):
        syscalls.setns(-1, 0)


@pytest.mark.parametrize("path", ["/link", "/up", "link", "/../../../file"])
def test_a_root_holds_whatever_links_say(tmp_path: pathlib.Path, path: str) -> None:
    (tmp_path / "file").write_text("inside")
    (tmp_path / "link").symlink_to("/file")
    (tmp_path / "up").symlink_to("../../../../../file")
    root = os.open(tmp_path, os.O_PATH)
    fd = syscalls.openat2(root, path, os.O_RDONLY, syscalls.RESOLVE_IN_ROOT)
    assert os.read(fd, 10) == b"inside"
    os.close(fd)
    os.close(root)


def test_a_path_is_opened_while_others_make_mount_namespaces(tmp_path: pathlib.Path) -> None:
    """Each mount that is copied disturbs a resolution of "..", and a thousand do so for hundreds of tries."""

    def work() -> None:
        privately()
        for _mount in range(1000):
            syscalls.mount(str(tmp_path), str(tmp_path), "", syscalls.MS_BIND)
        disturber = os.fork()
        if not disturber:
            while True:
                syscalls.unshare(syscalls.CLONE_NEWNS)
        try:
            root = os.open("/", os.O_PATH)
            for _time in range(10_000):
                os.close(syscalls.openat2(root, "../" * 30 + "proc", os.O_PATH, syscalls.RESOLVE_IN_ROOT))
        finally:
            os.kill(disturber, 9)
            os.waitpid(disturber, 0)

    in_child(work)


def test_a_counter_counts() -> None:
    fd = syscalls.eventfd(3, os.O_CLOEXEC | os.O_NONBLOCK)
    assert int.from_bytes(os.read(fd, 8), sys.byteorder) == 3
    with pytest.raises(BlockingIOError):
        os.read(fd, 8)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_descriptors_are_closed_by_range() -> None:
    def work() -> None:
        os.dup2(0, 200)
        syscalls.close_range(200, 201)
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(200)
        os.dup2(0, 200, inheritable=True)
        syscalls.close_range(200, (1 << 32) - 1, syscalls.CLOSE_RANGE_CLOEXEC)
        assert not os.get_inheritable(200)

    in_child(work)


@pytest.mark.root
def test_namespaces_are_left_and_joined() -> None:
    def work() -> None:
        before = os.readlink("/proc/self/ns/net")
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        syscalls.unshare(syscalls.CLONE_NEWNET)
        assert os.readlink("/proc/self/ns/net") != before
        syscalls.setns(own, syscalls.CLONE_NEWNET)
        assert os.readlink("/proc/self/ns/net") == before

    in_child(work)


@pytest.mark.root
def test_mounts_are_copied_sealed_and_moved(tmp_path: pathlib.Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    target.mkdir()

    def work() -> None:
        privately()
        syscalls.mount("lab", str(source / "sub"), "tmpfs", syscalls.MS_NOSUID, "mode=700")
        flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC | syscalls.AT_RECURSIVE
        tree = syscalls.open_tree(syscalls.AT_FDCWD, str(source), flags)
        syscalls.mount_setattr(tree, syscalls.AT_RECURSIVE, syscalls.MOUNT_ATTR_RDONLY)
        syscalls.move_mount(tree, syscalls.AT_FDCWD, str(target))
        for place in (target, target / "sub"):
            with pytest.raises(OSError, match="Read-only"):
                (place / "x").touch()
        (source / "sub" / "x").touch()
        assert (target / "sub" / "x").exists()
        syscalls.umount(str(target), syscalls.MNT_DETACH)
        assert os.listdir(target) == []

    in_child(work)


@pytest.mark.root
def test_the_root_can_be_exchanged(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mark").touch()

    def work() -> None:
        privately()
        syscalls.mount(str(tmp_path), str(tmp_path), "", syscalls.MS_BIND)
        os.chdir(tmp_path)
        syscalls.pivot_root(".", ".")
        syscalls.umount(".", syscalls.MNT_DETACH)
        assert os.listdir("/") == ["mark"]

    in_child(work)


@pytest.mark.root
def test_capabilities_are_set() -> None:
    def work() -> None:
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, 12)
        assert syscalls.prctl(syscalls.PR_CAPBSET_READ, 12) == 0
        syscalls.capset(0b1, 0b11, 0)
        text = pathlib.Path("/proc/self/status").read_text()
        assert "CapPrm:\t0000000000000003" in text
        assert "CapEff:\t0000000000000001" in text
        with pytest.raises(PermissionError):
            syscalls.capset(0b111, 0b111, 0)

    in_child(work)


def test_a_filter_is_loaded() -> None:
    allow = bytes.fromhex("06000000" + "0000ff7f")  # BPF_RET, SECCOMP_RET_ALLOW

    def work() -> None:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.load_seccomp(allow)
        assert "Seccomp:\t2" in pathlib.Path("/proc/self/status").read_text()
        with pytest.raises(OSError, match="Invalid argument"):
            syscalls.load_seccomp(b"")

    in_child(work)


def test_memory_that_is_kept_is_not_cleared_again():
    """In a process of its own: it stays so."""
    code = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from podrt.host import syscalls
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _round in range(50):
        one, other = bytearray(b"x") * (1 << 20), bytearray(b"x") * (1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
syscalls.keep_memory(16 << 20)
faults()
print(faults())
"""
    argv = [sys.executable, "-I", "-S", "-c", code, str(RUNTIME.parent)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100
