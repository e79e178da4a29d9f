# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The context that all steps of one fetch share."""

from __future__ import annotations

from ..store import locks
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..host.host import Host
    from ..host.limits import Limits
    from ..host.turns import Turn
    from .credentials import AskCredentials
    from .policy import FetchPolicy
    from .transport import Transport


def silent() -> None:
    """Do nothing: the pulse of work that no other process waits for."""


class FetchJob(Value):
    """One fetch. progress: called with lines for the user. pulse: called whenever it has made progress.

    credentials: the headers for a method and a URL. sessions: the one that was made, kept by transport.
    """

    host: Host
    policy: FetchPolicy
    progress: Callable[[str], None]
    credentials: AskCredentials
    limits: Limits
    sessions: list[Transport]
    pulse: Callable[[], None] = silent

    def turn(self, key: str, what: str) -> Turn:
        """The turn for work that other processes may want too; the same key means the same bytes of the same server."""
        return locks.turn(
            self.host.paths, key, what, patience=self.limits.rate_seconds / 2, tell=self.progress
        )

    def transport(self) -> Transport:
        """The session of this fetch: the first host decides to which others all of it may lead."""
        if not self.sessions:
            self.sessions.append(self.transport_of_its_own())
        return self.sessions[0]

    def transport_of_its_own(self) -> Transport:
        """A session for another host that the user has named."""
        from .transport import Transport

        return Transport(self.policy, self.limits, self.pulse)
