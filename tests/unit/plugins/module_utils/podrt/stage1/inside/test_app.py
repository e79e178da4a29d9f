# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The state that an app inherits from the process that started its pod."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.machine import architecture
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.inside.app import (
    default_signals,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.inside.process import keep_only
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.inside.program import runtime

SIGCANCEL = 32


def ignore(number: int) -> None:
    """Ignore a signal that the C library refuses to touch."""
    action = ctypes.create_string_buffer(struct.pack("@P", int(signal.SIG_IGN)), 64)
    nr = architecture().rt_sigaction
    assert ctypes.CDLL(None).syscall(nr, number, action, None, 8) == 0


@pytest.mark.behaviour("C57")
def test_signals_that_the_starter_ignored_are_not_ignored() -> None:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for number in (signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            ignore(SIGCANCEL)
            with open("/proc/self/status") as file:
                before = next(line for line in file if line.startswith("SigIgn"))
            default_signals()
            with open("/proc/self/status") as file:
                after = next(line for line in file if line.startswith("SigIgn"))
            os.write(theirs, (before + after).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as file:
        before, after = (int(line.split()[1], 16) for line in file.read().splitlines())
    os.waitpid(pid, 0)
    for number in (signal.SIGHUP, signal.SIGTERM, SIGCANCEL):
        assert before >> (number - 1) & 1
    assert after == 1 << (signal.SIGPIPE - 1)


def test_the_program_that_becomes_an_app_imports_little() -> None:
    script = (
        f"import sys; sys.path.insert(0, {runtime()!r}); import podrt.stage1.inside.app; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert "podrt.stage1.inside.app" in done.stdout.split()
    heavy = {"contextlib", "collections", "enum", "re", "typing", "podrt.pod", "podrt.appc", "podrt.net"}
    assert not heavy & set(done.stdout.split())


def test_only_what_is_named_stays_open() -> None:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            stray = os.open("/", os.O_RDONLY)
            said, none, other = keep_only((theirs, -1, os.open("/dev/null", os.O_RDONLY)))
            os.write(said, f"{said} {none} {other} {' '.join(_open_beyond_stdio(said))} {stray}".encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as file:
        words = file.read().split()
    os.waitpid(pid, 0)
    assert words[:-1] == ["3", "-1", "4", "3", "4"]
    assert int(words[-1]) > 4


def _open_beyond_stdio(least: int) -> list[str]:
    found = []
    for number in range(least, 64):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(str(number))
    return found
