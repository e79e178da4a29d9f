# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor's end of the channel to the starter of the pod. Part of the supervisor.

GO starts the apps, and a second GO says that the start is on record. If the starter ends before the first, so does the
pod at once; if before the second, the pod stops.
"""

from __future__ import annotations

import posix

from .apps import attempt
from .frames import GO, LONGEST_FRAME, BadFrame, frame_of, message_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .apps import RunningApp
    from .watch import Watch

    _Call = Callable[[], None]

# A byte more than the longest frame, so that longer ones are noticed.
_CHUNK = LONGEST_FRAME + 1


class Starter:
    """The starter of the pod.

    begun: called once it has started the apps; gone: when it has ended before the start was on record.
    """

    def __init__(self, fds: tuple[int, int], apps: int, watch: Watch, calls: tuple[_Call, _Call]) -> None:
        """fds: the channel to it, and the pipe that starts apps. calls: begun and gone."""
        (self._sync, self._go), self._apps = fds, apps
        self._watch = watch
        self._begun, self._gone = calls
        watch.add(self._sync, self._hear)

    @property
    def waits(self) -> bool:
        """Whether the apps have not been started yet."""
        return self._go >= 0

    def tell(self, kind: str, *facts: str | int) -> None:
        """Send a message, if the starter is still there."""
        if self._sync >= 0:
            attempt(posix.write, self._sync, frame_of(kind, *facts))

    def _hear(self, fd: int) -> None:
        frame = read(fd)
        if self.waits:
            if not _is_go(frame):
                posix._exit(1)
            attempt(posix.write, self._go, b"g" * self._apps)
            posix.close(self._go)
            self._go = -1
            self._begun()
            return
        self._watch.close(fd)
        self._sync = -1
        if not frame:
            self._gone()


class NoOrders:
    """In place of control.Control, before the first order of the host."""

    holds, held_for = False, 0.0

    def tell(self, app: RunningApp, kind: str, *facts: str | int) -> None:
        """No command has added an app."""

    def settle(self) -> None:
        """No command waits."""


def _is_go(frame: bytes) -> bool:
    try:
        return message_of(frame)[0] == GO
    except BadFrame:
        return False


def read(fd: int) -> bytes:
    """Read once; b"" at the end of file and on failure."""
    try:
        return posix.read(fd, _CHUNK)
    except OSError:
        return b""
