# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that an image lies upon, in the order in which they are stacked.

Source: rkt acirenderer, behaviours B51.
"""

from __future__ import annotations

from ..errors import InvalidSpec, NotFound
from ..value import Value
from . import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.image import Dependency
    from ..host.paths import Paths
    from .index import StoredImage


class Placed(Value):
    """An image in a stack, and the white lists of paths of itself and of all that depend on it."""

    image: StoredImage
    whitelists: tuple[tuple[str, ...], ...]


def flatten(paths: Paths, image: StoredImage) -> tuple[Placed, ...]:
    """An image and its dependencies, topmost first: depth first, later dependencies over earlier ones.

    An image that is reached twice counts where it is topmost. Raises NotFound for a dependency that is not in the
    store, and InvalidSpec for a circle.
    """
    found: dict[str, Placed] = {}
    _place(paths, image, (), (), found)
    return tuple(found.values())


def find(paths: Paths, dependency: Dependency) -> StoredImage | None:
    """The image in the store that fits a dependency, or None."""
    if dependency.image_id is None:
        return index.find_by_name(paths, dependency.image_name, dependency.labels)
    try:
        return index.get_image(paths, dependency.image_id)
    except NotFound:
        return None


def _place(
    paths: Paths,
    image: StoredImage,
    above: tuple[str, ...],
    whitelists: tuple[tuple[str, ...], ...],
    found: dict[str, Placed],
) -> None:
    if image.id in above:
        raise InvalidSpec(
            f"the image {image.manifest.full_name} depends on itself", "one of its dependencies is wrong"
        )
    own = image.manifest.path_whitelist
    lists = (*whitelists, own) if own else whitelists
    if image.id not in found:
        found[image.id] = Placed(image, lists)
    for dependency in reversed(image.manifest.dependencies):
        below = find(paths, dependency)
        if below is None:
            raise NotFound(
                f"the image {image.manifest.full_name} needs {dependency.image_name}, which is not in the store",
                "fetch the image again: its dependencies come with it",
            )
        _place(paths, below, (*above, image.id), lists, found)
