# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""From isolators to seccomp profiles, and to programs that the kernel takes."""

from __future__ import annotations

import errno
import os
import pathlib
import sys
from typing import TYPE_CHECKING

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    NoNewPrivileges,
    Seccomp,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, Unsupported
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import seccomp_sets
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.filters import (
    Profile,
    compile_filter,
    needs_no_new_privs,
    profile_of,
)

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import Isolator


def app(*isolators: Isolator) -> App:
    return App(("/run",), "0", "0", isolators=isolators)


def profile(*isolators: Isolator, arch: str = "amd64") -> Profile:
    found = profile_of(app(*isolators), arch)
    assert found
    return found


@pytest.mark.behaviour("C49", "C52")
@pytest.mark.parametrize("isolators", [(), (Seccomp("remove", ("@appc.io/empty",)),)], ids=["none", "empty"])
def test_the_default_allows_what_rkt_did_and_a_libc_of_today_needs(isolators: tuple[Isolator, ...]) -> None:
    found = profile(*isolators)
    assert (found.default, found.action, found.checked) == ("EPERM", "allow", True)
    assert {"read", "execve", "socket", "openat2", "statx", "rseq", "clock_gettime64"} <= set(found.names)
    assert set(found.names).isdisjoint(
        {"mount", "umount2", "bpf", "keyctl", "io_uring_setup", "userfaultfd", "setns"}
    )


@pytest.mark.behaviour("C49")
def test_everything_can_be_allowed() -> None:
    assert profile_of(app(Seccomp("retain", ("@appc.io/all", "read"))), "amd64") is None


@pytest.mark.behaviour("C49", "C50")
def test_a_retain_set_is_a_whitelist_that_kills() -> None:
    found = profile(Seccomp("retain", ("read",)))
    assert (found.default, found.action) == ("kill", "allow")
    assert {"read", "execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn"} <= set(
        found.names
    )


@pytest.mark.behaviour("C50", "C51")
def test_a_remove_set_is_a_blacklist_with_an_errno() -> None:
    found = profile(Seccomp("remove", ("@docker/default-blacklist",), "ENOTSUP"))
    assert (found.default, found.action) == ("allow", "ENOTSUP")
    assert set(found.names) == set(seccomp_sets.DOCKER_BLACKLIST)
    assert {"mount", "ptrace", "unshare", "vm86old"} <= set(found.names)


@pytest.mark.behaviour("C49")
def test_wildcards_are_expanded_and_unknown_ones_dropped() -> None:
    names = ("@systemd/clock", "@rkt/default-blacklist", "@unknown/thing", "@systemd/nothing", "sync")
    found = profile(Seccomp("remove", names))
    assert {"clock_settime", "mount", "sync"} <= set(found.names)
    assert not [name for name in found.names if name.startswith("@")]


@pytest.mark.behaviour("C49", "C50")
def test_two_isolators_and_an_unknown_errno_are_errors() -> None:
    with pytest.raises(InvalidSpec, match="at most one"):
        profile_of(app(Seccomp("remove", ("a",)), Seccomp("remove", ("b",))), "amd64")
    with pytest.raises(InvalidSpec, match="EMADEUP"):
        profile_of(app(Seccomp("remove", ("a",), "EMADEUP")), "amd64")


@pytest.mark.behaviour("C53")
def test_no_new_privileges_holds_if_any_isolator_says_so() -> None:
    assert needs_no_new_privs(app(NoNewPrivileges(False), NoNewPrivileges(True)))
    assert not needs_no_new_privs(app(NoNewPrivileges(False)))


def compiled(tmp_path: pathlib.Path, *isolators: Isolator, insecure: bool = False) -> bytes | None:
    pytest.importorskip("pyseccomp")
    return compile_filter(Paths(data=str(tmp_path)), app(*isolators), insecure=insecure, arch="amd64")


def under(program: bytes, code: str) -> int:
    """The exit code of a piece of Python, or minus the signal, under a filter."""
    pid = os.fork()
    if not pid:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        syscalls.load_seccomp(program)
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code])
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")


@X86
@pytest.mark.behaviour("C49", "C52")
@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("435, 0, 0", errno.ENOSYS),  # clone3
        ("56, 0x10000000, 0, 0, 0, 0", errno.EPERM),  # clone of a user namespace
        ("135, 0x20", errno.EPERM),  # personality that is not known
        ("135, 0xffffffff", 0),
        ("425, 1, 0", errno.EPERM),  # io_uring_setup
        ("165, 0, 0, 0, 0, 0", errno.EPERM),  # mount
        ("424, -1, 0, 0, 0", errno.EBADF),  # pidfd_send_signal
    ],
    ids=["clone3", "clone", "persona", "query persona", "io_uring", "mount", "pidfd"],
)
def test_the_default_filter_answers(tmp_path: pathlib.Path, call: str, answer: int) -> None:
    program = compiled(tmp_path)
    assert program
    code = f"""import ctypes
libc = ctypes.CDLL(None, use_errno=True)
raise SystemExit(ctypes.get_errno() if libc.syscall(*(ctypes.c_long(n) for n in ({call},))) == -1 else 0)"""
    assert under(program, code) == answer


@X86
@pytest.mark.behaviour("C50")
def test_a_blacklist_kills_and_a_whitelist_lets_through(tmp_path: pathlib.Path) -> None:
    killing = compiled(tmp_path, Seccomp("remove", ("getcwd",)))
    assert killing
    assert under(killing, "import os; os.getcwd()") == -31
    failing = compiled(tmp_path, Seccomp("remove", ("getcwd",), "ENOTSUP"))
    assert failing
    assert (
        under(failing, "import os\ntry: os.getcwd()\nexcept OSError as e: raise SystemExit(e.errno)")
        == errno.ENOTSUP
    )


def test_programs_are_kept_by_what_they_are_made_from(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled(tmp_path)
    other = compiled(tmp_path, Seccomp("remove", ("getcwd",)))
    assert first != other
    assert len(os.listdir(Paths(data=str(tmp_path)).filters)) == 2
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    assert compile_filter(Paths(data=str(tmp_path)), app(), insecure=False, arch="amd64") == first
    assert compile_filter(Paths(data=str(tmp_path)), app(), insecure=True, arch="amd64") is None
    with pytest.raises(Unsupported, match="seccomp"):
        compile_filter(
            Paths(data=str(tmp_path)), app(Seccomp("remove", ("sync",))), insecure=False, arch="amd64"
        )
