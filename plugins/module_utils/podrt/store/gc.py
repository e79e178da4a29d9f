# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images, trees and layers nothing needs any more, and their removal.

Source: behaviours A56, B47. A plan is exact: what a dry run shows is what a run removes, unless somebody began to use
it in between.
"""

from __future__ import annotations

from ..appc.names import ImageID
from ..host import files
from ..value import Value
from . import blobs, dependencies, index, layers, trees, workspace
from .locks import collecting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..host.paths import Paths
    from .trees import TreeID

    Used = tuple[Collection[str], Collection[str]]


class Plan(Value):
    """What may go. layers: names of directories (layers.layer_name). bytes: what its removal frees."""

    images: tuple[ImageID, ...]
    trees: tuple[TreeID, ...]
    layers: tuple[str, ...]
    bytes: int


def unreferenced(
    paths: Paths, used_trees: Collection[str], used_images: Collection[str], older_than: float
) -> Plan:
    """Find what may go; reads only.

    used_trees: of pods that exist. used_images: to be kept whatever their age. older_than: seconds since the epoch;
    images that were used after it stay, and so do those that a kept image depends on.
    """
    images = _removable_images(paths, used_images, older_than)
    gone = tuple(tree for tree in trees.list_trees(paths) if tree not in used_trees)
    kept = _kept_layers(paths, set(images), set(used_trees))
    left = tuple(name for name in layers.list_layers(paths) if name not in kept)
    places = [
        *(
            path
            for image in images
            for path in (index.blob_path(paths, image), index.manifest_path(paths, image))
        ),
        *(paths.tree(tree) for tree in gone),
        *(layers.place_of(paths, name) for name in left),
    ]
    return Plan(images, gone, left, sum(files.disk_usage(place) for place in places))


def collect(paths: Paths, used: Callable[[], Used], older_than: float) -> Plan:
    """Remove what may go, and what killed processes left; what was removed. Raises Conflict, HostFailure.

    used: gives used_trees and used_images. It is called when nobody adds to the store any more, so that whoever holds
    locks.adding while a pod is prepared cannot lose what the pod is about to refer to.
    """
    with collecting(paths):
        used_trees, used_images = used()
        plan = unreferenced(paths, used_trees, used_images, older_than)
        for tree in plan.trees:
            trees.remove_tree(paths, tree)
        for image in plan.images:
            with blobs.lock_image(paths, image):
                index.remove_image(paths, image)
        for name in plan.layers:
            layers.remove_layer_dir(paths, name)
        workspace.sweep(workspace.temporary(paths))
    return plan


def _removable_images(paths: Paths, used_images: Collection[str], older_than: float) -> tuple[ImageID, ...]:
    images = index.list_images(paths)
    kept = [image for image in images if image.id in used_images or image.last_used > older_than]
    needed = {image.id for image in kept}
    for image in kept:
        needed.update(_needs(paths, image))
    return tuple(image.id for image in images if image.id not in needed)


def _needs(paths: Paths, image: index.StoredImage) -> set[ImageID]:
    found: set[ImageID] = set()
    waiting = [image]
    while waiting:
        current = waiting.pop()
        if current.id in found:
            continue
        found.add(current.id)
        below = (dependencies.find(paths, dependency) for dependency in current.manifest.dependencies)
        waiting += [image for image in below if image]
    return found


def _kept_layers(paths: Paths, removed: set[ImageID], used_trees: set[str]) -> set[str]:
    """The names of layers that an image that stays, or a tree in use, stands on."""
    kept = {
        layers.layer_name(layer_id)
        for image in index.list_images(paths)
        if image.id not in removed
        for layer_id in image.layers
    }
    for tree in trees.list_trees(paths):
        if tree in used_trees:
            kept.update(trees.layer_names(paths, tree))
    return kept
