# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines for the system's log, as syslog(3) sends them. Source: RFC 3164, syslog(3)."""

from __future__ import annotations

import os
import socket
import time

from ..contexts import suppress
from ..errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .paths import Paths

_USER, _INFO = 1, 6
_NAME = "stagecraft.pods"
_MOST = 1000


def note(paths: Paths, text: str) -> None:
    """Send a line. A host without a log, or whose log does not keep up, does not get it."""
    stamp = time.strftime("%b %e %H:%M:%S")
    line = f"<{_USER << 3 | _INFO}>{stamp} {_NAME}[{os.getpid()}]: {printable(text)[:_MOST]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
        log.sendto(line.encode(errors="backslashreplace"), paths.log)
