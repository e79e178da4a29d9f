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

    from ...appc.image import ImageManifest
    from ...store.index import StoredImage
    from ...store.workspace import Workspace
    from ..archives import SavedContent
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

        with opened(self.reference) as archive:
            data = blobs.archive_of(_manifest_of(archive.image(self.host.arch)))
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
        from ...store import claims
        from ...store.workspace import Workspace
        from ..archives import opened
        from ..download import ensure_layers

        before = self._fingerprint()
        job.progress(self._line())
        with opened(self.reference) as archive:
            content = archive.image(self.host.arch)
            for note in content.config.notes:
                job.progress(note)
            with claims.claimed(self.host.paths, content.layer_ids), Workspace(self.host.paths) as workspace:
                verifier.announced(job, self, _digests_of(content))
                ensure_layers(job, archive, content.layers)
                yield self._received(workspace, content, before)

    def _received(self, workspace: Workspace, content: SavedContent, etag: str) -> Received:
        from ...store import blobs
        from .arrival import received

        incoming = blobs.receive_manifest(
            workspace,
            _manifest_of(content),
            content.layer_ids,
            _digests_of(content),
            latest=content.reference.tag == "latest",
        )
        return received(self.reference, incoming, etag=etag)

    def _fingerprint(self) -> str:
        path = self.reference.path
        return fingerprint(f"{path}/{INDEX}" if self.reference.is_directory else path)

    def _line(self) -> str:
        return f"using image from file {self.reference}"

    def using(self, _image: StoredImage) -> str:
        """The line for an archive, whether it is read again or not."""
        return self._line()


def _manifest_of(content: SavedContent) -> ImageManifest:
    from ..convert import image_manifest

    return image_manifest(content.reference, content.config, content.digest, content.config_digest)


def _digests_of(content: SavedContent) -> tuple[str, ...]:
    """The digests of what describes it, as those of a docker image: the asked index or manifest, and the chosen one."""
    return tuple(dict.fromkeys(filter(None, (content.asked_digest, content.digest))))
