# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and remove images, trees, layers and leftovers that are no longer needed.

Source: behaviours A56, B47. A plan is exact: a run removes what a dry run shows, unless it has come into use in
between.
"""

from __future__ import annotations

import os

from ..appc.names import ImageID
from ..errors import HostFailure, PodError
from ..host import files
from ..value import Value
from . import claims, dependencies, index, layers, locks, partial, pins, staging, trees, workspace
from .bounds import NO_BOUNDS, Bounds, beyond

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from ..host.paths import Paths
    from .index import StoredImage

    Used = tuple[Collection[str], Collection[str]]

IMAGE, TREE, LAYER, LEFTOVER = "images", "trees", "layers", "leftovers"


class Item(Value):
    """One thing to remove. kind: one of the constants above. bytes: the space that its removal frees.

    name: an image's or a tree's ID, the name of a layer's directory, the path of a leftover in the data directory.
    """

    kind: str
    name: str
    bytes: int


class Removals(Value):
    """The things to remove, or removed, in the order of removal."""

    items: tuple[Item, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """The IDs of the images."""
        return self._names(IMAGE)

    @property
    def trees(self) -> tuple[str, ...]:
        """The IDs of the trees."""
        return self._names(TREE)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers' directories."""
        return self._names(LAYER)

    @property
    def bytes(self) -> int:
        """The space that the removal frees."""
        return sum(item.bytes for item in self.items)

    def _names(self, kind: str) -> tuple[str, ...]:
        return tuple(item.name for item in self.items if item.kind == kind)


class Incomplete(HostFailure):
    """Not everything could be removed. removed: the things that were."""

    def __init__(self, removed: Removals, reasons: Iterable[str]) -> None:
        super().__init__("; ".join(reasons), "what is left goes with the next collection")
        self.removed = removed


def unreferenced(
    paths: Paths,
    used_trees: Collection[str],
    used_images: Collection[str],
    older_than: float,
    bounds: Bounds = NO_BOUNDS,
) -> Removals:
    """Find what may be removed; reads only.

    used_trees: those of existing pods. used_images: to be kept whatever their age, as pinned ones are. older_than:
    seconds since the epoch; images that were used later stay, as far as bounds allow, and so do those that a kept image
    depends on.
    """
    images = _removable_images(paths, {*used_images, *pins.pinned(paths).values()}, older_than, bounds)
    kept = _kept_layers(paths, set(images), set(used_trees))
    things = [(TREE, str(tree)) for tree in trees.list_trees(paths) if tree not in used_trees]
    things += [(IMAGE, str(image_id)) for image_id in images]
    things += [
        (LAYER, name) for name in layers.list_layers(paths) if name not in kept or not _is_layer(paths, name)
    ]
    things += [(LEFTOVER, path[len(paths.data) + 1 :]) for path in _leftovers(paths)]
    return Removals(tuple(Item(kind, name, _size(paths, kind, name)) for kind, name in things))


def collect(
    paths: Paths, used: Callable[[], Used], older_than: float, bounds: Bounds = NO_BOUNDS
) -> Removals:
    """Remove what is no longer needed and return it. Raises Conflict, OSError, and Incomplete once all else is done.

    used: returns used_trees and used_images. It is called when no process adds to the store any more, so a process that
    holds locks.adding while it prepares a pod cannot lose the images and trees that the pod is about to use.
    """
    removed: list[Item] = []
    reasons: list[str] = []
    with locks.collecting(paths):
        used_trees, used_images = used()
        for item in unreferenced(paths, used_trees, used_images, older_than, bounds).items:
            try:
                _remove(paths, item)
                removed.append(item)
            except PodError as err:
                reasons.append(err.message)
            except OSError as err:
                reasons.append(HostFailure.of(f"cannot remove {item.kind} {item.name}", err).message)
        locks.sweep(paths)
    if reasons:
        raise Incomplete(Removals(tuple(removed)), reasons)
    return Removals(tuple(removed))


def remove_image(paths: Paths, image_id: ImageID) -> None:
    """Remove one image and its pins, while no process adds to the store. Raises Conflict, OSError."""
    with locks.collecting(paths):
        pins.forget(paths, image_id)
        index.remove_image(paths, image_id)


def _remove(paths: Paths, item: Item) -> None:
    if item.kind == TREE:
        trees.remove_tree(paths, trees.TreeID(item.name))
    elif item.kind == IMAGE:
        index.remove_image(paths, ImageID(item.name))
    elif item.kind == LAYER:
        layers.remove_layer(paths, item.name)
    else:
        files.remove_tree(f"{paths.data}/{item.name}")


def _size(paths: Paths, kind: str, name: str) -> int:
    if kind == IMAGE:
        return sum(files.disk_usage_if_any(path) for path in index.places_of(paths, ImageID(name)))
    place = {TREE: paths.tree(name).path, LAYER: paths.layer(name).path, LEFTOVER: f"{paths.data}/{name}"}
    return files.disk_usage_if_any(place[kind])


def _is_layer(paths: Paths, name: str) -> bool:
    """Whether it is a directory: anything else in its place is useless, though an image may refer to it."""
    return files.is_real_dir(paths.layer(name).path)


def _leftovers(paths: Paths) -> Iterator[str]:
    """The leftovers of killed processes: files that no image has, and directories that no process works in."""
    yield from index.orphans(paths)
    yield from pins.orphans(paths)
    place = paths.layers
    if os.path.lexists(place) and not os.path.isdir(place):
        yield place
    yield from workspace.abandoned(paths.workspaces)
    yield from staging.abandoned(paths)
    yield from partial.abandoned(paths)


def _removable_images(
    paths: Paths, used_images: Collection[str], older_than: float, bounds: Bounds
) -> tuple[ImageID, ...]:
    """The images to remove; damaged ones are useless, but stay as long as others, so that they can be examined."""
    images, view = index.list_images(paths), index.View(paths)
    young = [image for image in images if image.last_used > older_than and image.id not in used_images]
    needed = _with_dependencies(view, [image for image in images if image.id in used_images], used_images)
    kept = _with_dependencies(view, young, needed)
    old = tuple(
        image_id
        for image_id in index.list_ids(paths)
        if image_id not in kept and not _used_since(paths, image_id, older_than)
    )
    left = [image for image in images if image.id not in old]
    return (*old, *beyond(paths, left, needed, bounds))


def _with_dependencies(view: index.View, images: Iterable[StoredImage], others: Collection[str]) -> set[str]:
    return {*others, *(below.id for image in images for below in dependencies.present(view, image))}


def _used_since(paths: Paths, image_id: ImageID, then: float) -> bool:
    try:
        return index.time_of_use(paths, image_id) > then
    except FileNotFoundError:
        return True  # removed meanwhile


def _kept_layers(paths: Paths, removed: set[ImageID], used_trees: set[str]) -> set[str]:
    """The names of the layers that a kept image, a tree in use or a fetch in progress needs."""
    kept = claims.claimed_names(paths)
    counted_on: list[Iterable[str] | None] = []
    for image_id in index.list_ids(paths):
        if image_id not in removed:
            layer_ids = index.layers_of(paths, image_id)
            counted_on.append(None if layer_ids is None else map(layers.layer_name, layer_ids))
    counted_on += [trees.layer_names(paths, tree) for tree in trees.list_trees(paths) if tree in used_trees]
    for names in counted_on:
        # One that cannot be read may need any.
        kept.update(layers.list_layers(paths) if names is None else names)
    return kept
