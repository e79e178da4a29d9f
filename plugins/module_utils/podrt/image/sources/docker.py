# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in docker registries. Source: behaviours B38, B39."""

from __future__ import annotations

from ...contexts import contextmanager
from ...errors import NotFound, Untrusted
from ..reference import DockerReference
from .source import ABSENT, PULL_HINT, Received, Source, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...store.blobs import Incoming
    from ...store.index import Remote, StoredImage
    from ..job import FetchJob
    from ..manifests import DockerImage
    from ..policies import ImagePolicy


class DockerSource(Source):
    """A registry."""

    reference: DockerReference

    has_remote = True

    def is_current(self, job: FetchJob, remote: Remote) -> bool:
        """By a HEAD, or where that is refused a GET; of a reference by digest by no request."""
        return job.repository(self.reference).current_digest() == remote.manifest_digest

    @contextmanager
    def receive(
        self, job: FetchJob, stored: StoredImage | None, verifier: Verifier
    ) -> Iterator[Received | None]:
        """Read what describes it, then its layers, of which only missing ones are sent."""
        from .layered import received

        repository = job.repository(self.reference)
        known = self.remote
        is_known = stored and known and verifier.knows(stored)
        if stored and known and is_known and repository.current_digest() == known.manifest_digest:
            job.progress(self.using(stored))
            yield None
            return
        job.progress(f"remote fetching from URL {self.reference}")
        image = repository.image(self.host.arch)

        def recorded(incoming: Incoming) -> Received:
            return Received(incoming, self._record(incoming, image))

        yield from received(job, self, verifier, repository, image, recorded)

    def image_policy(self) -> ImagePolicy | None:
        """That of the most specific prefix."""
        from ..policies import policy_for

        return policy_for(self.host.paths, self.reference)

    def digests(self, job: FetchJob) -> tuple[str, ...]:
        """Those of the index and of the manifest that it has now."""
        return job.repository(self.reference).image(self.host.arch).sent

    def _record(self, incoming: Incoming, image: DockerImage) -> Remote:
        import time

        from ...store.index import Remote

        return Remote(
            self.reference.source,
            incoming.id,
            download_time=time.time(),
            manifest_digest=image.asked_digest,
        )

    def absent(self) -> NotFound:
        """The error for an image that was never fetched."""
        return NotFound(f"unable to fetch docker image from URL {self.reference}: {ABSENT}", PULL_HINT)

    def unverified(self) -> Untrusted:
        """The error for an image of a registry, which no policy decides about."""
        from ..simplesigning import canonical_name, full_name

        return Untrusted(
            "signature verification for docker images is not supported (try --insecure-options=image) without a policy "
            "for their names",
            "write one with the module pod_trust or podctl trust --policy, such as accept for the prefix "
            f"{canonical_name(self.reference).rpartition('/')[0]}; or say insecure_options: image",
            image=full_name(self.reference),
        )
