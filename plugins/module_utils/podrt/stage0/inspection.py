# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of what would keep the apps of a pod from starting, in their rendered images and without a mount.

The lookups are those of a start. The files of volumes, the effects of a pre-start handler and the permissions of the
app's user are left to the rehearsal. Source: behaviours C12 to C16.
"""

from __future__ import annotations

import errno
import os
import stat

from ..appc.volumes import EmptyVolume, HostVolume, NamedVolume, app_path
from ..errors import InvalidSpec, NotFound, PodError
from ..host.execution import complaint, program_path
from ..host.identity import group_id, identity_of, user_id
from ..pod.subids import COUNT
from ..store.layered import Covered, LayeredRoot
from ..store.trees import RenderedImage
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..appc.app import App
    from ..appc.image import Image
    from ..appc.pod import PodManifest, RuntimeApp

# Every app gets these from stage1, not from its image.
_DIRECTORIES = ("/dev", "/proc", "/sys", "/tmp", "/run")
_MADE = (
    *_DIRECTORIES,
    "/etc/mtab",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
)
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


class _Described(Value):
    """An image as the apps of it are checked. users: how many the pod has of its own, 0 for those of the host."""

    layers: tuple[str, ...]
    docker: bool
    users: int


def check_apps(manifest: PodManifest, images: Sequence[Image], *, own_users: bool = False) -> None:
    """Raise InvalidSpec, with the option's place, for an app that cannot start from its image as described.

    images: one for each app, in order. One that is not rendered yet is not checked. own_users: whether the pod has its
    own, which are fewer than the host's.
    """
    users = COUNT if own_users else 0
    for index, (app, image) in enumerate(zip(manifest.apps, images)):
        if isinstance(image, RenderedImage) and app.app is not None:
            described = _Described(image.lower, image.manifest.of_docker_origin, users)
            _check_app(manifest, app, app.app, described, f"apps[{index}]")


def _check_app(
    manifest: PodManifest, runtime: RuntimeApp, app: App, described: _Described, where: str
) -> None:
    targets = [app_path(mount.path) for mount in runtime.mounts]
    directory = app.working_directory or "/"
    root = LayeredRoot(described.layers, (*_MADE, *targets), directory)
    _where_known(lambda: _check_identity(root, app, where, described))
    for option, argv in _programs(app):
        _where_known(lambda: _check_program(root, app, argv, f"{where}.{option}"))  # noqa: B023 - called at once
    if not app.handler("pre-start"):
        _where_known(lambda: _check_directory(root, directory, where, docker=described.docker))
    image = LayeredRoot(described.layers, _MADE)
    for mount in manifest.mounted(runtime):
        volume = mount.volume
        if isinstance(volume, (EmptyVolume, NamedVolume)):
            place = f"volumes[{manifest.volumes.index(volume)}]"
            _where_known(lambda: _check_owner(root, volume, place))  # noqa: B023 - called at once
        source = volume.source if isinstance(volume, (HostVolume, NamedVolume)) else ""
        _where_known(lambda: _check_target(image, mount.path, source, f"{where}.mounts"))  # noqa: B023


def _where_known(check: Callable[[], None]) -> None:
    """Run a check, unless the path that it looks at is not the image's."""
    try:
        check()
    except Covered:
        return


def _check_identity(root: LayeredRoot, app: App, where: str, described: _Described) -> None:
    try:
        found = identity_of(root, app.user, app.group, app.supplementary_gids, docker=described.docker)
    except PodError as err:
        option = err.facts.get("what") or "supplementary_gids"
        raise InvalidSpec(err.message, err.hint, where=f"{where}.{option}") from err
    if described.users:
        try:
            found.check_within(described.users)
        except InvalidSpec as err:
            raise err.at(f"{where}.{err.where}") from err


def _check_owner(root: LayeredRoot, volume: EmptyVolume | NamedVolume, where: str) -> None:
    """Look up the owner of a volume by name. Raises InvalidSpec."""
    for option, text, look_up in (("owner", volume.owner, user_id), ("group", volume.group, group_id)):
        try:
            if text:
                look_up(root, text)
        except PodError as err:
            raise InvalidSpec(err.message, err.hint, where=f"{where}.{option}") from err


def _programs(app: App) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The command lines that are executed, by option."""
    yield "exec", app.exec
    for option, event in (("pre_start", "pre-start"), ("post_stop", "post-stop")):
        handler = app.handler(event)
        if handler:
            yield option, handler.exec


def _check_program(root: LayeredRoot, app: App, argv: tuple[str, ...], where: str) -> None:
    try:
        path = program_path(root, argv[0], dict(app.environment).get("PATH"), app.working_directory or "/")
    except NotFound as err:
        raise InvalidSpec(err.message, err.hint, where=where) from err
    made_first = app.handler("pre-start") is not None and not where.endswith("pre_start")
    wrong = "" if made_first else complaint(path, root)
    if wrong:
        raise InvalidSpec(wrong, "name a program that the image has", where=where)


def _check_directory(root: LayeredRoot, directory: str, where: str, *, docker: bool) -> None:
    """Check that the working directory is one; a missing one of a docker image is made. Raises InvalidSpec."""
    try:
        wrong = "" if stat.S_ISDIR(root.look(directory).st_mode) else os.strerror(errno.ENOTDIR)
    except OSError as err:
        if docker and err.errno == errno.ENOENT:
            return
        wrong = err.strerror or str(err)
    if wrong:
        raise InvalidSpec(
            f'cannot use the working directory "{directory}": {wrong}',
            "name a directory that the image has, or mount one there",
            where=f"{where}.working_dir",
        )


def _check_target(root: LayeredRoot, target: str, source: str, where: str) -> None:
    """Check that file goes over file, directory over directory; a missing target is made. source: "" is a directory."""
    try:
        is_dir = stat.S_ISDIR(os.stat(source).st_mode) if source else True
        over_dir = app_path(target) in _DIRECTORIES or stat.S_ISDIR(root.look("/" + target).st_mode)
    except OSError as err:
        if err.errno in _NOT_THERE:
            return
        raise InvalidSpec(f"cannot mount at {target}: {err.strerror}", where=where) from err
    if is_dir != over_dir:
        kinds = ("a directory", "not a directory")
        raise InvalidSpec(
            f"cannot mount {source or 'the volume'}, which is {kinds[not is_dir]}, at {target}, "
            f"which is {kinds[not over_dir]} in the image",
            "mount a file over a file and a directory over a directory",
            where=where,
        )
