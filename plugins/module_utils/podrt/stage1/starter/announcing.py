# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""READY=1 to the service manager that runs podctl in the foreground, once the apps are up. Source: sd_notify(3)."""

from __future__ import annotations

import _socket
import os

from ...contexts import suppress

_WHERE = "NOTIFY_SOCKET"
_READY = b"READY=1"


def announce_ready() -> None:
    """Tell it, if it has asked for that. One that does not listen any more does not matter."""
    address = os.environ.get(_WHERE, "")
    if address[:1] not in ("/", "@"):
        return
    teller = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    with suppress(OSError):
        teller.sendto(_READY, "\0" + address[1:] if address[0] == "@" else address)
    teller.close()
