# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that an image lies upon, in the order in which they are stacked.

Source: rkt acirenderer, behaviours B51.
"""

from __future__ import annotations

from ..errors import Corrupt, InvalidSpec, NotFound
from ..value import Value
from .index import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.image import Dependency
    from ..host.paths import Paths
    from .index import StoredImage


class Placed(Value):
    """An image in a stack, and the white lists of paths of itself and of all that depend on it."""

    image: StoredImage
    whitelists: tuple[tuple[str, ...], ...]


class Missing(Value):
    """A dependency that is not in the store, and the image that needs it."""

    image: StoredImage
    dependency: Dependency


class _Walk(Value):
    """What a walk has found: the stack, what is not in the store, and the images that depend on themselves."""

    stack: tuple[Placed, ...]
    missing: tuple[Missing, ...]
    circular: tuple[StoredImage, ...]


def flatten(paths: Paths, image: StoredImage) -> tuple[Placed, ...]:
    """An image and its dependencies, topmost first: depth first, later dependencies over earlier ones.

    An image that is reached twice counts where it is topmost. Raises NotFound for a dependency that is not in the
    store, and InvalidSpec for a circle.
    """
    walk = _checked_walk(paths, image)
    for missing in walk.missing:
        raise NotFound(
            f"the image {missing.image.manifest.full_name} needs {missing.dependency.image_name}, "
            "which is not in the store",
            "fetch the image that it needs first",
        )
    return walk.stack


def walk_missing(paths: Paths, image: StoredImage) -> tuple[Missing, ...]:
    """The dependencies, of an image and of what it lies upon, that are not in the store.

    Raises InvalidSpec for a circle.
    """
    return _checked_walk(paths, image).missing


def present(view: View, image: StoredImage) -> tuple[StoredImage, ...]:
    """An image and what it lies upon, as far as that is in the store."""
    return tuple(placed.image for placed in _walk(view, image).stack)


def _find(view: View, dependency: Dependency) -> StoredImage | None:
    """The image in the store that fits a dependency, or None; an ID that is shortened must mean one image."""
    if dependency.image_id is None:
        return view.find_by_name(dependency.image_name, dependency.labels)
    try:
        return view.find_by_key(dependency.image_id)
    except (NotFound, Corrupt, InvalidSpec):
        return None


def _checked_walk(paths: Paths, image: StoredImage) -> _Walk:
    walk = _walk(View(paths), image)
    for circular in walk.circular:
        raise InvalidSpec(
            f"the image {circular.manifest.full_name} depends on itself", "one of its dependencies is wrong"
        )
    return walk


def _walk(view: View, image: StoredImage) -> _Walk:
    """Follow every dependency once, however many images share it or name it twice."""
    found: dict[str, Placed] = {}
    missing: list[Missing] = []
    circular: list[StoredImage] = []
    # The way from the top image down: each with the dependencies that are still to be followed, the last of them first.
    way = [_place(image, (), found)]
    while way:
        at, waiting = way[-1]
        if not waiting:
            way.pop()
            continue
        dependency = waiting.pop()
        below = _find(view, dependency)
        if below is None:
            missing.append(Missing(at.image, dependency))
        elif any(above.image.id == below.id for above, _waiting in way):
            circular.append(below)
        elif below.id not in found:
            way.append(_place(below, at.whitelists, found))
    return _Walk(tuple(found.values()), tuple(missing), tuple(circular))


def _place(
    image: StoredImage, whitelists: tuple[tuple[str, ...], ...], found: dict[str, Placed]
) -> tuple[Placed, list[Dependency]]:
    own = image.manifest.path_whitelist
    placed = Placed(image, (*whitelists, own) if own else whitelists)
    found[image.id] = placed
    # The last of the same ones counts, since it is stacked topmost.
    return placed, list(reversed(dict.fromkeys(reversed(image.manifest.dependencies))))
