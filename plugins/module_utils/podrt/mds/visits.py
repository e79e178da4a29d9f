# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections the metadata service keeps: so many of a source, and so many of all.

A pod that opens connections and says nothing must cost neither memory without end nor the others their answers. So
where there are too many, the one that has kept the service waiting longest goes, if it has had its second.
"""

from __future__ import annotations

from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Abortable(Protocol):
        """A connection that can be ended."""

        def abort(self) -> None:
            """End it at once."""


# Seconds that each connection has before it may have to go.
_GRACE = 1.0


class VisitBounds(Value):
    """The most connections: of one source, and of all."""

    of_one: int
    of_all: int


class Visit:
    """A connection. source: where it comes from. since: when its client began to keep the service waiting."""

    def __init__(self, source: str, connection: Abortable, since: float) -> None:
        self.source = source
        self.since = since
        self._connection = connection

    def end(self) -> None:
        """End it at once."""
        self._connection.abort()


class Visits:
    """The connections that there are."""

    def __init__(self, bounds: VisitBounds) -> None:
        self._bounds = bounds
        self._by_source: dict[str, set[Visit]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def admit(self, visit: Visit) -> bool:
        """Take one more, and end another one for it if there are too many. Returns whether it was taken."""
        own = self._by_source.get(visit.source, set())
        if len(own) >= self._bounds.of_one and not self._end_one(own, visit.since):
            return False
        if self._count >= self._bounds.of_all:
            everyone = {each for some in self._by_source.values() for each in some}
            if not self._end_one(everyone, visit.since):
                return False
        self._by_source.setdefault(visit.source, set()).add(visit)
        self._count += 1
        return True

    def leave(self, visit: Visit) -> None:
        """Forget one that has ended; it may be forgotten already."""
        own = self._by_source.get(visit.source, set())
        if visit in own:
            own.remove(visit)
            self._count -= 1
        if not own:
            self._by_source.pop(visit.source, None)

    def _end_one(self, among: set[Visit], now: float) -> bool:
        oldest = min(among, key=lambda each: each.since)
        if now - oldest.since < _GRACE:
            return False
        self.leave(oldest)
        oldest.end()
        return True
