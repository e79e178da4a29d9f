# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Verifier decides whether an image that has come may count. Source: behaviours B27."""

from __future__ import annotations

from .sources.source import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .job import FetchJob
    from .policy import FetchPolicy
    from .sources.source import Received, Source


class NoKeys(Verifier):
    """Nothing can be verified, so nothing is trusted."""

    def foresee(self, source: Source) -> None:
        """Refuse every image."""
        raise source.unverified()

    def verify(self, _job: FetchJob, source: Source, _received: Received) -> str:
        """Refuse every image."""
        raise source.unverified()


def verifier_of(source: Source, policy: FetchPolicy) -> Verifier:
    """The verifier for a fetch from a source under this policy. What the host rejects no option accepts."""
    decided = source.image_policy()
    if decided:
        from .decided import verifier_by

        return verifier_by(decided, policy)
    if policy.waives("image"):
        return Verifier()
    if not source.is_signable:
        return NoKeys()
    from .signed import Signed

    return Signed(policy)
