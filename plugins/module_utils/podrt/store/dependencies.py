# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that an image depends on, in the order in which they are stacked.

Source: rkt acirenderer, behaviours B51.
"""

from __future__ import annotations

from ..appc.names import ImageID
from ..errors import Corrupt, InvalidSpec, NotFound, first_of
from ..value import Value
from .index import StoredImage, View, list_images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..appc.image import Dependency, ImageManifest
    from ..appc.names import ImageHash
    from ..host.paths import Paths

_MOST_NAMED = 5


class Placed(Value):
    """An image in a stack, and the path whitelists of itself and of all that depend on it."""

    image: StoredImage
    whitelists: tuple[tuple[str, ...], ...]


class _Walk(Value):
    """The result of a walk: the stack, why a dependency is missing, and the images that depend on themselves."""

    stack: tuple[Placed, ...]
    missing: tuple[NotFound, ...]
    circular: tuple[StoredImage, ...]


def flatten(paths: Paths, image: StoredImage) -> tuple[Placed, ...]:
    """An image and its dependencies, topmost first: depth first, later dependencies over earlier ones.

    An image that is reached twice counts where it is topmost. Raises NotFound for a dependency that is not in the
    store, or that no image there may satisfy, and InvalidSpec for a cycle.
    """
    walk = _walk(View(paths), image)
    for circular in walk.circular:
        raise InvalidSpec(
            f"the image {circular.manifest.full_name} depends on itself", "one of its dependencies is wrong"
        )
    for missing in walk.missing:
        raise missing
    return walk.stack


def check(paths: Paths, manifest: ImageManifest) -> None:
    """Raise the errors of flatten for an image that is not in the store yet."""
    unknown = ImageID.of_digest("0" * 64)
    flatten(
        paths, StoredImage(unknown, manifest, 0.0, 0.0, latest=False, size=0, layers=(), signer="", policy="")
    )


def present(view: View, image: StoredImage) -> tuple[StoredImage, ...]:
    """An image and its dependencies, as far as these are in the store."""
    return tuple(placed.image for placed in _walk(view, image).stack)


def dependents(paths: Paths, image_ids: Collection[ImageID]) -> tuple[StoredImage, ...]:
    """The other images of the store that depend on one of these, directly or not."""
    view = View(paths)
    return tuple(
        image
        for image in list_images(paths)
        if image.manifest.dependencies
        and image.id not in image_ids
        and any(below.id in image_ids for below in present(view, image))
    )


def warning_of_removal(paths: Paths, image_ids: Collection[ImageID]) -> str:
    """The warning about a removal of these images, "" for none."""
    images = dependents(paths, image_ids)
    if not images:
        return ""
    names = [f"{image.manifest.full_name} ({image.id})" for image in images]
    return f"other images depend on what is removed, and need it for new pods: {first_of(names, _MOST_NAMED)}"


def _find(view: View, name: str, dependency: Dependency) -> StoredImage:
    """The image in the store that satisfies a dependency of an image of that name. Raises NotFound.

    Dependencies are not trusted: an ID must be whole and of the image that is named, so that no image gets at the
    content of another by guessing. No image may depend on a docker image.
    """
    needed, wanted_id = dependency.image_name, dependency.image_id
    if wanted_id and not _is_whole(wanted_id):
        raise NotFound(
            f"the image {name} needs {needed}, by an ID that is cut, {wanted_id}",
            "build it again, with all 64 digits of the ID that it needs",
        )
    image = _look_up(view, dependency)
    if image is None:
        raise NotFound(
            f"the image {name} needs {needed}, which is not in the store",
            "fetch the image that it needs first",
            needs=str(needed),
        )
    if image.manifest.name != needed:
        raise NotFound(
            f"the image {name} needs {needed}, but the image of the ID that it gives, {image.id}, calls itself "
            f"{image.manifest.name}",
            "build it again, with the name and the ID of one image",
        )
    if image.manifest.of_docker_origin:
        raise NotFound(
            f"the image {name} needs {needed}, but {image.id} of that name was converted from a docker image, "
            "which no image may depend on",
            "fetch an ACI of that name, or build the image upon an ACI",
        )
    return image


def _is_whole(image_hash: ImageHash) -> bool:
    try:
        return ImageID(image_hash) == image_hash
    except InvalidSpec:
        return False


def _look_up(view: View, dependency: Dependency) -> StoredImage | None:
    if dependency.image_id is None:
        return view.find_by_name(dependency.image_name, dependency.labels)
    try:
        return view.find_by_key(dependency.image_id)
    except (NotFound, Corrupt):
        return None


def _walk(view: View, image: StoredImage) -> _Walk:
    """Follow every dependency once, however many images share it or name it twice."""
    found: dict[str, Placed] = {}
    missing: list[NotFound] = []
    circular: list[StoredImage] = []
    # The path from the top image down: each image with the dependencies still to be followed, the last one first.
    way = [_place(image, (), found)]
    while way:
        at, waiting = way[-1]
        if not waiting:
            way.pop()
            continue
        dependency = waiting.pop()
        try:
            below = _find(view, at.image.manifest.full_name, dependency)
        except NotFound as err:
            missing.append(err)
            continue
        if any(above.image.id == below.id for above, _waiting in way):
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
    # Of equal ones the last counts, since it is stacked topmost.
    return placed, list(reversed(dict.fromkeys(reversed(image.manifest.dependencies))))
