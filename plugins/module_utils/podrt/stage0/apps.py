# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The apps of a pod that runs: one more is prepared in its directory, or one is taken out of it.

The manifest of the pod is replaced at once, and says what there is. An app is complete before the manifest has it, and
its files go after it has left that: what a crash leaves between is removed when an app of its name is added, and with
the pod. A pod's apps are changed by one process at a time.
"""

from __future__ import annotations

from ..contexts import suppress
from ..errors import HostFailure, InvalidSpec, NotFound
from ..fields import canonical_json
from ..host.files import write_atomically
from ..pod import documents
from .manifest import UndescribedApp
from .prepare import check_sources, write_app
from .replaced import changing, remove_files, sync, tidy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .manifest import Preparation


def with_app(manifest: PodManifest, one: PodManifest) -> PodManifest:
    """The manifest of a pod with the app of another manifest, and the volumes of that. Pure.

    Raises UndescribedApp for a name that is taken, InvalidSpec for a volume that means something else already.
    """
    (app,) = one.apps
    if manifest.app(app.name):
        raise UndescribedApp(
            f"multiple apps with name {app.name}",
            "give one of them another name, --name on the command line",
            where="apps[0].name",
        )
    held = {volume.name: volume for volume in manifest.volumes}
    for volume in one.volumes:
        if held.get(volume.name, volume) != volume:
            raise InvalidSpec(
                f'the pod has another volume of the name "{volume.name}"',
                "choose another name",
                where="volumes",
            )
    new = tuple(volume for volume in one.volumes if volume.name not in held)
    return manifest.replace(apps=(*manifest.apps, app), volumes=(*manifest.volumes, *new))


def without_app(manifest: PodManifest, name: str) -> PodManifest:
    """The manifest of a pod without an app, and without the volumes that this alone has mounted. Pure."""
    apps = tuple(app for app in manifest.apps if app.name != name)
    mounted = {mount.volume for app in apps for mount in app.mounts}
    gone = {mount.volume for app in manifest.apps if app.name == name for mount in app.mounts} - mounted
    volumes = tuple(volume for volume in manifest.volumes if volume.name not in gone)
    return manifest.replace(apps=apps, volumes=volumes)


def add_app(host: Host, pod: Pod, one: Preparation) -> None:
    """Prepare the only app of a preparation in a pod that runs; it is not started. Raises PodError."""
    with changing(host, pod):
        manifest = with_app(documents.read_manifest(pod.dir), one.manifest)
        check_sources(host, one.manifest)  # what others lack is no matter of this one
        (app,), (image,) = one.manifest.apps, one.images
        name = str(app.name)
        remove_files(pod, name)
        try:
            write_app(host, pod, app, image, [str(volume) for _app, volume in one.prefill])
            sync(pod)
            write_manifest(pod, manifest)
        except BaseException:
            with suppress(OSError):
                remove_files(pod, name)
            raise


def remove_app(host: Host, pod: Pod, name: str) -> None:
    """Take an app that does not run out of the manifest of its pod, and remove its files. Raises PodError."""
    with changing(host, pod):
        before = documents.read_manifest(pod.dir)
        if not before.app(name):
            raise NotFound(f'nonexistent app "{name}"', f"podctl app list {pod.uuid} shows those of the pod")
        after = without_app(before, name)
        write_manifest(pod, after)
        tidy(pod, before)


def write_manifest(pod: Pod, manifest: PodManifest) -> None:
    """Replace the manifest of a pod. Raises HostFailure."""
    try:
        write_atomically(pod.dir.manifest, canonical_json(manifest.to_json()))
    except OSError as err:
        raise HostFailure.of("cannot write the pod manifest", err) from err
