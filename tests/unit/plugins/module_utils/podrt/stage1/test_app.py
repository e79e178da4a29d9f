# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What an app inherits of whoever started its pod."""

from __future__ import annotations

import ctypes
import os
import signal
import struct

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.app import default_signals

SIGCANCEL = 32


def ignore(number: int) -> None:
    """Ignore a signal that the C library refuses to touch."""
    action = ctypes.create_string_buffer(struct.pack("@P", int(signal.SIG_IGN)), 64)
    nr = syscalls._NR_RT_SIGACTION[os.uname().machine]
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
