# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Device policies, in the spelling of v1 and as a program, which is interpreted here."""

from __future__ import annotations

import os
import struct

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.devices import (
    DeviceRule,
    apply_devices,
    device_rules,
    pod_device_rules,
    program_of,
)

BLOCK, CHAR = 1, 2
MKNOD, READ, WRITE = 1, 2, 4
RULES = device_rules((("c", True, os.makedev(10, 229)), ("b", False, os.makedev(8, 1))))


@pytest.mark.behaviour("C28", "C35")
def test_devices_are_the_built_in_ones_and_those_of_volumes() -> None:
    spelled = [str(rule) for rule in RULES]
    assert {"c 1:3 rwm", "c 5:0 rwm", "c 5:2 rw", "c 136:* rw"} <= set(spelled)
    assert spelled[-2:] == ["c 10:229 r", "b 8:1 rw"]


def ran(program: bytes, access: int, kind: int, major: int, minor: int) -> int:
    """The result of a program, by an interpreter of the few instructions that programs have."""
    context = {0: access << 16 | kind, 4: major, 8: minor}
    code = [struct.unpack_from("=BBhi", program, at) for at in range(0, len(program), 8)]
    held, at = {1: 0}, 0
    while True:
        opcode, registers, offset, immediate = code[at]
        target, source = registers & 15, registers >> 4
        at += 1
        if opcode == 0x95:
            return held[0]
        if opcode == 0x61:
            held[target] = context[offset]
        elif opcode in (0x54, 0x74):
            held[target] = held[target] & immediate if opcode == 0x54 else held[target] >> immediate
        elif opcode in (0xBC, 0xB7):
            held[target] = held[source] if opcode == 0xBC else immediate
        elif held[target] != (immediate if opcode == 0x55 else held[source]):
            at += offset


@pytest.mark.behaviour("C28", "C35")
@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ((READ, CHAR, 1, 3), 1),
        ((READ | WRITE, CHAR, 1, 3), 1),
        ((MKNOD, CHAR, 1, 3), 1),
        ((READ, BLOCK, 1, 3), 0),
        ((READ, CHAR, 1, 1), 0),
        ((WRITE, CHAR, 5, 2), 1),
        ((MKNOD, CHAR, 5, 2), 0),
        ((READ | WRITE, CHAR, 136, 77), 1),
        ((MKNOD, CHAR, 136, 77), 0),
        ((READ, CHAR, 10, 229), 1),
        ((READ | WRITE, CHAR, 10, 229), 0),
        ((READ | WRITE, BLOCK, 8, 1), 1),
        ((READ, BLOCK, 8, 0), 0),
        ((MKNOD, CHAR, 10, 237), 0),
    ],
)
def test_a_program_allows_what_a_rule_says_and_no_more(asked: tuple[int, int, int, int], answer: int) -> None:
    assert ran(program_of(RULES), *asked) == answer


@pytest.mark.behaviour("C35")
def test_a_pod_may_use_what_its_apps_may_and_make_the_node_of_a_tunnel() -> None:
    plain, more = device_rules(()), RULES
    program = program_of(pod_device_rules((plain, more), makes_nodes=False))
    assert ran(program, READ | WRITE, BLOCK, 8, 1) == 1
    assert ran(program, MKNOD, CHAR, 10, 200) == 1
    assert ran(program, READ, CHAR, 10, 200) == 0
    assert ran(program, READ, BLOCK, 8, 0) == 0
    assert pod_device_rules((plain, ()), makes_nodes=False) == (), (
        "an app without a policy needs a pod without one"
    )


def test_without_rules_nothing_is_allowed() -> None:
    assert ran(program_of(()), READ, CHAR, 1, 3) == 0


@pytest.mark.root
def test_the_kernel_takes_the_program() -> None:
    os.close(syscalls.bpf_load_device(program_of(RULES)))


def test_without_groups_there_is_no_policy() -> None:
    assert not apply_devices((), "app", (DeviceRule("c", 1, 3, "r"),))
