# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the kinds of images: Source, one subclass a kind. What is the same for all is in image.fetch.

A lookup needs little, so a source imports what its fetch needs within its methods.
"""

from __future__ import annotations

from ...errors import NotFound, Untrusted
from ...store import index
from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ...appc.image import ImageManifest
    from ...appc.names import ImageID
    from ...host.host import Host
    from ...store.blobs import Incoming
    from ...store.index import Remote, StoredImage
    from ..job import FetchJob
    from ..policies import ImagePolicy
    from ..policy import Note
    from ..reference import ImageReference

ABSENT = (
    "either image was not found in the store or store was disabled and fetching from remote yielded nothing or it "
    "was disabled"
)
PULL_HINT = "fetch it first, or use the pull policy new"
# Behind the path of an image, or the path in its URL: its detached signature (B24).
SIGNATURE_SUFFIX = ".asc"


class Received(Value):
    """What a source has sent: neither verified yet nor in the index.

    remote: the record of the source, to be written with it; others: those of what else it stands for. notes: what the
    user should hear once it counts.
    """

    incoming: Incoming
    remote: Remote
    notes: tuple[Note, ...] = ()
    others: tuple[Remote, ...] = ()


class Source(Value):
    """Where the image of a reference comes from. This one is the store and nothing else.

    is_at_hand: it is read without the network, so whatever the pull policy says, and before the store is asked.
    gives_names: the name of an image means what was fetched last.
    is_signable: its images may have detached signatures.
    """

    host: Host
    reference: ImageReference

    is_at_hand = False
    gives_names = True
    is_signable = False

    @property
    def has_remote(self) -> bool:
        """Whether it is fetched as the pull policy says."""
        return False

    @property
    def remote(self) -> Remote | None:
        """The record of what it gave last."""
        return index.find_remote(self.host.paths, self.reference.source)

    def stored(self) -> StoredImage | None:
        """Its image in the store, complete or not, whether the source is still there or not.

        Raises InvalidSpec for a key that is ambiguous or malformed, Corrupt for a damaged image.
        """
        try:
            image_id = self.stored_id()
            return index.get_image(self.host.paths, image_id) if image_id else None
        except NotFound:
            return None

    def stored_id(self) -> ImageID | None:
        """The ID of that image, from the index alone: enough to remove even a damaged image. Raises InvalidSpec."""
        remote = self.remote
        return remote.image_id if remote and index.has_image(self.host.paths, remote.image_id) else None

    def has_changed(self) -> bool:
        """Whether it is known without a request that a fetch may give another image.

        Raises NotFound, HostFailure, InvalidSpec for what is at hand and cannot be read.
        """
        return False

    def is_fresh(self) -> bool:
        """Whether the source has said that its content would not change until now (B18). Reads only the store."""
        return False

    def gives(self, _image: StoredImage) -> bool:
        """Whether it is known without a request that a fetch gives exactly this image. Reads all that is at hand."""
        return False

    def is_current(self, _job: FetchJob, _remote: Remote) -> bool:
        """Whether the source still gives the image of its record, by one HEAD, or what replaces it; writes nothing."""
        return True

    def foresee(self) -> None:
        """Raise what a fetch would fail on before its first request, whatever the policy. Reads only."""

    def check_dependencies(self) -> None:
        """Raise NotFound when its image needs one that is not in the store, as far as that is known. Reads only."""

    def receive(
        self, _job: FetchJob, _stored: StoredImage | None, _verifier: Verifier
    ) -> AbstractContextManager[Received | None]:
        """Receive the image; it lasts as long as the context. None: the stored one is what the source has.

        stored: the image of the reference in the store. verifier: is told before content is sent. The caller holds the
        turn of the source.
        """
        raise self.absent()

    def signature_place(self) -> str:
        """The path or the URL of the detached signature of its image; "" for one that has none (B24)."""
        return ""

    def read_signature(self, path: str) -> bytes:
        """The content of a file with its signature; a pipe is not waited for. Raises OSError, Corrupt."""
        import os

        from ...host.reading import read_bytes
        from ..openpgp import MOST_SIGNATURES

        return read_bytes(os.path.realpath(path), MOST_SIGNATURES)

    def archive_at_hand(self) -> str:
        """The path of its archive, "" where that is not at hand."""
        return ""

    def known_name(self) -> str:
        """The name of its image, "" where that is not known before it has come. Reads no more than a manifest."""
        return ""

    def check_manifest(self, _manifest: ImageManifest) -> None:
        """Raise Untrusted for the manifest of a verified image that is not the one that was asked for (B28)."""

    def image_policy(self) -> ImagePolicy | None:
        """The policy of this host for its image, None where it has none. Raises InvalidSpec, HostFailure."""
        return None

    def digests(self, _job: FetchJob) -> tuple[str, ...]:
        """What a verifier would be told by announced; sends requests, and writes nothing."""
        return ()

    def using(self, _image: StoredImage) -> str:
        """The line for an image that is taken from the store (B17)."""
        return f"using image from local store for url {self.reference}"

    def not_expired(self) -> str:
        """The line for a source that is fresh (B17)."""
        return f"image for {self.reference} isn't expired, not fetching."

    def absent(self) -> NotFound:
        """The error for an image that is not in the store and must not be fetched (B16)."""
        return NotFound(f"unable to fetch image from URL {self.reference}: {ABSENT}", PULL_HINT)

    def unverified(self) -> Untrusted:
        """The error for an image that cannot be verified (B27)."""
        return Untrusted(
            f"cannot verify {self.reference}: it has no signature that is trusted (try --insecure-options=image)",
            "say insecure_options: image, if its source is to be trusted",
        )


class Verifier:
    """The decision about the images of one fetch; this one trusts all. keeps_sent: see blobs.receive_archive.

    decided_by: the policy of the host that decides, as the index has it, "" without one.

    Every method raises Untrusted to refuse; then nothing of the image is in the index.
    """

    keeps_sent = False
    decided_by = ""

    def foresee(self, _source: Source) -> None:
        """Refuse before the first request, in check mode as well. Reads only."""

    def predict(self, _source: Source) -> None:
        """Refuse what verify would, as far as that is known of what is at hand: for check mode alone. Reads only."""

    def knows(self, _image: StoredImage) -> bool:
        """Whether a stored image that the source still gives need not be decided about again."""
        return True

    def announced(self, _job: FetchJob, _source: Source, _digests: tuple[str, ...]) -> None:
        """Refuse before content is sent. digests: those that it is then checked against, of docker manifests.

        It may send requests, such as for a signature.
        """

    def verify(self, _job: FetchJob, _source: Source, _received: Received) -> str:
        """Refuse an image that is whole, in its workspace. The fingerprint of the key that has signed it, or ""."""
        return ""
