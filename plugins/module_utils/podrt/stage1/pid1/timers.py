# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that are due at a time. Part of the supervisor."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Some 24 days: leases may be longer.
_LONGEST = (1 << 31) - 1


class Timer:
    """A call at a time of the monotonic clock."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call = call


class Timers:
    """A queue of calls, the earliest first."""

    def __init__(self) -> None:
        self._queue: list[Timer] = []

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Schedule a call, so many seconds from now."""
        timer = Timer(time.monotonic() + seconds, call)
        self._queue.append(timer)
        self._queue.sort(key=lambda other: other.when)
        return timer

    def hasten(self, timer: Timer, seconds: float) -> None:
        """Make a call due in so many seconds, unless it is due earlier anyway."""
        timer.when = min(timer.when, time.monotonic() + seconds)
        self._queue.sort(key=lambda other: other.when)

    def cancel(self, timer: Timer | None) -> None:
        """Remove a call; one that was made already does no harm."""
        if timer and timer in self._queue:
            self._queue.remove(timer)

    def patience(self) -> int | None:
        """The milliseconds until the next call, or as many as poll(2) takes at a time; None without calls."""
        if not self._queue:
            return None
        return max(0, min(int((self._queue[0].when - time.monotonic()) * 1000) + 1, _LONGEST))

    def run_due(self) -> None:
        """Make the calls whose time has come."""
        now = time.monotonic()
        while self._queue and self._queue[0].when <= now:
            self._queue.pop(0).call()
