# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that docker, podman, buildah or skopeo saved on this host, by their path or loaded under their names."""

from __future__ import annotations

from ...contexts import contextmanager
from ..reference import INDEX, DockerReference, SavedImage
from .file import fingerprint
from .source import Received, Source, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...host.host import Host
    from ...store.blobs import Incoming
    from ...store.index import StoredImage
    from ..archives import SavedArchive
    from ..job import FetchJob
    from ..manifests import DockerImage
    from ..policies import ImagePolicy


def source_of_saved(host: Host, reference: SavedImage) -> Source:
    """The source of a saved image."""
    return (LoadedSource if reference.wanted else SavedSource)(host, reference)


class SavedSource(Source):
    """An archive or a layout. Its record has a fingerprint for an ETag, as that of a file."""

    reference: SavedImage

    is_at_hand = True

    def has_changed(self) -> bool:
        """Whether it is not what was read last."""
        now = self._fingerprint()
        remote = self.remote
        return remote is None or remote.etag != now

    def gives(self, image: StoredImage) -> bool:
        """Whether it holds this image: by its documents, which name the content of all layers."""
        import hashlib

        from ...appc.names import ImageID
        from ...store import blobs
        from ..archives import opened
        from .layered import manifest_of

        with opened(self.reference) as archive:
            data = blobs.archive_of(manifest_of(self.content(archive)))
        return ImageID.of_digest(hashlib.sha512(data).hexdigest()) == image.id

    def foresee(self) -> None:
        """Raise NotFound, HostFailure, Corrupt or InvalidSpec for what cannot be read, or leaves a choice."""
        from ..archives import opened

        with opened(self.reference) as archive:
            self.content(archive)

    def content(self, archive: SavedArchive) -> DockerImage:
        """The image in the open archive, under the name that it gets. Raises as SavedArchive.image does."""
        return archive.image(self.host.arch)

    def recorded(self, incoming: Incoming, _image: DockerImage, before: str) -> Received:
        """What arrives. before: the fingerprint of the archive."""
        from .arrival import received

        return received(self.reference, incoming, etag=before)

    @contextmanager
    def receive(
        self, job: FetchJob, _stored: StoredImage | None, verifier: Verifier
    ) -> Iterator[Received | None]:
        """Read what describes it, then its layers, of which only missing ones are unpacked."""
        from ..archives import opened
        from . import layered

        before = self._fingerprint()
        job.progress(self._line())
        with opened(self.reference) as archive:
            image = self.content(archive)

            def recorded(incoming: Incoming) -> Received:
                return self.recorded(incoming, image, before)

            yield from layered.received(job, self, verifier, archive, image, recorded)

    def _fingerprint(self) -> str:
        path = self.reference.path
        return fingerprint(f"{path}/{INDEX}" if self.reference.is_directory else path)

    def _line(self) -> str:
        return f"using image from file {self.reference}"

    def using(self, _image: StoredImage) -> str:
        """The line for an archive, whether it is read again or not."""
        return self._line()


class LoadedSource(SavedSource):
    """An image of an archive that gets a docker name of this host, as if a registry had given it.

    The policy for that name decides, as it does about a file of the controller.
    """

    def has_changed(self) -> bool:
        """The name says nothing of the archive, which is read."""
        return True

    def image_policy(self) -> ImagePolicy | None:
        """That for the name."""
        from ..policies import policy_for

        return policy_for(self.host.paths, self._wanted)

    def content(self, archive: SavedArchive) -> DockerImage:
        """The image under that name."""
        return super().content(archive).replace(reference=self._wanted)

    def recorded(self, incoming: Incoming, image: DockerImage, _before: str) -> Received:
        """The record of the name, as if it had been fetched; of a registry it has the digest only if it says one."""
        import time

        from ...store.index import Remote

        digest = image.asked_digest if image.digest else ""
        return Received(
            incoming,
            Remote(self._wanted.source, incoming.id, download_time=time.time(), manifest_digest=digest),
        )

    @property
    def _wanted(self) -> DockerReference:
        wanted = self.reference.wanted
        if wanted is None:
            raise TypeError(f"{self.reference} is not loaded under a name")
        return wanted

    def _line(self) -> str:
        return f"loading image {self.reference} from {self.reference.form}:{self.reference.path}"
