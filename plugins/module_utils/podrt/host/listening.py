# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that systemd, or another service manager, passes to a process. Source: sd_listen_fds(3)."""

from __future__ import annotations

import os
import stat

from ..errors import InvalidSpec
from .reading import decimal

_FIRST = 3
_COUNT, _PID, _NAMES = "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"
_MOST = 256


def passed_descriptors() -> tuple[tuple[int, str], ...]:
    """The sockets that were passed to this process, which are for no other from now on, and their names.

    Raises InvalidSpec.
    """
    said = {name: os.environ.pop(name, "") for name in (_COUNT, _PID, _NAMES)}
    count = decimal(said[_COUNT]) or 0
    if said[_PID] != str(os.getpid()) or not 0 < count <= _MOST:
        return ()
    names = said[_NAMES].split(":")
    found = []
    for number, fd in enumerate(range(_FIRST, _FIRST + count)):
        if not _is_socket(fd):
            raise InvalidSpec(
                f"descriptor {fd}, which the service manager passes, is not a socket", "pass sockets alone"
            )
        os.set_inheritable(fd, False)
        found.append((fd, names[number] if number < len(names) and names[number] else "unknown"))
    return tuple(found)


def _is_socket(fd: int) -> bool:
    try:
        # One that is close-on-exec is this process's own.
        return stat.S_ISSOCK(os.fstat(fd).st_mode) and os.get_inheritable(fd)
    except OSError:
        return False
