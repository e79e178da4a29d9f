# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""From isolators to seccomp profiles, and to programs that the kernel accepts."""

from __future__ import annotations

import errno
import os
import pathlib
import sys
from typing import TYPE_CHECKING

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import (
    Seccomp,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, Unsupported
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp import sets as seccomp_sets
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp.filters import (
    CHECKED,
    Profile,
    compile_filter,
    profile_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp.socket_guard import (
    REFUSED_FAMILIES,
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
    assert (found.default, found.action, found.checked) == ("EPERM", "allow", CHECKED)
    assert {"read", "execve", "bind", "openat2", "statx", "rseq", "clock_gettime64"} <= set(found.names)
    assert set(found.names).isdisjoint(
        {"mount", "umount2", "bpf", "keyctl", "io_uring_setup", "userfaultfd", "setns", "syslog", *CHECKED}
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


@pytest.mark.finding("rkt-R5")
@pytest.mark.behaviour("C52")
@pytest.mark.parametrize("item", ["@docker/default-whitelist", "@rkt/default-whitelist"])
def test_a_set_allows_harmless_arguments_and_a_call_by_name_all(item: str) -> None:
    assert profile(Seccomp("retain", (item,))).checked == CHECKED
    named = profile(Seccomp("retain", (item, "clone", "socket")))
    assert set(CHECKED) - set(named.checked) == {"clone", "socket"}
    assert {"clone", "socket"} <= set(named.names)
    assert profile(Seccomp("retain", ("@pods/clone", "read"))).checked == ("clone",)
    assert "clone" in profile(Seccomp("remove", (item,))).names


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
@pytest.mark.finding("attack-F7")
@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("435, 0, 0", errno.ENOSYS),  # clone3
        ("56, 0x10000000, 0, 0, 0, 0", errno.EPERM),  # clone of a user namespace
        ("135, 0x20", errno.EPERM),  # an unknown personality
        ("135, 0xffffffff", 0),
        ("425, 1, 0", errno.EPERM),  # io_uring_setup
        ("165, 0, 0, 0, 0, 0", errno.EPERM),  # mount
        ("424, -1, 0, 0, 0", errno.EBADF),  # pidfd_send_signal
        ("302, 1, 7, 1, 0", errno.EPERM),  # prlimit64 of another process, from nowhere
        ("302, 0x700000001, 7, 1, 0", errno.EPERM),
        ("302, 0, 7, 1, 0", errno.EFAULT),  # of itself
        ("302, 1, 7, 0, 0", 0),  # only a query
    ],
    ids=str,
)
def test_the_default_filter_answers(tmp_path: pathlib.Path, call: str, answer: int) -> None:
    program = compiled(tmp_path)
    assert program
    code = f"""import ctypes
libc = ctypes.CDLL(None, use_errno=True)
raise SystemExit(ctypes.get_errno() if libc.syscall(*(ctypes.c_long(n) for n in ({call},))) == -1 else 0)"""
    assert under(program, code) == answer


# How a program calls the kernel: natively, as x32, with garbage above an int, and as i386 does, both ways.
CALLS = """import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, 8192, 7, 0x62, -1, 0)
ctypes.memmove(page, bytes.fromhex("5389f889f389d131d2cd805bc3"), 13)
i386 = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_uint)(page)
def native(*numbers):
    return -ctypes.get_errno() if libc.syscall(*(ctypes.c_long(n) for n in numbers)) == -1 else 0
def pointed(call, family):
    (ctypes.c_int * 4).from_address(page + 4096)[:] = [family, 1, 0, 0]
    return i386(102, call, page + 4096)
"""


def answer_of(program: bytes, call: str) -> int:
    """The result of a call under a filter, as an errno; 0 for one that succeeds."""
    return under(program, f"{CALLS}answer = {call}\nraise SystemExit(max(-answer, 0))")


@X86
@pytest.mark.finding("attack-F8")
@pytest.mark.parametrize(
    "call",
    [
        "native(41, {0}, 1, 0)",
        "native(41, 0x7700000000 + {0}, 1, 0)",
        "native(53, {0}, 1, 0, page)",
        "native(41 | 0x40000000, {0}, 1, 0)",
        "i386(359, {0}, 1)",
        "i386(360, {0}, 1)",
        "pointed(1, {0})",
        "pointed(8, {0})",
    ],
)
def test_no_socket_leads_around_the_network_namespace(tmp_path: pathlib.Path, call: str) -> None:
    program = compiled(tmp_path)
    assert program
    each = ", ".join(call.format(family) for family in (*REFUSED_FAMILIES, 46, 0x1234))
    assert under(program, f"{CALLS}raise SystemExit(set([{each}]) != {{-{errno.EPERM}}})") == 0
    assert {38, 40} < set(REFUSED_FAMILIES)


@X86
@pytest.mark.finding("attack-F8")
@pytest.mark.parametrize("family", [1, 2, 10, 16])
def test_ordinary_sockets_can_be_made(tmp_path: pathlib.Path, family: int) -> None:
    program = compiled(tmp_path)
    assert program
    assert answer_of(program, f"native(41, {family}, 2, 0)") == 0
    assert answer_of(program, f"i386(359, {family}, 2)") == 0
    assert answer_of(program, "native(53, 1, 1, 0, page)") == 0


@X86
@pytest.mark.finding("attack4-F5")
@pytest.mark.parametrize("number", ["41", "41 | 0x40000000"])
def test_an_app_has_no_way_into_the_audit_log_and_is_told_that_there_is_none(
    tmp_path: pathlib.Path, number: str
) -> None:
    program = compiled(tmp_path)
    assert program
    for kind, protocol in (("2", "9"), ("0x80803", "0x7700000009")):
        assert answer_of(program, f"native({number}, 16, {kind}, {protocol})") == errno.EPROTONOSUPPORT
    assert answer_of(program, "native(41, 16, 3, 15)") == 0, "uevents, and what else has a number beside it"
    assert answer_of(program, "native(41, 2, 2, 9)") not in (0, errno.EPERM), "no protocol of IPv4 is meant"


@X86
@pytest.mark.finding("attack-F8", "rkt-R5")
def test_what_is_named_by_itself_is_not_looked_at(tmp_path: pathlib.Path) -> None:
    retained = compiled(tmp_path, Seccomp("retain", ("@docker/default-whitelist",), "ENOTSUP"))
    assert retained
    assert answer_of(retained, "native(41, 40, 1, 0)") == errno.ENOTSUP
    assert answer_of(retained, "pointed(1, 2)") == errno.ENOTSUP
    named = compiled(tmp_path, Seccomp("retain", ("@docker/default-whitelist", "socketcall"), "ENOTSUP"))
    assert named
    assert answer_of(named, "native(41, 40, 1, 0)") == errno.ENOTSUP
    assert answer_of(named, "pointed(1, 2)") == 0
    everything = compiled(tmp_path, Seccomp("retain", ("@docker/default-whitelist", "socket"), "ENOTSUP"))
    assert everything
    assert answer_of(everything, "native(41, 40, 1, 0)") != errno.ENOTSUP


@X86
@pytest.mark.finding("rkt-R5")
@pytest.mark.parametrize("item", ["@docker/default-whitelist", "@rkt/default-whitelist"])
def test_a_program_under_the_whitelist_makes_threads_and_children(tmp_path: pathlib.Path, item: str) -> None:
    program = compiled(tmp_path, Seccomp("retain", (item,)))
    assert program
    thread = "import os, threading; t = threading.Thread(target=print); t.start(); t.join()"
    assert under(program, f"{thread}; os.waitpid(os.fork() or os._exit(0), 0)") == 0


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
    assert len([name for name in os.listdir(Paths(data=str(tmp_path)).filters) if name.endswith(".bpf")]) == 2
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    assert compile_filter(Paths(data=str(tmp_path)), app(), insecure=False, arch="amd64") == first
    assert compile_filter(Paths(data=str(tmp_path)), app(), insecure=True, arch="amd64") is None
    with pytest.raises(Unsupported, match="seccomp"):
        compile_filter(
            Paths(data=str(tmp_path)), app(Seccomp("remove", ("sync",))), insecure=False, arch="amd64"
        )


@pytest.mark.finding("attack-F10")
@pytest.mark.parametrize(
    "damage", [b"", b"junk", b"\x06\0\0\0\0\0\xff\x7f" * 9], ids=["empty", "cut", "allows all"]
)
@pytest.mark.parametrize("suffix", [".bpf", ".bpf.sha256"])
def test_a_kept_program_that_is_not_what_was_compiled_is_compiled_again(
    tmp_path: pathlib.Path, damage: bytes, suffix: str
) -> None:
    first = compiled(tmp_path)
    (kept,) = (
        path
        for path in pathlib.Path(Paths(data=str(tmp_path)).filters).iterdir()
        if path.name.endswith(suffix)
    )
    whole = kept.read_bytes()
    kept.write_bytes(damage)
    assert compiled(tmp_path) == first
    assert kept.read_bytes() == whole
    kept.unlink()
    assert compiled(tmp_path) == first
    assert kept.read_bytes() == whole
