# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store has of a reference, and which source the reference has: the table of image.sources.

A lookup never touches the network, and imports neither requests nor the unpacking code, nor sources of other kinds.
"""

from __future__ import annotations

import os

from ..errors import Corrupt, NotFound
from ..store import dependencies, layers
from .reference import AppcName, ArchiveURL, DockerReference, ImageKey, LocalFile, SavedImage, SentFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..appc.names import ImageID
    from ..host.host import Host
    from ..store.index import StoredImage
    from .reference import ImageReference
    from .sources.source import Source


def source_of(host: Host, reference: ImageReference) -> Source:
    """Where the image of a reference comes from on this host."""
    return _KINDS[type(reference)]()(host, reference)


def lookup(host: Host, reference: ImageReference) -> StoredImage | None:
    """The stored image of a reference, without asking whether its source has something newer.

    What is at hand counts only as long as it has not changed, whatever the policy (B.4). None also when layers or
    dependencies are missing. Raises InvalidSpec for a key that is ambiguous or malformed.
    """
    return lookup_of(source_of(host, reference))


def lookup_of(source: Source) -> StoredImage | None:
    """The stored image of a source, as of its reference."""
    try:
        found = None if source.has_changed() else source.stored()
    except (NotFound, Corrupt):
        return None  # a fetch repairs it, or reports what is wrong
    return found if found and is_whole(source.host, found) else None


def stored(host: Host, reference: ImageReference) -> StoredImage | None:
    """The stored image of a reference, even if incomplete or without its source: enough to show it.

    Raises InvalidSpec for a key that is ambiguous or malformed, Corrupt for a damaged image.
    """
    return source_of(host, reference).stored()


def stored_id(host: Host, reference: ImageReference) -> ImageID | None:
    """The ID of that image, from the index alone: enough to remove even a damaged image. Raises InvalidSpec."""
    return source_of(host, reference).stored_id()


def is_whole(host: Host, image: StoredImage) -> bool:
    """Whether the tree of a stored image can be rendered from the store."""
    try:
        check_whole(host, image)
    except NotFound:
        return False
    return True


def check_whole(host: Host, image: StoredImage) -> None:
    """Raise NotFound unless the tree of an image can be rendered from the store."""
    for placed in dependencies.flatten(host.paths, image):
        for layer_id in placed.image.layers:
            if layers.has_layer(host.paths, layer_id):
                continue
            # The layer of an ACI can be unpacked again from its archive.
            if layer_id != placed.image.id or not os.path.exists(host.paths.blob(placed.image.id)):
                raise NotFound(
                    f"layers of the image {placed.image.id} are gone", "fetch it again from its source"
                )


def _name() -> type[Source]:
    from .sources.name import NameSource

    return NameSource


def _key() -> type[Source]:
    from .sources.key import KeySource

    return KeySource


def _file() -> type[Source]:
    from .sources.file import FileSource

    return FileSource


def _url() -> type[Source]:
    from .sources.url import UrlSource

    return UrlSource


def _docker() -> type[Source]:
    from .sources.docker import DockerSource

    return DockerSource


def _saved() -> Callable[[Host, SavedImage], Source]:
    from .sources.saved import source_of_saved

    return source_of_saved


def _sent() -> Callable[[Host, SentFile], Source]:
    from .sources.sent import source_of_sent

    return source_of_sent


_KINDS: dict[type, Callable[[], Callable[[Host, Any], Source]]] = {
    AppcName: _name,
    ImageKey: _key,
    LocalFile: _file,
    ArchiveURL: _url,
    DockerReference: _docker,
    SavedImage: _saved,
    SentFile: _sent,
}
