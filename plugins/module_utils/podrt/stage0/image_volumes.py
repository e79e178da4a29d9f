# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are images: fetched and trusted as those of apps, and kept as long as the pod."""

from __future__ import annotations

import os

from ..appc.names import ImageID
from ..appc.volumes import ImageVolume
from ..contexts import suppress
from ..errors import InvalidSpec, NotFound, PodError
from ..host.dirs import PodDir
from ..host.files import entries_if_any, make_dirs, write_new
from ..host.reading import read_bytes, read_text
from ..image.reference import parse_reference
from ..store import index, trees
from ..store.trees import RenderedImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Union

    from ..appc.image import Image
    from ..appc.volumes import Volume
    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.reference import ImageReference
    from ..pod.lifecycle import Pod
    from ..pod.subids import IdRange
    from .change import Plan
    from .spec import PodSpec

    Ensure = Callable[[ImageReference, FetchPolicy], Plan[Union[Image, None]]]


def has_images(volumes: Sequence[Volume]) -> bool:
    """Whether any of some volumes is an image. Pure."""
    return any(isinstance(volume, ImageVolume) for volume in volumes)


def ensure_images(spec: PodSpec, ensure: Ensure) -> Plan[tuple[Image | None, ...]]:
    """Plan: the images of volumes are in the store. Returns them in order, None for one that has yet to be fetched."""
    found: list[Image | None] = []
    for at, volume in enumerate(spec.volumes):
        if isinstance(volume, ImageVolume):
            reference = parse_reference(volume.image, f"volumes[{at}].image", relative=False)
            found.append((yield from ensure(reference, spec.policy)))
    return tuple(found)


def with_ids(spec: PodSpec, images: Sequence[Image | None]) -> PodSpec:
    """The spec, with the IDs of the images of its volumes, as far as they are known. Pure."""
    left = iter(images)
    volumes: list[Volume] = []
    for volume in spec.volumes:
        image = next(left, None) if isinstance(volume, ImageVolume) else None
        known = image is not None and isinstance(volume, ImageVolume)
        volumes.append(volume.replace(id=str(image.id)) if known and image else volume)
    return spec.replace(volumes=tuple(volumes))


def stored_images(host: Host, volumes: Sequence[Volume]) -> tuple[Image, ...]:
    """The images of the volumes of a pod manifest, which must be in the store. Raises NotFound, InvalidSpec."""
    found = []
    for at, volume in enumerate(volumes):
        if not isinstance(volume, ImageVolume):
            continue
        if not volume.id:
            raise InvalidSpec("there is no image ID", "name one of the store", where=f"volumes[{at}].id")
        try:
            found.append(index.find_by_key(host.paths, volume.id))
        except PodError as err:
            said = f"error getting the image manifest from store: {err.message}"
            raise NotFound(said, err.hint, where=f"volumes[{at}].id") from err
    return tuple(found)


def write_images(
    host: Host, pod: Pod, volumes: Sequence[Volume], images: Sequence[Image], users: IdRange | None
) -> None:
    """Record in a new pod which trees its volumes are. Raises PodError, OSError."""
    named = [volume for volume in volumes if isinstance(volume, ImageVolume)]
    for volume, image in zip(named, images):
        index.touch(host.paths, image.id)
        rendered = _rendered(host, image)
        _write(host, pod, volume.name, rendered.tree, rendered.lower, users)


def write_images_again(host: Host, old: Pod, pod: Pod, users: IdRange | None) -> None:
    """Record the same trees in a pod that is made of the documents of another one. Raises PodError, OSError."""
    for name in entries_if_any(old.dir.volume_infos):
        tree = trees.TreeID.parse(read_text(old.dir.volume_tree_id(name), beneath=old.dir.path))
        lower = tuple(read_bytes(old.dir.volume_lower(name), beneath=old.dir.path).decode().splitlines())
        if not all(map(os.path.isdir, lower)):
            raise NotFound(
                f'cannot mount the image of volume "{name}" again: it is gone',
                "converge the pod again, or fetch the image",
            )
        _write(host, pod, name, tree, lower, users)


def trees_of(place: PodDir) -> set[trees.TreeID]:
    """The trees of a pod's volumes. Raises OSError, Corrupt."""
    found = set()
    for name in entries_if_any(place.volume_infos):
        with suppress(FileNotFoundError):
            found.add(trees.TreeID.parse(read_text(place.volume_tree_id(name), beneath=place.path)))
    return found


def _write(
    host: Host, pod: Pod, name: str, tree: trees.TreeID, lower: tuple[str, ...], users: IdRange | None
) -> None:
    make_dirs(pod.dir.image_volume(name))
    write_new(pod.dir.volume_tree_id(name), tree.encode())
    if len(lower) > 1 and not os.path.exists(pod.dir.overlay_prepared):
        trees.copy_tree(host.paths, tree, pod.dir.image_volume(name), users.shifted if users else None)
        lower = ()
    write_new(pod.dir.volume_lower(name), "\n".join(lower).encode())


def _rendered(host: Host, image: Image) -> RenderedImage:
    if isinstance(image, RenderedImage) and trees.is_rendered(host.paths, image.tree):
        return image
    return trees.render(host.paths, index.get_image(host.paths, ImageID(str(image.id))))
