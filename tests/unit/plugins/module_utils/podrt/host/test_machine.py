# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The name of the machine whose system calls this interpreter makes."""

from __future__ import annotations

import os
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import VALID_ARCHES
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Unsupported
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import machine as found
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.convert import arch_label
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.seccomp.filters import _SUB_ARCHES

WIDE, NARROW = (1 << 63) - 1, (1 << 31) - 1


@pytest.mark.finding("review-B19")
@pytest.mark.parametrize(
    ("kernel", "maxsize", "expected"),
    [
        ("x86_64", WIDE, "x86_64"),
        ("aarch64", WIDE, "aarch64"),
        ("riscv64", WIDE, "riscv64"),
        ("armv7l", NARROW, "armv7l"),
        pytest.param("aarch64", NARROW, "armv7l", id="Raspberry Pi OS: 32-bit userland, 64-bit kernel"),
        pytest.param("armv8l", NARROW, "armv7l", id="the same under linux32"),
        ("i586", NARROW, "i686"),
        pytest.param("x86_64", NARROW, "i686", id="an i386 container on an amd64 kernel"),
    ],
)
def test_a_narrow_interpreter_makes_the_system_calls_of_a_narrow_machine(
    monkeypatch: pytest.MonkeyPatch, kernel: str, maxsize: int, expected: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", kernel)))
    monkeypatch.setattr(sys, "maxsize", maxsize)
    assert found.machine() == expected


# --- the table of architectures ---

TABLE = found.ARCHITECTURES
# As libseccomp calls them: it knows the numbers of all architectures on each of them.
OF_LIBSECCOMP = {
    "amd64": "X86_64",
    "i386": "X86",
    "aarch64": "AARCH64",
    "armv7l": "ARM",
    "armv6l": "ARM",
    "ppc64le": "PPC64LE",
    "s390x": "S390X",
    "riscv64": "RISCV64",
}
CALLS = ("bpf", "rt_sigaction", "keyctl", "socket", "socketpair", "socketcall")


def test_every_architecture_is_there_once_under_names_that_appc_has() -> None:
    assert [arch.name for arch in TABLE] == list(OF_LIBSECCOMP)
    assert {arch.name for arch in TABLE} <= set(VALID_ARCHES)
    assert len({arch.machine for arch in TABLE}) == len(TABLE)
    assert {name for arch in TABLE for name in arch.also} <= set(OF_LIBSECCOMP)


@pytest.mark.parametrize("arch", TABLE, ids=lambda arch: arch.name)
def test_numbers_are_those_of_the_kernel(arch: found.Architecture) -> None:
    seccomp = pytest.importorskip("pyseccomp")
    theirs = getattr(seccomp.Arch, OF_LIBSECCOMP[arch.name])
    assert arch.audit == int(theirs)
    for call in CALLS:
        number = seccomp.resolve_syscall(theirs, call)
        # What socketcall(2) does as well has no number of its own to libseccomp, but to the kernel since 4.3.
        if number >= 0 or not (arch.socketcall >= 0 and call in ("socket", "socketpair")):
            assert getattr(arch, call) == max(number, -1), call


@pytest.mark.parametrize("arch", TABLE, ids=lambda arch: arch.name)
def test_an_image_of_docker_for_it_gets_its_name(arch: found.Architecture) -> None:
    assert arch_label(*arch.docker[0]) == arch.name


def test_filters_are_made_for_what_else_the_kernel_runs() -> None:
    assert {arch.name for arch in TABLE if arch.also} == set(_SUB_ARCHES)


@pytest.mark.parametrize("kernel", ["mips64", "armv7b", "loongarch64"])
def test_other_machines_are_named_unsupported_at_the_front_door(
    monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", kernel)))
    with pytest.raises(Unsupported, match=f"it is a {kernel}") as caught:
        Host.here(Paths())
    assert caught.value.hint.startswith("use one of x86_64, ")


@pytest.mark.parametrize("arch", TABLE, ids=lambda arch: arch.name)
def test_each_is_known_at_the_front_door(monkeypatch: pytest.MonkeyPatch, arch: found.Architecture) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", arch.machine)))
    assert Host.here(Paths()).arch == arch.name
    assert found.architecture() is arch
