# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The name of the machine whose system calls this interpreter makes."""

from __future__ import annotations

import os
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import machine as found

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
        pytest.param("x86_64", NARROW, "i686", id="an i386 container on an amd64 kernel"),
    ],
)
def test_a_narrow_interpreter_makes_the_system_calls_of_a_narrow_machine(
    monkeypatch: pytest.MonkeyPatch, kernel: str, maxsize: int, expected: str
) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", "6.1", "#1", kernel)))
    monkeypatch.setattr(sys, "maxsize", maxsize)
    assert found.machine() == expected
