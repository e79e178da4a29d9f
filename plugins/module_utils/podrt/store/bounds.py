# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much may stay in the store, and which images go when it is more."""

from __future__ import annotations

from ..value import Value
from . import dependencies, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ..appc.names import ImageID
    from ..host.paths import Paths
    from .index import StoredImage


class Bounds(Value):
    """The numbers of images and of bytes that may stay, None for no bound. What is needed stays in any case."""

    images: int | None = None
    bytes: int | None = None


NO_BOUNDS = Bounds()


def beyond(
    paths: Paths, images: Iterable[StoredImage], needed: Collection[str], bounds: Bounds
) -> tuple[ImageID, ...]:
    """The images to remove of these so that the others are within bounds, those that were used longest ago first.

    None that is needed goes, and none that one that stays depends on.
    """
    if bounds == NO_BOUNDS:
        return ()
    left = {image.id: image for image in sorted(images, key=lambda image: image.last_used)}
    gone: list[ImageID] = []
    sizes, below = _Sizes(paths), _below(paths, left.values())
    while _is_too_much(left.values(), bounds, sizes):
        wanted = {lower for image_id in left for lower in below.get(image_id, ())}
        victim = next((each for each in left if each not in needed and each not in wanted), None)
        if victim is None:
            break
        del left[victim]
        gone.append(victim)
    return tuple(gone)


def _is_too_much(images: Collection[StoredImage], bounds: Bounds, sizes: _Sizes) -> bool:
    if bounds.images is not None and len(images) > bounds.images:
        return True
    return bounds.bytes is not None and sizes.total(images) > bounds.bytes


def _below(paths: Paths, images: Iterable[StoredImage]) -> dict[ImageID, frozenset[ImageID]]:
    """The images that each one depends on, as far as they are in the store."""
    view = index.View(paths)
    return {
        image.id: frozenset(lower.id for lower in dependencies.present(view, image)) - {image.id}
        for image in images
        if image.manifest.dependencies
    }


class _Sizes:
    """The bytes of images, each layer once."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._known: dict[str, int] = {}

    def total(self, images: Iterable[StoredImage]) -> int:
        """What these images occupy together."""
        found = {layer: self._size(layer) for image in images for layer in image.layers}
        own = sum(image.size - sum(map(self._size, set(image.layers))) for image in images)
        return own + sum(found.values())

    def _size(self, layer_id: str) -> int:
        if layer_id not in self._known:
            layer = layers.find_layer(self._paths, layer_id)
            self._known[layer_id] = layer.size if layer else 0
        return self._known[layer_id]
