# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A start that ends before the apps begin, so that obstacles are found while an older pod still runs.

It does everything that a start does, except joining networks: namespaces, control groups and limits, every mount, the
lookup of users and programs in the apps' roots. Faults that only a running app shows are left to the start.
"""

from __future__ import annotations

import os

from ...errors import AppFailed, of_kind
from ..pid1 import frames
from . import sync

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from ...errors import PodError
    from ..pid1.record import AppRecord


def rehearse(records: Sequence[AppRecord], channel: int, go: int) -> NoReturn:
    """Have each app's child check whether it could start, and end PID 1 if all could. Raises PodError."""
    os.write(go, sync.REHEARSE * len(records))
    for number, record in enumerate(records):
        message = sync.receive(record["exec"])
        if message and message[0] == frames.FORKED:
            message = sync.receive(record["exec"])
        if not message:
            raise sync.app_has_died()
        if message[0] == frames.FAILED:
            raise sync.error_of(message)
        if message[0] == frames.NOT_EXECUTED:
            raise not_started(record["name"], number, str(message[1]), str(message[2]))
    sync.send(channel, frames.REHEARSED)
    os._exit(0)


def not_started(app: str, number: int, reason: str, field: str) -> PodError:
    """The error of an app that could not be started. field: as of NotStarted."""
    message = f'app "{app}" could not be started: {reason}'
    if field:
        return misdescribed(app, number, field, message)
    return AppFailed(message, app=app)


def misdescribed(app: str, number: int, field: str, message: str, hint: str = "") -> PodError:
    """An error of the spec that only the image shows. number: of the app in its pod.

    The message stays as it is: on a command line a field has another name.
    """
    return of_kind("invalid-spec", message, hint, where=f"apps[{number}].{field}", app=app)
