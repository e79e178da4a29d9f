# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptors, and the calls to make on their events. Part of the supervisor."""

from __future__ import annotations

import posix
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ, WRITE, IDLE = select.POLLIN, select.POLLOUT, 0
_EINVAL = 22


class Watch:
    """poll(2), with a call for each descriptor."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._calls: dict[int, Callable[[int], object]] = {}
        self._asked: dict[int, int] = {}

    def add(self, fd: int, call: Callable[[int], object], events: int = READ) -> None:
        """Make call(fd) on these events; ignore -1."""
        if fd >= 0:
            self._calls[fd] = call
            self.ask(fd, events)

    def ask(self, fd: int, events: int) -> None:
        """Wait for these events from now on. IDLE takes it out of poll(2), which would still report its hang-up."""
        if self._asked.get(fd, IDLE) == events:
            return
        if events:
            self._poll.register(fd, events)
            self._asked[fd] = events
        else:
            self._poll.unregister(fd)
            del self._asked[fd]

    def close(self, fd: int) -> None:
        """Forget a descriptor and close it; ignore -1."""
        if fd >= 0:
            self.ask(fd, IDLE)
            self._calls.pop(fd, None)
            posix.close(fd)

    def wait(self, patience: int | None) -> None:
        """Wait so many milliseconds for events, and make their calls."""
        for fd in self._ready(patience):
            call = self._calls.get(fd)
            if call:  # none when an earlier call has closed it
                call(fd)

    def _ready(self, patience: int | None) -> list[int]:
        """The descriptors with events. poll(2) refuses more than RLIMIT_NOFILE, which an app that is root can lower."""
        try:
            return [fd for fd, _event in self._poll.poll(patience)]
        except OSError as err:
            if err.errno != _EINVAL:
                raise
        reading = [fd for fd, events in self._asked.items() if events & READ]
        writing = [fd for fd, events in self._asked.items() if events & WRITE]
        ready = select.select(reading, writing, (), None if patience is None else patience / 1000)
        return [*ready[0], *ready[1]]
