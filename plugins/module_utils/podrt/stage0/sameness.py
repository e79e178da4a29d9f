# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted documents that a pod has already, although in other words.

An image that was tagged, annotated or converted again has another ID, but perhaps the same files: what counts is the
root that it makes and the command line, which is in the manifest of the pod.
"""

from __future__ import annotations

import os

from ..appc.names import ACName, ImageID
from ..appc.ports import numbered
from ..appc.volumes import HostVolume, NamedVolume
from ..errors import Corrupt, InvalidSpec, NotFound
from ..host.reading import read_text
from ..store import trees
from .change import Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..appc.app import App
    from ..appc.image import Image
    from ..appc.pod import PodManifest, RuntimeApp
    from ..appc.volumes import Volume
    from ..host.paths import Paths
    from ..pod.lifecycle import Pod
    from ..pod.runspec import LogPolicy
    from .options.documents import Documents

_SCTP = "sctp"
_SUFFIXES = range(1, 6)  # k to P


def normalized(paths: Paths, pod: Pod, found: Documents, wanted: Documents) -> tuple[Documents, Documents]:
    """The found and the wanted documents, in one spelling where both mean the same. Reads the store and the pod."""
    as_now = with_names(paths, found[0], wanted[0])
    return (as_now, found[1]), _as_found(paths, pod, found, wanted)


def with_names(paths: Paths, found: PodManifest, wanted: PodManifest) -> PodManifest:
    """The found manifest with names for the volumes that the wanted one names, where it has their places. Pure."""
    named = {volume.name for volume in wanted.volumes if isinstance(volume, NamedVolume)}
    return found.replace(
        volumes=tuple(_with_name(paths, each) if each.name in named else each for each in found.volumes)
    )


def named_by_place(paths: Paths, volume: HostVolume) -> str:
    """The volume whose directory this is, "" for none: releases up to 0.2.0 wrote nothing else of a named one. Pure."""
    name = os.path.basename(os.path.dirname(volume.source))
    return name if volume.source == paths.volume_data(name) else ""


def _with_name(paths: Paths, volume: Volume) -> Volume:
    if not isinstance(volume, HostVolume) or volume.recursive is not False:
        return volume
    name = named_by_place(paths, volume)
    try:
        return NamedVolume(volume.name, ACName(name), volume.read_only, volume.source) if name else volume
    except InvalidSpec:
        return volume  # no volume is called so


def _as_found(paths: Paths, pod: Pod, found: Documents, wanted: Documents) -> Documents:
    manifest, runspec = wanted
    by_name = {app.name: app for app in found[0].apps}
    apps = tuple(_app_as_found(paths, pod, by_name.get(app.name), app) for app in manifest.apps)
    log = _log_as_found(found[1].log, runspec.log)
    # A pod of an earlier release, or of podctl, has rkt's files of names, and keeps them until something else differs.
    return manifest.replace(apps=apps), runspec.replace(log=log, names=found[1].names)


def other_trees(
    paths: Paths, pod: Pod, found: PodManifest, wanted: PodManifest, images: Sequence[Image | None]
) -> tuple[Difference, ...]:
    """The apps on another root than their image makes now, since a dependency of the image has changed.

    images: of the wanted apps, None where it is not known yet. For an image without dependencies, and for one that the
    pod does not have, the ID is enough. Reads the store and the pod.
    """
    by_name = {app.name: app for app in found.apps}
    differences: list[Difference] = []
    for number, (app, image) in enumerate(zip(wanted.apps, images)):
        old = by_name.get(app.name)
        if old is None or image is None or old.image.id != image.id or not image.manifest.dependencies:
            continue
        try:
            tree, now = _tree_of(pod, app.name), trees.tree_of(paths, image.id)
            if trees.gives_same_tree(paths, tree, image.id):
                continue
        except (OSError, Corrupt, NotFound):
            continue  # what is missing is reported where it is needed
        differences.append(Difference(f"apps[{number}].tree", str(tree), str(now), "image", "recreate"))
    return tuple(differences)


def _tree_of(pod: Pod, app: str) -> trees.TreeID:
    """The tree of an app of a pod. Raises OSError, Corrupt."""
    return trees.TreeID.parse(read_text(pod.dir.app_tree_id(app), beneath=pod.dir.path))


def _app_as_found(paths: Paths, pod: Pod, found: RuntimeApp | None, wanted: RuntimeApp) -> RuntimeApp:
    if found is None or found.image == wanted.image or not _same_root(paths, pod, found, wanted):
        return wanted
    return wanted.replace(image=found.image, app=_without_new_ports(found, wanted))


def _without_new_ports(found: RuntimeApp, wanted: RuntimeApp) -> App | None:
    """The wanted app without the SCTP ports of its docker image that earlier releases left out. Nothing uses them.

    One that the pod publishes is a difference of the pod.
    """
    if found.app is None or wanted.app is None:
        return wanted.app
    known = {port.name for port in found.app.ports}
    ports = tuple(
        port
        for port in wanted.app.ports
        if port.name in known
        or (port.protocol, str(port.name)) != (_SCTP, numbered(port.port, _SCTP, port.count))
    )
    return wanted.app.replace(ports=ports)


def _same_root(paths: Paths, pod: Pod, found: RuntimeApp, wanted: RuntimeApp) -> bool:
    """Whether the wanted image makes the root of the pod's app."""
    if found.image.id == wanted.image.id:
        return True
    try:
        return trees.gives_same_tree(paths, _tree_of(pod, found.name), ImageID(wanted.image.id))
    except (OSError, Corrupt, NotFound):
        return False


def _log_as_found(found: LogPolicy, wanted: LogPolicy) -> LogPolicy:
    """The wanted policy, with the size of a pod of release 0.1.0, which read 10M as 10,000,000 bytes."""
    if any(found.max_bytes * 1024**power == wanted.max_bytes * 1000**power for power in _SUFFIXES):
        return wanted.replace(max_bytes=found.max_bytes)
    return wanted
