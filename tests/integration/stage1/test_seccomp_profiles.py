# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Docker's JSON of system call filters, as the kernel applies it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp import sets
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp.filters import CHECKED
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import StageLab, python

NATIVE = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}]


def with_profile(profile: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    value = {"file": "/srv/profile.json", "profile": profile}
    return {"isolators": [{"name": "os/linux/seccomp-profile", "value": value}, *others]}


def refusing(*names: str, **more: Any) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_ERRNO", **more}],
    }


@pytest.mark.behaviour("C43", "C50")
def test_a_call_fails_with_the_error_of_its_rule(stage: StageLab) -> None:
    made = with_profile(refusing("mkdir", "mkdirat", errnoRet=95))
    done = stage.run("exec 2>&1; mkdir /x; grep Seccomp: /proc/self/status", **made)
    assert done.lines == ["mkdir: can't create directory '/x': Operation not supported", "Seccomp:\t2"]


def test_a_rule_is_about_arguments(stage: StageLab) -> None:
    """kill(2) with signal 0 alone is refused."""
    zero = [{"index": 1, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]
    done = stage.run(
        "kill -0 $$ 2>/dev/null && echo probed || echo refused; kill -18 $$ && echo sent",
        **with_profile(refusing("kill", args=zero)),
    )
    assert done.lines == ["refused", "sent"], done.err


@pytest.mark.parametrize(("names", "made"), [(["CAP_KILL", "CAP_SETUID", "CAP_SETGID"], True), (None, False)])
def test_a_rule_depends_on_the_capabilities_of_the_app(
    stage: StageLab, names: list[str] | None, made: bool
) -> None:
    profile = refusing("mkdir", "mkdirat", excludes={"caps": [] if names is None else ["CAP_KILL"]})
    sets_of = [{"name": "os/linux/capabilities-retain-set", "value": {"set": names}}] if names else []
    done = stage.run("mkdir /tmp/x 2>/dev/null && echo made", **with_profile(profile, *sets_of))
    assert (done.lines == ["made"]) is made, done.err


def test_a_profile_that_allows_calls_one_by_one_runs_a_program(stage: StageLab) -> None:
    """As docker's default does; an unknown call of another kernel is skipped."""
    names = [*sets.DOCKER_WHITELIST, *sets.NEWER, "no_such_call"]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": NATIVE,
        "syscalls": [{"names": [name for name in names if name != "mkdir"], "action": "SCMP_ACT_ALLOW"}],
    }
    done = stage.run("mkdir /tmp/x 2>/dev/null || echo refused; echo ran", **with_profile(profile))
    assert (done.status, done.lines) == (0, ["refused", "ran"]), done.err


def test_a_program_starts_under_a_profile_that_forgets_what_it_needs(stage: StageLab) -> None:
    """execve and exit are always allowed; the rest of what a shell calls is not."""
    done = stage.run("true", **with_profile({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": []}))
    assert done.status == 31, done.err


@pytest.mark.parametrize(
    ("action", "status"), [("SCMP_ACT_KILL_PROCESS", 159), ("SCMP_ACT_TRAP", 159), ("SCMP_ACT_LOG", 0)]
)
def test_every_action_is_the_kernels(stage: StageLab, action: str, status: int) -> None:
    profile = refusing("mkdir", "mkdirat")
    profile["syscalls"][0]["action"] = action
    done = stage.run("mkdir /tmp/x 2>/dev/null; echo ended with $?", **with_profile(profile))
    assert f"ended with {status}" in done.lines, done.err


def test_a_profile_beside_a_set_is_refused(stage: StageLab) -> None:
    other = {"name": "os/linux/seccomp-remove-set", "value": {"set": ["mkdir"]}}
    with pytest.raises(InvalidSpec, match="both as a set and as a profile"):
        stage.run("true", **with_profile(refusing("mkdir"), other))


# Each call in a process of its own: its number, and whether the filter has refused it.
CALLING = """
import ctypes, errno, os, signal
libc = ctypes.CDLL(None, use_errno=True)
for number in {numbers}:
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        answer = libc.syscall(number, *[ctypes.c_long(-1)] * 6)
        os._exit(answer == -1 and ctypes.get_errno() == errno.EDOTDOT)
    if os.waitpid(pid, 0)[1] == 1 << 8:
        print(number)
"""
# They do not return, or not twice.
LAST = 500  # of the calls that a machine has had for long
ENDLESS = {"exit", "exit_group", "rt_sigreturn", "pause", "fork", "vfork", "clone", "sync"}


def number_of(name: str) -> int:
    """The number of a call on this machine, negative if it has none."""
    number: int = pytest.importorskip("pyseccomp").resolve_syscall(
        pytest.importorskip("pyseccomp").Arch.NATIVE, name
    )
    return number


def refused(stage: StageLab, kind: str, names: list[str], numbers: set[int]) -> set[int]:
    """Which of the calls fail by the filter, with an error that no call has by itself."""
    wanted = {"name": f"os/linux/seccomp-{kind}-set", "value": {"set": names, "errno": "EDOTDOT"}}
    app = {**python(CALLING.format(numbers=sorted(numbers))), "isolators": [wanted]}
    volumes = app.pop("volumes")
    stage.link_libraries()
    done = stage.pod({"main": app}, volumes=volumes).call()
    assert done.status == 0, done.err
    return {int(line) for line in done.lines}


@pytest.mark.behaviour("C51", "C49", "C50")
@pytest.mark.parametrize("name", ["@docker/default-blacklist", "@rkt/default-blacklist"])
def test_the_kernel_refuses_each_call_of_the_blacklist(stage: StageLab, name: str) -> None:
    listed = {number_of(call) for call in sets.DOCKER_BLACKLIST if number_of(call) >= 0}
    others = {number_of(call) for call in ("getpid", "statx", "mkdirat", "syslog", "socket", "sethostname")}
    assert len(sets.DOCKER_BLACKLIST) == 50 and len(listed) > 45
    assert refused(stage, "remove", [name], listed | others) == listed


@pytest.mark.behaviour("C52", "C49", "C50")
@pytest.mark.parametrize("name", ["@docker/default-whitelist", "@rkt/default-whitelist"])
def test_the_kernel_refuses_each_call_that_is_not_on_the_whitelist(stage: StageLab, name: str) -> None:
    allowed = {*sets.DOCKER_WHITELIST, *sets.NEWER} - {"syslog", *ENDLESS, *CHECKED}
    numbers = {number_of(call) for call in allowed if 0 <= number_of(call) < LAST}
    away = {
        *("mount", "umount2", "bpf", "keyctl", "add_key", "io_uring_setup", "userfaultfd", "setns", "syslog")
    }
    away |= {"perf_event_open", "reboot", "kexec_load", "init_module", "ptrace", "swapon", "unshare"}
    not_allowed = {number_of(call) for call in away}
    found = refused(stage, "retain", [name], numbers | not_allowed)
    assert found & numbers == set()
    assert found == not_allowed
