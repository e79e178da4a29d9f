# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a change of a running pod concerns some of its apps alone, so that the others run on.

What a pod is as a whole, and what its first process was started with, cannot change while it runs.
"""

from __future__ import annotations

import os
import stat

from ..appc.capabilities import bounding_set, mask_of
from ..appc.isolators import Sysctl
from ..appc.volumes import EmptyVolume
from ..errors import PodError
from ..net.rules import forwards_of
from ..pod.documents import stage1_of
from ..pod.lifecycle import PodState, open_pod
from ..pod.limits import shm_bytes
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest, RuntimeApp
    from ..appc.volumes import Volume
    from ..host.host import Host
    from ..net.rules import PortForward
    from ..pod.runspec import RunSpec
    from .change import Difference
    from .options.documents import Documents
    from .status import PodStatus

# The impact of a change that replaces an app, while the others run on.
REPLACE_APP = "replace-app"
_SYS_PTRACE = mask_of(("CAP_SYS_PTRACE",))
_ENTRY = "start-app"


class Shared(Value):
    """What all apps of a pod share, as far as its manifest says it. bare: that without apps and volumes."""

    bare: PodManifest
    forwards: tuple[PortForward, ...]
    sysctls: tuple[Sysctl, ...]
    shm: int


class AppChanges(Value):
    """The apps of a pod that a change concerns. gone: they are stopped and removed; come: they are added."""

    gone: tuple[str, ...] = ()
    come: tuple[str, ...] = ()


def changes_of_apps(
    host: Host, found: PodStatus, before: Documents, after: Documents, drift: tuple[Difference, ...]
) -> AppChanges | None:
    """The apps that alone make the difference between a running pod and the wanted one, None if others do.

    before, after: in one spelling, see sameness.normalized. drift: the differences.
    """
    if found.state is not PodState.RUNNING or not _takes_orders(host, found):
        return None
    changes = apps_between(before, after, _other_trees(after[0], drift))
    if changes is None:
        return None
    come = [app for app in after[0].apps if app.name in changes.come]
    return changes if all(_may_join(host, found, before, after[0], app) for app in come) else None


def apps_between(before: Documents, after: Documents, others: frozenset[str]) -> AppChanges | None:
    """The same for documents. Pure. others: apps whose trees differ, although their images have the same ID."""
    (old, runspec), (new, wanted_runspec) = before, after
    if runspec != wanted_runspec or _whole(old, runspec) != _whole(new, runspec):
        return None
    kept = {volume.name: volume for volume in old.volumes if isinstance(volume, EmptyVolume)}
    if any(kept.get(volume.name, volume) != volume for volume in new.volumes):
        return None
    olds, news = ({app.name: _alone(manifest, app) for app in manifest.apps} for manifest in (old, new))
    same = {name for name, each in olds.items() if news.get(name) == each and name not in others}
    if not same:
        return None  # no app would notice that the pod is another one
    return AppChanges(
        tuple(str(app.name) for app in old.apps if app.name not in same),
        tuple(str(app.name) for app in new.apps if app.name not in same),
    )


def impact_on_apps(drift: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """The differences with their impact where the pod stays. Pure."""
    return tuple(each.replace(impact=REPLACE_APP) if each.impact == "recreate" else each for each in drift)


def _whole(manifest: PodManifest, runspec: RunSpec) -> Shared:
    """What all apps of a pod share, as far as the manifest says it."""
    try:
        forwards = () if runspec.host_network else forwards_of(manifest)
    except PodError:
        forwards = ()
    sysctls = tuple(
        isolator
        for app in manifest.apps
        if app.app
        for isolator in app.app.isolators
        if isinstance(isolator, Sysctl)
    )
    bare = manifest.replace(apps=(), volumes=())
    return Shared(bare, forwards, sysctls, runspec.shm_size or shm_bytes(manifest))


def _alone(manifest: PodManifest, app: RuntimeApp) -> tuple[RuntimeApp, tuple[Volume | None, ...]]:
    """An app with all that it mounts."""
    return app, tuple(mounted.volume for mounted in manifest.mounted(app))


def _other_trees(manifest: PodManifest, drift: tuple[Difference, ...]) -> frozenset[str]:
    """The apps on another tree than their image makes now."""
    return frozenset(
        str(app.name)
        for number, app in enumerate(manifest.apps)
        if any(each.path == f"apps[{number}].tree" for each in drift)
    )


def _takes_orders(host: Host, found: PodStatus) -> bool:
    with open_pod(host.paths, found.uuid) as pod:
        return stage1_of(host, pod).offers(_ENTRY) and os.path.lexists(pod.dir.control)


def _may_join(host: Host, found: PodStatus, before: Documents, new: PodManifest, app: RuntimeApp) -> bool:
    """Whether the running pod is prepared for an app; its stage1 checks that again."""
    if app.app is None:
        return False
    (old, runspec), place = before, host.paths.pod("run", found.uuid)
    if not runspec.private_users:
        bounding = bounding_set(app.app.isolators, insecure="capabilities" in runspec.insecure)
        if bounding & _SYS_PTRACE and not os.path.lexists(place.traced):
            return False
        # Of the first process, which has the rights of its first apps' handlers.
        if app.app.handler("post-stop") and not _had_handler(old, app):
            return False
    return _devices(new, app) <= _all_devices(old)


def _had_handler(manifest: PodManifest, app: RuntimeApp) -> bool:
    """Whether an app of the pod has such a handler, within the same bounds."""
    wanted = app.app.isolators if app.app else ()
    return any(
        other.app and other.app.handler("post-stop") and other.app.isolators == wanted
        for other in manifest.apps
    )


def _all_devices(manifest: PodManifest) -> set[str]:
    return {device for app in manifest.apps for device in _devices(manifest, app)}


def _devices(manifest: PodManifest, app: RuntimeApp) -> set[str]:
    """The sources of an app's volumes that are devices."""
    sources = {getattr(mounted.volume, "source", "") for mounted in manifest.mounted(app)}
    return {source for source in sources if source and _is_device(source)}


def _is_device(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
