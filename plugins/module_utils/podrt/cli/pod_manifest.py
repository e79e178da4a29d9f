# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""--pod-manifest: a whole pod from a file; its images must be in the store. Source: behaviours A21, C5, C6."""

from __future__ import annotations

from ..appc.pod import PodManifest
from ..appc.volumes import Mount, app_path
from ..errors import HostFailure, InvalidSpec, NotFound, PodError
from ..fields import parse_json
from ..host.policy import ACCEPT
from ..host.reading import read_given
from ..image.reference import ImageKey
from ..stage0.image_volumes import has_images, stored_images
from ..stage0.images import isolators_policy
from ..stage0.manifest import BeyondDefaults, build_manifest
from ..stage0.spec import AppSpec
from ..store import index
from .grammar import in_words_of_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.image import Image
    from ..appc.names import ACName
    from ..appc.pod import RuntimeApp
    from ..host.host import Host
    from ..stage0.manifest import Preparation
    from ..stage0.spec import PodSpec


def read_preparation(host: Host, path: str, spec: PodSpec) -> Preparation:
    """The preparation of a pod from a manifest. spec: everything that is not in the manifest.

    Raises InvalidSpec, NotFound, HostFailure.
    """
    try:
        given = PodManifest.from_json(parse_json(read_given(path), path))
    except OSError as err:
        raise HostFailure.of("cannot read the pod manifest", err) from err
    if not given.apps:
        raise InvalidSpec("pod must contain at least one application")
    images = tuple(_image(host, app) for app in given.apps)
    of_volumes = stored_images(host, given.volumes) if has_images(given.volumes) else ()
    wanted = spec.replace(
        apps=tuple(_app_spec(app, {volume.name for volume in given.volumes}) for app in given.apps),
        volumes=given.volumes,
        ports=given.ports,
        user_labels=given.user_labels,
    )
    described = tuple(_described(app, image) for app, image in zip(given.apps, images))
    try:
        built = build_manifest(wanted, described, host.paths.volume_data, isolators_policy(host))
    except BeyondDefaults as err:
        raise in_words_of_flags(err) from err
    own = {isolator.name for isolator in spec.isolators}
    manifest = built.manifest.replace(
        isolators=(*(each for each in given.isolators if each.name not in own), *spec.isolators),
        annotations=given.annotations.merged(built.manifest.annotations),
        user_annotations=given.user_annotations,
    )
    return built.replace(manifest=manifest, images=images, volume_images=of_volumes)


def _image(host: Host, app: RuntimeApp) -> Image:
    try:
        return index.find_by_key(host.paths, app.image.id)
    except PodError as err:
        raise NotFound(f"error getting the image manifest from store: {err.message}", err.hint) from err


def _described(app: RuntimeApp, image: Image) -> Image:
    """The image with the app of the pod manifest."""
    described = app.app or image.manifest.app
    if described is None:
        raise InvalidSpec("no app section in the pod manifest or the image manifest")
    return image.replace(manifest=image.manifest.replace(app=described))


def _app_spec(app: RuntimeApp, volumes: set[ACName]) -> AppSpec:
    """The spec of an app; the app section of a pod manifest, unlike that of an image, is the operator's consent."""
    mounts = list(app.mounts)
    taken = {app_path(mount.path) for mount in app.mounts}
    for point in app.app.mount_points if app.app else ():
        if point.name in volumes and app_path(point.path) not in taken:
            mounts.append(Mount(point.name, point.path))
    return AppSpec(
        image=ImageKey(app.image.id),
        name=app.name,
        mounts=tuple(mounts),
        read_only_root_fs=app.read_only_root_fs,
        tmpfs=app.tmpfs,
        privileged=app.privileged,
        annotations=app.annotations.pairs,
        image_isolators=ACCEPT if app.app else "",
    )
