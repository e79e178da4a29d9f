# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A start that ends where the apps would begin, so that what stops it is found while an older pod still runs.

Everything is done as in a start, but for joining networks: namespaces, control groups and limits, every mount, users
and programs looked up in the apps' roots. What only a running app can find out is left to the start.
"""

from __future__ import annotations

import os

from ..errors import HostFailure
from . import sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from .record import AppRecord


def rehearse(records: Sequence[AppRecord], channel: int, go: int) -> NoReturn:
    """Have each app's child look whether it could go on, and end PID 1 when all of them could. Raises PodError."""
    os.write(go, sync.REHEARSE * len(records))
    for record in records:
        message = sync.receive(record["exec"])
        if message and message[0] == sync.FAILED:
            raise sync.error_of(message)
        if message:
            name = record["name"]
            raise HostFailure(f'app "{name}" could not be started: {message[1]}', app=name)
    sync.send(channel, sync.REHEARSED)
    os._exit(0)
