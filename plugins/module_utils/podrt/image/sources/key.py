# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images by the beginning of their ID, which are in the store or nowhere."""

from __future__ import annotations

from ...errors import NotFound
from ...store import index
from ..reference import ImageKey
from .source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.names import ImageID
    from ...store.index import StoredImage


class KeySource(Source):
    """A key."""

    reference: ImageKey

    gives_names = False

    def stored_id(self) -> ImageID | None:
        """The ID that begins so. Raises InvalidSpec."""
        try:
            return index.id_by_key(self.host.paths, self.reference.prefix)
        except NotFound:
            return None

    def foresee(self) -> None:
        """Raise NotFound: an ID says not where to fetch from."""
        raise self.absent()

    def using(self, image: StoredImage) -> str:
        """The line for an image with its whole ID."""
        return f"using image from the store with hash {image.id}"

    def absent(self) -> NotFound:
        """The error for a key that no image in the store has (B9)."""
        try:
            index.find_by_key(self.host.paths, self.reference.prefix)
        except NotFound as err:
            return err
        return super().absent()
