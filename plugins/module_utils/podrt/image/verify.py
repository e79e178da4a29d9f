# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Verifier decides whether an image that has come may count. Source: behaviours B27."""

from __future__ import annotations

from ..errors import Corrupt
from .sources.source import Verifier, unsigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .job import FetchJob
    from .policy import FetchPolicy
    from .signature import Signer
    from .sources.source import Received, Source


class Detached(Verifier):
    """Images need a detached signature by a key that is trusted for their name."""

    keeps_sent = True

    def __init__(self) -> None:
        self._signature: bytes | None = None

    def foresee(self, source: Source) -> None:
        """Refuse a kind of image that has no signatures, and everything while no key is trusted."""
        from .keystore import is_empty

        if not source.has_signature or is_empty(source.host.paths):
            raise source.unverified()
        if source.is_at_hand:
            source.signature()

    def predict(self, source: Source) -> None:
        """Verify a file of this host where it lies."""
        from ..store import blobs

        path = source.path
        if not path:
            return
        try:
            manifest = blobs.manifest_in(source.host.paths, path)
        except (OSError, Corrupt):
            return  # the fetch will report it
        if manifest:
            _signer(source, str(manifest.name), path, source.signature() or b"")

    def announced(self, job: FetchJob, source: Source, _digests: tuple[str, ...]) -> None:
        """Get the signature before the image (B26), unless the server defers it (B25)."""
        self._signature = source.signature(job)
        if self._signature is None:
            job.progress("server requested deferring the signature download")

    def verify(self, job: FetchJob, source: Source, received: Received) -> None:
        """Refuse an image whose signature is not by a trusted key."""
        signature = source.signature(job) if self._signature is None else self._signature
        if signature is None:
            raise unsigned(source.reference, "the server defers its signature again")
        incoming = received.incoming
        signer = _signer(source, str(incoming.manifest.name), incoming.workspace.sent, signature)
        job.progress("signature verified:")
        for identity in signer.identities:
            job.progress(f"  {identity}")


def verifier_of(source: Source, policy: FetchPolicy) -> Verifier:
    """The verifier for a fetch from a source under this policy. What the host rejects no option accepts."""
    decided = source.image_policy()
    if decided:
        from .decided import verifier_by

        return verifier_by(decided, policy)
    return Verifier() if policy.waives("image") else Detached()


def _signer(source: Source, name: str, path: str, signature: bytes) -> Signer:
    from .signature import verify

    return verify(source.host.paths, name, path, signature)
