# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that docker, podman, buildah or skopeo saved on this host."""

from __future__ import annotations

from ...contexts import contextmanager
from ..reference import INDEX, SavedImage
from .file import fingerprint
from .source import Received, Source, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...store.blobs import Incoming
    from ...store.index import StoredImage
    from ..job import FetchJob


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
            data = blobs.archive_of(manifest_of(archive.image(self.host.arch)))
        return ImageID.of_digest(hashlib.sha512(data).hexdigest()) == image.id

    def foresee(self) -> None:
        """Raise NotFound, HostFailure, Corrupt or InvalidSpec for what cannot be read, or leaves a choice."""
        from ..archives import opened

        with opened(self.reference) as archive:
            archive.image(self.host.arch)

    @contextmanager
    def receive(
        self, job: FetchJob, _stored: StoredImage | None, verifier: Verifier
    ) -> Iterator[Received | None]:
        """Read what describes it, then its layers, of which only missing ones are unpacked."""
        from ..archives import opened
        from . import layered
        from .arrival import received

        before = self._fingerprint()
        job.progress(self._line())
        with opened(self.reference) as archive:
            image = archive.image(self.host.arch)

            def recorded(incoming: Incoming) -> Received:
                return received(self.reference, incoming, etag=before)

            yield from layered.received(job, self, verifier, archive, image, recorded)

    def _fingerprint(self) -> str:
        path = self.reference.path
        return fingerprint(f"{path}/{INDEX}" if self.reference.is_directory else path)

    def _line(self) -> str:
        return f"using image from file {self.reference}"

    def using(self, _image: StoredImage) -> str:
        """The line for an archive, whether it is read again or not."""
        return self._line()
