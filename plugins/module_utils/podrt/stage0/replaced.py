# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of apps that are being replaced, until the new ones are up, and the end of a change that was killed.

They are in the directory `replaced` of the pod, which is laid out as that of the pod:

    the manifest of the pod before            written first, and synced: nothing is moved without it
    the old apps, and then the new ones       moved aside, and in
    the manifest of the pod                   replaced, once all that is on disk
    the manifest of the pod before            removed when the new apps are up, and then the rest

So a change that has died is taken back while the pod has its old manifest, and counts once it has the new one. The
next change of its apps does that, and whatever makes another pod of its documents. `appsinfo/APP` is moved aside last
and back first: where it is aside, all of the old app is, and what the pod has under that name belongs to the new one.
"""

from __future__ import annotations

import fcntl
import os

from ..contexts import contextmanager, suppress
from ..errors import HostFailure, PodError
from ..fields import canonical_json
from ..host.dirs import PodDir
from ..host.files import (
    entries_if_any,
    make_dirs,
    make_dirs_beneath,
    path_beneath,
    remove_tree,
    sync_dir,
    write_atomically,
    write_new,
)
from ..pod import documents
from ..pod.lifecycle import PodState
from .entry import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod


def hold(seconds: float) -> str:
    """The flag that holds a pod for so long."""
    return f"--hold={-int(-seconds // 1)}"


# Longer than any start: a pod whose apps have all ended but for the one that is being replaced does not end meanwhile.
# It ends with the start of an app, or with release.
HOLD = hold(600)


@contextmanager
def alone(pod: Pod) -> Iterator[None]:
    """Be alone with the apps of a pod, whatever has become of an earlier change."""
    make_dirs_beneath(pod.dir.app_infos, pod.dir.path)
    fd = os.open(pod.dir.app_infos, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _remove_half_written(pod)
        yield
    finally:
        os.close(fd)


def _remove_half_written(pod: Pod) -> None:
    """Remove what processes that died have left of a manifest of the pod. No living one writes it now."""
    begin = os.path.basename(pod.dir.manifest) + "."
    for name in entries_if_any(pod.dir.path):
        if name.startswith(begin) and name.endswith(".tmp"):
            with suppress(FileNotFoundError):
                os.unlink(f"{pod.dir.path}/{name}")


@contextmanager
def changing(host: Host, pod: Pod) -> Iterator[None]:
    """Be alone with the apps of a pod, after an earlier change has come to its end. Raises PodError."""
    with alone(pod):
        settle(host, pod)
        yield


def settle_if_left(host: Host, pod: Pod) -> None:
    """Bring a change of the pod's apps that was killed to its end, if there was one. Raises PodError."""
    if os.path.lexists(pod.dir.replaced):
        with changing(host, pod):
            return


def settle(host: Host, pod: Pod) -> None:
    """The same, for a process that is alone with the apps. Raises PodError."""
    if not os.path.lexists(pod.dir.replaced):
        return
    from . import gc  # few changes are killed

    try:
        gc.remove_staged(host, pod)
        before = manifest_before(pod)
        if before is not None:
            if documents.read_manifest(pod.dir) == before:
                _put_back(host, pod, before)
            else:
                tidy(pod, before)
        _end(pod)
    except OSError as err:
        raise HostFailure.of(f'cannot bring the apps of pod "{pod.uuid}" back', err) from err


def manifest_before(pod: Pod) -> PodManifest | None:
    """The manifest that the pod had before a change that is not over, None without one. Raises Corrupt."""
    try:
        return documents.read_manifest(PodDir(pod.dir.replaced))
    except FileNotFoundError:
        return None


def begin(pod: Pod) -> None:
    """Record what the pod is before its apps change. Raises OSError."""
    aside = PodDir(pod.dir.replaced)
    make_dirs(aside.path)
    write_atomically(aside.manifest, canonical_json(documents.read_manifest(pod.dir).to_json()))
    sync_dir(pod.dir.path)


def record_staged(pod: Pod, uuid: str) -> None:
    """Record the pod in which new apps are being prepared. Raises OSError."""
    write_new(pod.dir.staged, uuid.encode())


def take_down(host: Host, pod: Pod, app: str, *, held: bool) -> None:
    """End an app of a running pod that is to be replaced. held: it does not end meanwhile. Raises PodError, OSError.

    Its status is set aside before, so that it counts as one that is to be started; that of an app that had ended
    comes back with it.
    """
    forget_status(pod, app)
    call(host, pod, "remove-app", f"--app={app}", *((HOLD,) if held else ()))


def forget_status(pod: Pod, app: str) -> None:
    """Let an app count as one that was never started, even if this process dies while it ends. Raises OSError."""
    place, aside = pod.dir, PodDir(pod.dir.replaced)
    if documents.read_status(place, app) is not None and os.path.lexists(aside.path):
        for path in _statuses(place, app):
            _move(path, place, aside)
    with suppress(FileNotFoundError):
        os.unlink(place.app_status(app))


def release(host: Host, pod: Pod) -> None:
    """Let a pod end that was held for an app and has none that runs. What it does not hear, it does later by itself."""
    apps = documents.read_manifest(pod.dir).apps
    with suppress(PodError):
        if apps and not runs_any(pod, tuple(str(app.name) for app in apps)):
            call(host, pod, "stop-app", f"--app={apps[0].name}")


def runs_any(pod: Pod, apps: tuple[str, ...]) -> bool:
    """Whether one of some apps of a pod has not ended. Raises OSError, Corrupt."""
    return pod.state() is PodState.RUNNING and any(
        documents.read_status(pod.dir, app) is None for app in apps
    )


def set_aside(pod: Pod, app: str) -> None:
    """Move the files of an app that has ended aside. Raises OSError."""
    for path in reversed(places_of(pod.dir, app)):
        _move(path, pod.dir, PodDir(pod.dir.replaced))


def take_in(pod: Pod, staged: PodDir, app: str) -> None:
    """Move the files of a new app in. Raises OSError."""
    for path in places_of(staged, app):
        _move(path, staged, pod.dir)


def tidy(pod: Pod, before: PodManifest) -> None:
    """Remove what is left of apps and empty volumes that are gone. Raises PodError, OSError."""
    after = documents.read_manifest(pod.dir)
    for app in before.apps:
        if not after.app(app.name):
            remove_files(pod, str(app.name))
    _remove_volumes(pod, after)


def finish(pod: Pod, before: PodManifest) -> None:
    """The new apps are up: remove the old ones. Raises PodError, OSError."""
    tidy(pod, before)
    _end(pod)


def _end(pod: Pod) -> None:
    aside = PodDir(pod.dir.replaced)
    with suppress(FileNotFoundError):
        os.unlink(aside.manifest)
        sync_dir(aside.path)
    _remove(pod, aside.path)


def _put_back(host: Host, pod: Pod, before: PodManifest) -> None:
    """Have the old apps in place of the new ones, none of which runs then."""
    place, aside = pod.dir, PodDir(pod.dir.replaced)
    for app in sorted(_apps_in(place)):
        if not before.app(app):
            _end_app(host, pod, app)
            remove_files(pod, app)
    for app in sorted(_apps_in(aside)):
        if os.path.lexists(aside.app_info(app)):
            _end_app(host, pod, app)
            for path in places_of(place, app):
                _remove(pod, path)
        for path in (*places_of(aside, app), *_statuses(aside, app)):
            _move(path, aside, place)
    _remove_volumes(pod, before)
    sync(pod)


def _end_app(host: Host, pod: Pod, app: str) -> None:
    if pod.state() is PodState.RUNNING:
        call(host, pod, "remove-app", f"--app={app}", HOLD)


def _remove_volumes(pod: Pod, manifest: PodManifest) -> None:
    """Remove the empty volumes that a manifest does not have."""
    for name in set(entries_if_any(pod.dir.shared_volumes)) - {str(each.name) for each in manifest.volumes}:
        _remove(pod, pod.dir.volume(name))


def _apps_in(place: PodDir) -> set[str]:
    """The apps of which a directory has anything but logs."""
    written = (f"{place.overlays}/{tree}" for tree in entries_if_any(place.overlays))
    uppers = [f"{tree}/{kind}" for tree in written for kind in ("upper", "work", "shifted")]
    found = {name for path in (place.app_infos, place.app_dirs, *uppers) for name in entries_if_any(path)}
    return found | {name.partition(".")[0] for name in entries_if_any(place.statuses)}


def _statuses(place: PodDir, app: str) -> tuple[str, str, str]:
    return place.app_status(app), place.app_end(app), place.app_restarts(app)


def places_of(place: PodDir, app: str) -> list[str]:
    """The files and directories of an app in the directory of a pod, but for its logs; what is known of it first."""
    found = [place.app_info(app), os.path.dirname(place.app_root(app))]
    for tree in entries_if_any(place.overlays):
        found += [*place.overlay(tree, app), place.shifted_layer(tree, app)]
    return found


def remove_files(pod: Pod, name: str) -> None:
    """Remove all that a pod's directory has of an app. Raises OSError."""
    place = pod.dir
    logs = [f"{place.logs}/{log}" for log in entries_if_any(place.logs) if log.startswith(f"{name}.log")]
    for path in (*places_of(place, name), *logs):
        _remove(pod, path)


def _move(path: str, source: PodDir, target: PodDir) -> None:
    """Move a file or a directory to the same place in another directory of a pod, if it is there. Raises OSError."""
    if os.path.lexists(path):
        there = target.path + path[len(source.path) :]
        make_dirs(os.path.dirname(there))
        with suppress(FileNotFoundError):
            remove_tree(there)
        os.rename(path, there)


def _remove(pod: Pod, path: str) -> None:
    with suppress(FileNotFoundError, NotADirectoryError), path_beneath(path, pod.dir.path) as safe:
        remove_tree(safe)


def sync(pod: Pod) -> None:
    """Have all of a pod's directory on disk."""
    from ..host.syscalls import syncfs  # ctypes: a task with nothing to do does not need it

    syncfs(pod.fd)
