# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifiers of docker images for which this host has a policy."""

from __future__ import annotations

from ..errors import Untrusted
from .policies import ACCEPT, REJECT
from .reference import DockerReference
from .sources.source import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..store.index import StoredImage
    from .job import FetchJob
    from .policies import ImagePolicy
    from .policy import FetchPolicy
    from .sources.source import Received, Source


class Accepting(Verifier):
    """Everything counts."""

    def __init__(self, policy: ImagePolicy) -> None:
        self.decided_by = _text_of(policy)


class Rejecting(Verifier):
    """Nothing counts."""

    def __init__(self, policy: ImagePolicy) -> None:
        self._policy = policy

    def foresee(self, source: Source) -> None:
        """Refuse every image."""
        raise Untrusted(
            f"cannot fetch {source.reference}: the policy for {self._policy.prefix or 'all images'} rejects it",
            "the policy is in trust.d, and the module pod_trust or podctl trust changes it; insecure_options do not",
            prefix=self._policy.prefix,
        )

    def knows(self, _image: StoredImage) -> bool:
        """None of those that came before is kept without a word."""
        return False


class ByPolicy(Verifier):
    """An image needs a signature by a key of its policy, of the very manifest that comes."""

    def __init__(self, policy: ImagePolicy, fetch_policy: FetchPolicy) -> None:
        self._policy = policy
        self._fetch_policy = fetch_policy
        self._signer = ""
        self.decided_by = _text_of(policy)

    def predict(self, source: Source) -> None:
        """Ask the registry for what it has now, and for its signatures."""
        from .job import new_job

        job = new_job(source.host, self._fetch_policy, _silent)
        self._verify(job, source, source.digests(job))

    def knows(self, image: StoredImage) -> bool:
        """An image that came when another policy decided, or none, is verified now."""
        return image.signer in self._policy.keys.fingerprints

    def announced(self, job: FetchJob, source: Source, digests: tuple[str, ...]) -> None:
        """Verify it before a layer is downloaded: all that comes is checked by these digests."""
        self._verify(job, source, digests)
        job.progress(f"signature verified: by the key {self._signer}")

    def verify(self, _job: FetchJob, source: Source, _received: Received) -> str:
        """The key, which was found before."""
        if not self._signer:
            raise source.unverified()
        return self._signer

    def _verify(self, job: FetchJob, source: Source, digests: tuple[str, ...]) -> None:
        from .signedimage import signer_of

        reference = source.reference
        if not isinstance(reference, DockerReference):
            raise source.unverified()
        self._signer = signer_of(job, reference, self._policy, digests)


def verifier_by(policy: ImagePolicy, fetch_policy: FetchPolicy) -> Verifier:
    """The verifier for an image under its policy. insecure_options waive a signature, and never what is rejected."""
    if policy.policy == REJECT:
        return Rejecting(policy)
    if policy.policy == ACCEPT:
        return Accepting(policy)
    if fetch_policy.waives("image"):
        return Verifier()
    return ByPolicy(policy, fetch_policy)


def _text_of(policy: ImagePolicy) -> str:
    """A policy as the index has it, such as "accept docker.io/library"."""
    return f"{policy.policy} {policy.prefix}".rstrip()


def _silent(_line: str) -> None:
    """Drop progress, for a check."""
