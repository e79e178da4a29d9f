# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images by name and labels. There is no discovery, so they come from the store (B16)."""

from __future__ import annotations

from ...errors import NotFound
from ...store import index
from ..reference import AppcName, as_docker
from .source import ABSENT, PULL_HINT, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.names import ImageID
    from ...store.index import StoredImage


class NameSource(Source):
    """A name. It means the image of that name that was imported last (B10), so that using one changes no meaning."""

    reference: AppcName

    gives_names = False

    def stored(self) -> StoredImage | None:
        """The best image of the name that is not damaged."""
        return index.find_by_name(self.host.paths, self.reference.name, self.reference.labels)

    def stored_id(self) -> ImageID | None:
        """The best image of the name, damaged or not."""
        return next(
            iter(index.ids_by_name(self.host.paths, self.reference.name, self.reference.labels)), None
        )

    def foresee(self) -> None:
        """Raise NotFound: a name says not where to fetch from."""
        written = as_docker(str(self.reference))
        hint = "discovery by name is not available: fetch the image by its URL or from a file"
        if written:
            hint += f"; for an image of a docker registry write {written}"
        raise NotFound(f'image name "{self.reference}": {ABSENT}', hint)

    def using(self, _image: StoredImage) -> str:
        """The line for an image of that name."""
        return f"using image from local store for image name {self.reference}"

    def absent(self) -> NotFound:
        """The error for a name that no image in the store has."""
        return NotFound(f'unable to fetch image "{self.reference}": {ABSENT}', PULL_HINT)
