# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Docker's JSON of filters to rules."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp.profiles import (
    Circumstances,
    RuleSet,
    rules_of,
)

HERE = Circumstances(frozenset({"CAP_KILL", "CAP_SYS_ADMIN"}), "amd64", (6, 1))
RULE = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}


def profile(**more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", **more}


def rule(**more: Any) -> RuleSet:
    return rules_of(profile(syscalls=[{**RULE, **more}]), HERE)


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ({"action": "SCMP_ACT_ALLOW"}, "allow"),
        ({"action": "SCMP_ACT_ERRNO"}, "errno:1"),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 38}, "errno:38"),
        ({"action": "SCMP_ACT_ERRNO", "errno": "ENOSYS"}, "errno:38"),
        ({"action": "SCMP_ACT_TRACE", "errnoRet": 7}, "trace:7"),
        ({"action": "SCMP_ACT_KILL"}, "kill-thread"),
        ({"action": "SCMP_ACT_KILL_THREAD"}, "kill-thread"),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, "kill"),
        ({"action": "SCMP_ACT_TRAP"}, "trap"),
        ({"action": "SCMP_ACT_LOG"}, "log"),
    ],
)
def test_actions_are_ours(said: dict[str, Any], action: str) -> None:
    assert rule(**said).rules == ((action, "mount", ()),)


@pytest.mark.parametrize(
    ("said", "applies"),
    [
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_BPF"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["s390x"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "6.2"}}, True),
        ({"includes": {}, "excludes": {}, "comment": ""}, True),
    ],
)
def test_a_rule_applies_to_what_it_includes(said: dict[str, Any], applies: bool) -> None:
    assert bool(rule(**said).rules) is applies


def test_images_name_an_architecture_otherwise() -> None:
    arm = HERE.replace(arch="aarch64")
    held = profile(syscalls=[{**RULE, "includes": {"arches": ["arm64"]}}])
    assert rules_of(held, arm).rules


def argument(index: int, value: int, op: str = "SCMP_CMP_EQ", **more: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": op, **more}


def test_conditions_about_one_argument_are_alternatives() -> None:
    both = [argument(0, 8), argument(1, 2, "SCMP_CMP_MASKED_EQ", valueTwo=3)]
    assert rule(args=both).rules == (("allow", "mount", ((0, "EQ", 8, 0), (1, "MASKED_EQ", 2, 3))),)
    one = rule(args=[argument(0, 8), argument(0, 9)]).rules
    assert one == (("allow", "mount", ((0, "EQ", 8, 0),)), ("allow", "mount", ((0, "EQ", 9, 0),)))


def test_the_architectures_beside_the_machines_own() -> None:
    sub = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
    other = {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}
    assert rules_of(profile(archMap=[sub, other]), HERE).arches == ("X86", "X32")
    listed = profile(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
    assert rules_of(listed, HERE).arches == ("X86",)


@pytest.mark.parametrize(
    ("held", "where", "said"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "defaultAction", "no process that would answer"),
        ({"defaultAction": "ALLOW"}, "defaultAction", "is not supported"),
        (profile(flags=["SECCOMP_FILTER_FLAG_LOG"]), "flags", "is not supported"),
        (profile(listenerPath="/run/x"), "listenerPath", "is not supported"),
        (profile(defaultErrnoRet=5000), "defaultErrnoRet", "out of range"),
        (profile(syscalls=[{**RULE, "args": [argument(6, 1)]}]), "syscalls[0].args[0].index", "range"),
        (profile(syscalls=[{**RULE, "args": [argument(0, -1)]}]), "syscalls[0].args[0].value", "range"),
        (profile(syscalls=[{**RULE, "args": [argument(0, 1, "EQ")]}]), "syscalls[0].args[0].op", "operator"),
        (profile(syscalls=[{**RULE, "includes": {"minKernel": "new"}}]), "syscalls[0].includes", "version"),
        (profile(architectures=["SCMP_ARCH_ARM"]), "architectures", "not for this machine"),
        (profile(syscalls=[{**RULE, "names": ["x"] * 20_001}]), "", "too long"),
        ([], "", "object"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(held: Any, where: str, said: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        rules_of(held, HERE)
    assert said in caught.value.message
    assert str(caught.value.facts.get("where") or "").startswith(where)
