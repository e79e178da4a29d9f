# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trees and images that pods need. Where that is in doubt, they need everything.

A pod's files are read through its descriptor: it may be moved to its next state at any moment, and a reader of its old
path would find nothing and give up its tree.
"""

from __future__ import annotations

import os

from ..appc.volumes import ImageVolume
from ..contexts import suppress
from ..errors import PodError
from ..host.dirs import PodDir
from ..host.files import entries
from ..host.reading import read_text
from ..pod import documents
from ..pod.lifecycle import walk
from ..store import index, trees
from . import image_volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from ..store.trees import TreeID

    Used = tuple[frozenset[str], frozenset[str]]


def in_use(host: Host, gone: Collection[str] = ()) -> Used:
    """The trees and the images of all pods, whatever their state, except the UUIDs that are about to go.

    Exact while no process adds to the store (store.locks.collecting). Source: behaviours A56.
    """
    paths = host.paths
    used: set[TreeID] = set()
    named: set[str] = set()
    try:
        for pod in walk(paths):
            if pod.uuid not in gone:
                used.update(_trees_of(pod))
                named.update(_images_of(pod))
    except (OSError, PodError):
        return frozenset(trees.list_trees(paths)), frozenset(index.list_ids(paths))
    named.update(filter(None, (trees.image_of(paths, tree) for tree in used)))
    return frozenset(used), frozenset(named)


def held_directory(pod: Pod) -> PodDir:
    """The pod's directory, even if it has moved; valid as long as the pod is open."""
    return PodDir(f"/proc/self/fd/{pod.fd}")


def _trees_of(pod: Pod) -> set[TreeID]:
    """The trees of its apps, its volumes and its stage1; what is not prepared yet has none. Raises OSError, Corrupt."""
    used = {*_trees_of_apps(held_directory(pod)), *_trees_of_apps(PodDir(held_directory(pod).replaced))}
    if os.path.isdir(held_directory(pod).volume_infos):
        used.update(image_volumes.trees_of(held_directory(pod)))
    with suppress(FileNotFoundError):
        place = held_directory(pod)
        used.add(trees.TreeID.parse(read_text(place.stage1_tree_id, beneath=place.path)))
    return used


def _trees_of_apps(place: PodDir) -> set[TreeID]:
    used = set()
    for app in entries(place.app_infos):
        try:
            used.add(trees.TreeID.parse(read_text(place.app_tree_id(app), beneath=place.path)))
        except FileNotFoundError:
            continue
    return used


def _images_of(pod: Pod) -> set[str]:
    """The images that its manifest names, and that of a change of its apps which is not over."""
    return _images_in(held_directory(pod)) | _images_in(PodDir(held_directory(pod).replaced))


def _images_in(place: PodDir) -> set[str]:
    """Those of a damaged manifest are known by their trees."""
    try:
        manifest = documents.read_manifest(place)
        volumes = {volume.id for volume in manifest.volumes if isinstance(volume, ImageVolume)}
        return {*(str(app.image.id) for app in manifest.apps), *volumes}
    except (FileNotFoundError, PodError):
        return set()
