# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a fetch is: lines for people, and its downloads, which are looked at now and then.

Downloads count every piece; Observer alone decides when a view hears of it. Nothing here reads a clock of its own or
waits. Source: behaviours B21 for the words.
"""

from __future__ import annotations

import threading

from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Between two lines about the same download.
SECONDS_OF_LINES = 5.0
_BAR, _SHORTEST_BAR, _LEAST = 30, 5, 0.001
_MINUTE, _HOUR = 60, 3600


class Fetched(Value):
    """What the fetch of a reference came to: the bytes of archives and layers that were downloaded, and its time."""

    reference: str
    bytes: int
    seconds: float


class Showing:
    """What shows a fetch; this one shows nothing. every: the least seconds between two looks at a download."""

    every = SECONDS_OF_LINES

    def line(self, text: str) -> None:
        """Show a line."""

    def announced(self, text: str) -> None:
        """Show a line that says that a download begins."""
        self.line(text)

    def moved(self, transfer: Transfer) -> None:
        """Show how far it is."""

    def ended(self, transfer: Transfer) -> None:
        """Show that it has ended, well or not."""


class Lines(Showing):
    """Lines alone. tell: called with each. tell_far: with those of downloads that take long, if they go elsewhere."""

    def __init__(
        self,
        tell: Callable[[str], None],
        tell_far: Callable[[str], None] | None = None,
        every: float = SECONDS_OF_LINES,
    ) -> None:
        self.every = every
        self._tell = tell
        self._tell_far = tell_far or tell

    def line(self, text: str) -> None:
        """Tell it."""
        self._tell(text)

    def moved(self, transfer: Transfer) -> None:
        """Tell how far it is."""
        self._tell_far(f"Downloading {transfer.label}: {transfer.far()}")


class Observer:
    """The observer of one fetch; called with a line for the user. bytes: those that have been downloaded.

    Threads may share it.
    """

    def __init__(self, view: Showing, clock: Callable[[], float]) -> None:
        self.bytes = 0
        self._view = view
        self._clock = clock
        self._lock = threading.RLock()

    def __call__(self, text: str) -> None:
        """Pass on a line."""
        with self._lock:
            self._view.line(text)

    def announce(self, text: str) -> None:
        """Pass on a line that says that a download begins, which a view may leave out."""
        with self._lock:
            self._view.announced(text)

    def transfer(self, label: str) -> Transfer:
        """A download that begins. label: what it is, such as ACI."""
        return Transfer(self, label, self._clock)

    def moved(self, transfer: Transfer, count: int) -> None:
        """Count bytes, and show how far a download is if that was not shown just now."""
        with self._lock:
            self.bytes += count
            if transfer.is_due(self._view.every):
                self._view.moved(transfer)

    def ended(self, transfer: Transfer) -> None:
        """Show that it has ended."""
        with self._lock:
            self._view.ended(transfer)


class Transfer:
    """A download in progress. whole: its size, None if it is unknown. done: what is here, had: of that, from earlier.

    fresh: the bytes that have come, those that had to come again included.
    """

    def __init__(self, progress: Observer, label: str, clock: Callable[[], float]) -> None:
        self.label = label
        self.whole: int | None = None
        self.done = self.had = self.fresh = 0
        self._progress = progress
        self._clock = clock
        self._began = self._shown = clock()

    def begins(self, whole: int | None, had: int) -> None:
        """Note what is known once the server has answered; again, if it begins again."""
        self.whole, self.done, self.had = whole, had, had
        self._began = self._clock()
        self._progress.moved(self, 0)

    def has(self, count: int) -> None:
        """Count bytes that have come."""
        self.done += count
        self.fresh += count
        self._progress.moved(self, count)

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return self._clock() - self._began

    def is_at(self, whole: int | None, done: int, had: int, fresh: int, seconds: float) -> None:
        """Take over how far another process says it is."""
        count = fresh - self.fresh
        self.whole, self.done, self.had, self.fresh = whole, done, had, fresh
        self._began = self._clock() - seconds
        self._progress.moved(self, count)

    def ends(self) -> None:
        """Note that no more comes."""
        self._progress.ended(self)

    def is_due(self, every: float) -> bool:
        """Whether it was not shown for so long; then it is now."""
        now = self._clock()
        if now - self._shown < every:
            return False
        self._shown = now
        return True

    def drawn(self, room: int) -> str:
        """How far it is, with a bar where the whole is known and so many columns are enough for one."""
        far = self.far()
        width = min(_BAR, room - len(far) - len("[] "))
        if not self.whole or width < _SHORTEST_BAR:
            return far
        filled = min(self.done * width // self.whole, width)
        return f"[{('=' * filled + '>' * (filled < width)).ljust(width)}] {far}"

    def far(self) -> str:
        """How far it is, how fast, and how long it still takes."""
        rate = (self.done - self.had) / max(self.seconds, _LEAST)
        done = f"{_size(self.done)}/{_size(self.whole)}" if self.whole else _unknown(self.done)
        parts = [done, f"{_size(rate)}/s"]
        if self.whole and rate and self.done < self.whole:
            parts.append(f"{_time((self.whole - self.done) / rate)} left")
        return ", ".join(parts)


def _unknown(count: int) -> str:
    return f"{_size(count)} of an unknown total size"


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
