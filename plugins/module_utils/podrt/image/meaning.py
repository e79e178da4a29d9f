# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meaning of a name: of the images with that name, the one that was imported last (B10).

An image names itself, so any fetch may give a name to another image.
"""

from __future__ import annotations

from ..store import index, locks
from .policy import Note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.names import ImageID
    from ..host.paths import Paths
    from ..store.index import StoredImage

_DOCKER = "cimd:docker:"


class Meanings:
    """The meaning of every name, and the image that a source gave, before a fetch from it."""

    def __init__(self, paths: Paths, source: str) -> None:
        self._paths = paths
        self._source = source
        self._names = index.meanings(paths)
        self._given = index.find_remote(paths, source)

    def has_moved(self, image: StoredImage) -> Note | None:
        """The warning if the name of a fetched image meant another before, which came from another source."""
        name = image.manifest.name
        before, now = self._names.get(name), index.meanings(self._paths).get(name)
        if before is None or before == image.id or now != image.id or self._gave(before):
            return None
        return Note(
            f'the name "{name}" meant {before} until now, and means {image.id} now, which came from another source: '
            "where others fetch images on this host, name them by ID, file, URL or docker reference"
        )

    def _gave(self, image_id: ImageID) -> bool:
        """Whether an image came from the same source, or from the same repository of a registry."""
        if self._given and self._given.image_id == image_id:
            return True
        own = _origin(self._source)
        return any(_origin(source) == own for source in index.sources_of(self._paths, image_id))


def renew(paths: Paths, source: str, image: StoredImage) -> Note | None:
    """Note that a stored image was imported again (B11), so that its name means it. Raises OSError, Corrupt."""
    meanings = Meanings(paths, source)
    with locks.adding(paths):
        index.note_import(paths, image.id)
    return meanings.has_moved(image)


def _origin(source: str) -> str:
    """A source; for a docker reference its repository alone."""
    if not source.startswith(_DOCKER):
        return source
    place, slash, last = source.partition("@")[0].rpartition("/")
    return place + slash + last.partition(":")[0]
