# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images by name and labels: from the store, or where meta discovery finds them. Source: behaviours B.4, B16, B28."""

from __future__ import annotations

from ...errors import NotFound, Untrusted
from ...store import index
from ..reference import AppcName, as_docker, is_discoverable
from .source import ABSENT, PULL_HINT, Received, Source, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ...appc.image import ImageManifest
    from ...appc.names import ImageID
    from ...store.index import Remote, StoredImage
    from ..job import FetchJob


class NameSource(Source):
    """A name. It means the image of that name that was imported last (B10), so that using one changes no meaning."""

    reference: AppcName

    gives_names = False
    is_signable = True

    @property
    def has_remote(self) -> bool:
        """Whether discovery can ask the host that it begins with."""
        return is_discoverable(self.reference.name)

    def stored(self) -> StoredImage | None:
        """The best image of the name that is not damaged."""
        return index.find_by_name(self.host.paths, self.reference.name, self.reference.labels)

    def stored_id(self) -> ImageID | None:
        """The best image of the name, damaged or not."""
        return next(
            iter(index.ids_by_name(self.host.paths, self.reference.name, self.reference.labels)), None
        )

    def foresee(self) -> None:
        """Raise NotFound for a name that says not where to fetch from."""
        if self.has_remote:
            return
        hint = "discovery asks the host that a name begins with: fetch the image by its URL or from a file"
        written = as_docker(str(self.reference))
        if written:
            hint = f"for an image of a docker registry write {written}; {hint}"
        raise NotFound(f'image name "{self.reference}": {ABSENT}', hint)

    def is_current(self, job: FetchJob, remote: Remote) -> bool:
        """Whether the first place that discovery finds still gives it."""
        from .endpoint import is_current

        return is_current(job, self.reference, remote.image_id)

    def receive(
        self, job: FetchJob, stored: StoredImage | None, verifier: Verifier
    ) -> AbstractContextManager[Received | None]:
        """From the first place that does not refuse it."""
        from .endpoint import receive

        return receive(job, self.reference, stored, verifier)

    def known_name(self) -> str:
        """The name that was asked for."""
        return str(self.reference.name)

    def check_manifest(self, manifest: ImageManifest) -> None:
        """It must have the name and the labels, and none of another host. Raises Untrusted."""
        from ..discovery import labels_asked

        if manifest.name != self.reference.name:
            raise Untrusted(
                f'error when reading the app name: "{self.reference.name}" expected but "{manifest.name}" found',
                "ask the owner of the image: discovery leads to another one",
                image=str(self.reference.name),
            )
        for label, value in labels_asked(self.reference, self.host.arch).pairs:
            given = manifest.labels.get(label)
            if given == value or (given is None and self.reference.labels.get(label) is None):
                continue
            reason = (
                f'requested label "{label}" not provided by the image manifest'
                if given is None
                else f'requested value for label "{label}": "{value}" differs from fetched aci label value: "{given}"'
            )
            raise Untrusted(
                reason,
                "ask for the labels that it has, or its owner for the right image",
                image=str(self.reference.name),
            )

    def using(self, _image: StoredImage) -> str:
        """The line for an image of that name."""
        return f"using image from local store for image name {self.reference}"

    def absent(self) -> NotFound:
        """The error for a name that no image in the store has."""
        return NotFound(f'unable to fetch image "{self.reference}": {ABSENT}', PULL_HINT)
