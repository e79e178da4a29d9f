# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an image count: the index knows it, and the source that it came from. Only verified images get here.

An image is committed, rendered and, where that fails, taken back under a lock of its own. So a fetch takes back what it
has brought itself, and no process uses an image that another one is about to take back.
"""

from __future__ import annotations

from ..appc.image import Image
from ..contexts import contextmanager
from . import blobs, index, layers, trees
from .locks import adding
from .trust import NO_TRUST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.names import ImageID
    from ..host.paths import Paths
    from .blobs import Incoming
    from .index import Remote, StoredImage
    from .trees import RenderedImage
    from .trust import Trust


def commit(
    paths: Paths, incoming: Incoming, remotes: tuple[Remote, ...], trust: Trust = NO_TRUST
) -> RenderedImage:
    """Put an image and the records of its sources into the store, and render it. trust: why it may count.

    One that cannot be rendered goes again if it is new, but not on an interrupt: it is complete. Raises NotFound for a
    dependency that is not in the store, Corrupt, HostFailure, OSError.
    """
    with adding(paths), blobs.lock_image(paths, incoming.id), _taking_back(paths, incoming.id):
        stored = enter(paths, incoming, trust)
        for remote in remotes:
            index.put_remote(paths, remote)
        return trees.render(paths, stored)


def use(paths: Paths, image: StoredImage) -> RenderedImage | None:
    """Render an image of the store, and note its use. None when it has been removed. Raises as commit does."""
    with adding(paths), blobs.lock_image(paths, image.id):
        if not index.has_image(paths, image.id):
            return None
        index.touch(paths, image.id)
        return trees.render(paths, image)


def enter(paths: Paths, incoming: Incoming, trust: Trust = NO_TRUST) -> StoredImage:
    """Put an image in place, the index last, so that it counts once all else is there. The caller holds both locks.

    Raises Corrupt, OSError.
    """
    if incoming.has_own_layer:
        layers.place_first(paths, incoming.workspace, incoming.id)
    size = blobs.put_blob(paths, incoming.id, incoming.workspace.blob)
    placed = (layers.find_layer(paths, layer_id) for layer_id in dict.fromkeys(incoming.layers))
    size += sum(layer.size for layer in placed if layer)
    return index.put_image(
        paths,
        Image(incoming.id, incoming.manifest),
        incoming.layers,
        size,
        latest=incoming.latest,
        trust=trust,
    )


@contextmanager
def _taking_back(paths: Paths, image_id: ImageID) -> Iterator[None]:
    """Remove an image that was not there before when an error comes of what is done with it."""
    is_new = not index.has_image(paths, image_id)
    try:
        yield
    except Exception:
        if is_new:
            index.remove_image(paths, image_id)
        raise
