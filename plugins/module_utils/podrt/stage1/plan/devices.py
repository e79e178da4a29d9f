# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that an app may use: lines of the v1 controller, or a BPF program on its v2 group.

Without it an app with CAP_MKNOD could read the host's disks. Source: behaviours C28, C35;
Documentation/admin-guide/cgroup-v1/devices.rst, linux/bpf.h (struct bpf_cgroup_dev_ctx).
"""

from __future__ import annotations

import os
import struct
import sys

from ...errors import HostFailure
from ...host import syscalls
from ...host.files import write_kernel
from ...value import Value
from .rootfs import DEVICES, TUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.cgroups import Group

_PTMX, _PTS_MAJOR = (5, 2), 136
_HINT = 'insecure option "paths" runs the app without a device policy'
# The context of a program: the requested access (access << 16 | type) and the device.
_ASKED_AT, _MAJOR_AT, _MINOR_AT = 0, 4, 8
_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_R0, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR = range(6)
_LOAD, _AND, _SHIFT, _COPY, _SET, _SKIP_UNLESS, _SKIP_UNLESS_REGISTER, _EXIT = (
    0x61,
    0x54,
    0x74,
    0xBC,
    0xB7,
    0x55,
    0x5D,
    0x95,
)


class DeviceRule(Value):
    """A permission for devices: kind b or c; minor None for all of the major; access of r, w, m (mknod)."""

    kind: str
    major: int
    minor: int | None
    access: str

    def __str__(self) -> str:
        return f"{self.kind} {self.major}:{'*' if self.minor is None else self.minor} {self.access}"


def device_rules(volumes: tuple[tuple[str, bool, int], ...]) -> tuple[DeviceRule, ...]:
    """The rules of an app: the built-in devices, terminals, and those of its volumes. Pure."""
    return (
        *(DeviceRule("c", major, minor, "rwm") for _name, major, minor in DEVICES),
        DeviceRule("c", *_PTMX, "rw"),
        DeviceRule("c", _PTS_MAJOR, None, "rw"),
        *(
            DeviceRule(kind, os.major(device), os.minor(device), "r" if read_only else "rw")
            for kind, read_only, device in volumes
        ),
    )


def pod_device_rules(
    apps: tuple[tuple[DeviceRule, ...], ...], *, makes_nodes: bool
) -> tuple[DeviceRule, ...]:
    """The rules of PID 1: all of its apps, and mknod for the nodes of their /dev. () for no policy. Pure.

    makes_nodes: whether it makes nodes for the devices of volumes too, see DeviceVolumeStep.
    """
    if not all(apps):
        return ()
    _name, major, minor = TUN
    rules = dict.fromkeys(rule for rules in apps for rule in rules)
    made = (rule.replace(access="m") for rule in rules if makes_nodes and rule.minor is not None)
    return (*rules, *made, DeviceRule("c", major, minor, "m"))


def exceeding(rules: tuple[DeviceRule, ...], allowed: tuple[str, ...] | None) -> str:
    """The first device among the rules of an app that its pod may not use, "" for none. Pure.

    allowed: the rules of the pod as text, None for all. A v1 group accepts no more once it has a child.
    """
    if allowed is None:
        return ""
    held: dict[str, set[str]] = {}
    for line in allowed:
        device, _space, access = line.rpartition(" ")
        held.setdefault(device, set()).update(access)
    for rule in rules:
        device, _space, access = str(rule).rpartition(" ")
        if not {*access} <= held.get(device, set()):
            return device
    return ""


def apply_devices(groups: tuple[Group, ...], leaf: str, rules: tuple[DeviceRule, ...]) -> bool:
    """Allow an app, or with "" the pod, these devices only. Returns whether any of the groups can.

    A v1 group accepts this only while it has no child. Raises HostFailure.
    """
    try:
        for group in groups:
            if group.hierarchy.version == 1 and "devices" in group.controllers:
                _apply_v1(group.leaf(leaf), rules)
                return True
        for group in groups:
            if group.hierarchy.version == 2:
                _apply_v2(group.leaf(leaf), rules)
                return True
    except OSError as err:
        whose = f'app "{leaf}"' if leaf else "the pod"
        raise HostFailure.of(f"cannot restrict the devices of {whose}", err, _HINT) from err
    return False


def program_of(rules: tuple[DeviceRule, ...]) -> bytes:
    """The BPF program that returns 1 for an access that a rule allows, else 0. Pure."""
    head = (
        _instruction(_LOAD, _TYPE, _CONTEXT, _ASKED_AT)
        + _instruction(_AND, _TYPE, immediate=0xFFFF)
        + _instruction(_LOAD, _WANTED, _CONTEXT, _ASKED_AT)
        + _instruction(_SHIFT, _WANTED, immediate=16)
        + _instruction(_LOAD, _MAJOR, _CONTEXT, _MAJOR_AT)
        + _instruction(_LOAD, _MINOR, _CONTEXT, _MINOR_AT)
    )
    return head + b"".join(_rule(rule) for rule in rules) + _answer(0)


def _rule(rule: DeviceRule) -> bytes:
    """Tests that skip to the next rule on failure, and a return of 1. The context register is free by now."""
    mask = sum(_ACCESS[letter] for letter in rule.access)
    tests = [(_SKIP_UNLESS, _TYPE, _TYPES[rule.kind]), (_SKIP_UNLESS, _MAJOR, rule.major)]
    if rule.minor is not None:
        tests.append((_SKIP_UNLESS, _MINOR, rule.minor))
    answer = _answer(1)
    within = _instruction(_COPY, _CONTEXT, _WANTED) + _instruction(_AND, _CONTEXT, immediate=mask)
    after = len(answer) // 8
    allowed = within + _instruction(_SKIP_UNLESS_REGISTER, _CONTEXT, _WANTED, after)
    code = allowed + answer
    for opcode, register, value in reversed(tests):
        code = _instruction(opcode, register, offset=len(code) // 8, immediate=value) + code
    return code


def _answer(value: int) -> bytes:
    return _instruction(_SET, _R0, immediate=value) + _instruction(_EXIT)


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    registers = source << 4 | target if sys.byteorder == "little" else target << 4 | source
    return struct.pack("=BBhi", code, registers, offset, immediate)


def _apply_v1(directory: str, rules: tuple[DeviceRule, ...]) -> None:
    write_kernel(f"{directory}/devices.deny", "a")
    for rule in rules:
        write_kernel(f"{directory}/devices.allow", str(rule))


def _apply_v2(directory: str, rules: tuple[DeviceRule, ...]) -> None:
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        program = syscalls.bpf_load_device(program_of(rules))
        try:
            syscalls.bpf_attach_device(group, program)
        finally:
            os.close(program)
    finally:
        os.close(group)
