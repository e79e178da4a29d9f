# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors that a process keeps as it becomes another program, and those that it passes on."""

from __future__ import annotations

import fcntl
import os

from ...host import syscalls

_FIRST_FD, _LAST_FD = 3, (1 << 32) - 1


def keep_only(fds: tuple[int, ...]) -> tuple[int, ...]:
    """Close every descriptor but stdio and these, and mark these close-on-exec. Returns their new numbers.

    An app could name any other open descriptor by /proc/self/fd, also as its working directory or its program
    (CVE-2024-21626). The new numbers are the lowest; -1 stays.
    """
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD + len(fds)) for fd in fds if fd >= 0]
    for number, fd in enumerate(aside, _FIRST_FD):
        os.dup2(fd, number, inheritable=False)
    syscalls.close_range(_FIRST_FD + len(aside), _LAST_FD)
    numbers = iter(range(_FIRST_FD, _FIRST_FD + len(aside)))
    return tuple(next(numbers) if fd >= 0 else -1 for fd in fds)


def passing_sockets(count: int, environment: dict[str, str]) -> dict[str, str]:
    """Let the next program inherit the first descriptors. Returns its variables. Source: sd_listen_fds(3)."""
    if not count:
        return environment
    for fd in range(_FIRST_FD, _FIRST_FD + count):
        os.set_inheritable(fd, True)
    return {**environment, "LISTEN_FDS": str(count), "LISTEN_PID": str(os.getpid())}
