# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in files that the controller has sent: read from where their pieces were put together."""

from __future__ import annotations

import errno
import os
import time

from ...contexts import contextmanager
from ...errors import Conflict, Untrusted
from ...store import claims, staging
from ..reference import AppcName, DockerReference, SentFile
from ..sent import ACI, SRC, check_choice, naming, needed, saved_image
from .source import Received, Source, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...appc.image import ImageManifest
    from ...host.host import Host
    from ...store.blobs import Incoming
    from ...store.index import StoredImage
    from ...store.workspace import Workspace
    from ..job import FetchJob
    from ..manifests import DockerImage
    from ..policies import ImagePolicy


def source_of_sent(host: Host, reference: SentFile) -> Source:
    """The source of a file, by its form."""
    kind = SentArchive if reference.form == ACI else SentSaved
    return kind(host, reference)


class _SentSource(Source):
    """A file of the controller. Its record has the digest of the file, so that the same content is known again."""

    reference: SentFile

    # What the store has counts, and else it is the file that is asked, whatever the pull policy says.
    has_remote = True

    @property
    def content(self) -> str:
        """Where the file is once it has come."""
        return self.host.paths.staged_content(self.reference.digest)

    def using(self, _image: StoredImage) -> str:
        """The line for an image whose file need not be sent."""
        return f"using image from local store for file {self.reference.path} of the controller"

    @contextmanager
    def whole(self) -> Iterator[None]:
        """While the image is read and put into the store; then the file is removed. Raises Conflict."""
        paths, sent = self.host.paths, self.reference
        staging.keep(paths, sent.digest)
        if needed(self.host, sent):
            raise Conflict(
                f"cannot read {sent.path}: not all of it has been sent, or another process has used it up",
                "run the task again",
            )
        with naming(self.content, sent.path):
            yield
        staging.remove(paths, sent.digest)

    def check_digest(self, digest: str) -> None:
        """Raise Conflict unless the file is the one that was announced; then it is removed, to be sent again."""
        if digest != self.reference.digest:
            staging.remove(self.host.paths, self.reference.digest)
            raise Conflict(
                f"cannot read {self.reference.path}: what has been sent is damaged",
                "run the task again: it is sent again",
            )


class SentArchive(_SentSource):
    """An ACI."""

    is_signable = True

    def foresee(self) -> None:
        """Raise Untrusted for another name than the wanted one, as far as the controller tells its name."""
        wanted, name = self.reference.wanted, self.reference.name
        if isinstance(wanted, AppcName) and name and name != wanted.name:
            raise _other_name(self.reference, f'"{wanted.name}" expected but "{name}" found')

    def known_name(self) -> str:
        """The name in its manifest, as the controller tells it."""
        return self.reference.name

    def signature_place(self) -> str:
        """The file of the controller."""
        return self.reference.signature_path

    def read_signature(self, path: str) -> bytes:
        """What the controller has read there."""
        found = self.reference.signature
        if not found:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found

    def check_manifest(self, manifest: ImageManifest) -> None:
        """It must have the name and the labels that it shall stand for. Raises Untrusted."""
        from .name import NameSource

        if isinstance(self.reference.wanted, AppcName):
            try:
                NameSource(self.host, self.reference.wanted).check_manifest(manifest)
            except Untrusted as err:
                raise _other_name(self.reference, err.message) from err

    @contextmanager
    def receive(
        self, job: FetchJob, _stored: StoredImage | None, verifier: Verifier
    ) -> Iterator[Received | None]:
        """Read it."""
        from ...store.workspace import Workspace
        from .arrival import received

        verifier.announced(job, self, ())
        with self.whole(), Workspace(self.host.paths) as workspace:
            incoming = self._read(workspace, verifier)
            self.check_digest(incoming.sent[0].partition(":")[2])
            self.check_manifest(incoming.manifest)
            yield received(self.reference, incoming)

    def _read(self, workspace: Workspace, verifier: Verifier) -> Incoming:
        from ...store import blobs, stream

        return blobs.receive_archive(
            self.host.paths,
            workspace,
            stream.file_chunks(self.content),
            self.reference.path,
            keep_sent=verifier.keeps_sent,
        )


class SentSaved(_SentSource):
    """An image that docker, podman, buildah or skopeo saved."""

    def image_policy(self) -> ImagePolicy | None:
        """That for the name that it stands for."""
        from ..policies import policy_for

        wanted = self.reference.wanted
        return policy_for(self.host.paths, wanted) if isinstance(wanted, DockerReference) else None

    def foresee(self) -> None:
        """Raise NotFound, InvalidSpec or Corrupt for one that lacks the wanted image, or leaves a choice."""
        with naming(SRC, self.reference.path):
            check_choice(self.reference)

    @contextmanager
    def receive(
        self, job: FetchJob, _stored: StoredImage | None, verifier: Verifier
    ) -> Iterator[Received | None]:
        """Read what describes it, then its layers, of which only missing ones are unpacked."""
        from ..archives import opened
        from . import layered

        with claims.claimed(self.host.paths, self._layer_ids), self.whole():
            if self._has_come_whole():
                self.check_digest(staging.digest_of(self.content))
            with opened(saved_image(self.reference, self.content)) as archive:
                image = archive.image(self.host.arch)
                if isinstance(self.reference.wanted, DockerReference):
                    image = image.replace(reference=self.reference.wanted)

                def recorded(incoming: Incoming) -> Received:
                    return self._recorded(incoming, image)

                yield from layered.received(job, self, verifier, archive, image, recorded)

    @property
    def _layer_ids(self) -> tuple[str, ...]:
        return tuple(layer_id for layer_id, _begin, _end in self.reference.layers)

    def _has_come_whole(self) -> bool:
        """Whether all pieces are there. Else the digests of pieces and of the other layers prove the rest."""
        paths, sent = self.host.paths, self.reference
        if not staging.missing(paths, sent.digest, sent.cuts):
            return True
        staging.fill(paths, sent.digest, sent.size)
        return False

    def _recorded(self, incoming: Incoming, image: DockerImage) -> Received:
        """The records of the file and of the reference that it stands for."""
        from ...store.index import Remote

        # Of an archive without manifests no registry has the digest.
        digest = image.asked_digest if image.digest else ""
        remote = Remote(self.reference.source, incoming.id, download_time=time.time(), manifest_digest=digest)
        wanted = self.reference.wanted
        others = (remote.replace(source=wanted.source),) if wanted else ()
        return Received(incoming, remote, (), others)


def _other_name(reference: SentFile, reason: str) -> Untrusted:
    return Untrusted(
        f"the image of {reference.path} is not {reference.wanted}: {reason}",
        "name what it is, or send another file",
        image=str(reference.wanted),
    )
