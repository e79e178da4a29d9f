# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of a pod at paths of its apps. Source: behaviours C20 to C28."""

from __future__ import annotations

import os
import stat

from ..appc.volumes import HostVolume, app_path
from ..errors import HostFailure, InvalidSpec
from ..host import syscalls
from . import roots
from .mounts import BindStep, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest, RuntimeApp
    from ..host.paths import PodDir

_COPY_BYTES = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_WITHIN = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV


class MissingSource(HostFailure):
    """A host volume's source is not there. Source: behaviours A30."""

    exit_code = 1


class EmptyVolumeStep(Step):
    """An empty volume with exactly its mode and owner, unless another app has made it.

    prefill: the path of the app whose directory is copied into it, with mode and owner; "" leaves it empty.
    """

    path: str
    mode: int
    uid: int
    gid: int
    prefill: str = ""

    def __str__(self) -> str:
        return f"volume {self.path} {self.mode:04o} {self.uid}:{self.gid} {self.prefill}".rstrip()

    def apply(self, root: int) -> None:
        """Make it."""
        if os.path.isdir(self.path):
            return
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        os.mkdir(self.path)
        os.chown(self.path, self.uid, self.gid)
        os.chmod(self.path, self.mode)
        if self.prefill:
            self._fill(root)

    def _fill(self, root: int) -> None:
        """Copy what the image itself has there, and nothing of what is mounted in the app's root."""
        own = roots.open_unmounted(root)
        try:
            source = roots.open_path(own, self.prefill, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        finally:
            os.close(own)
        try:
            _copy_tree(source, self.path)
        finally:
            os.close(source)


def volume_steps(
    pod: PodDir, manifest: PodManifest, app: RuntimeApp, prefill: tuple[str, ...]
) -> tuple[Step, ...]:
    """The steps for an app's mounts, parents before what lies in them. prefill: names of volumes. Pure."""
    steps: list[Step] = []
    filling = frozenset(prefill)
    for mount in sorted(manifest.mounted(app), key=lambda mount: app_path(mount.path).count("/")):
        volume = mount.volume
        if volume is None:
            raise InvalidSpec(f'could not find volume "{mount.name}"', where=f"apps[{app.name}].mounts")
        if isinstance(volume, HostVolume):
            recursive = volume.recursive is not False
            steps.append(BindStep(volume.source, mount.path, mount.read_only, recursive))
            continue
        source = pod.volume(volume.name)
        filled = mount.path if volume.name in filling else ""
        steps.append(EmptyVolumeStep(source, volume.mode, volume.uid, volume.gid, filled))
        steps.append(BindStep(source, mount.path, mount.read_only))
    return tuple(steps)


def check_sources(manifest: PodManifest, app: RuntimeApp) -> tuple[tuple[str, bool, int], ...]:
    """Look at an app's host volumes: the device nodes among them as (type, read only, device). Raises MissingSource."""
    devices = []
    for mount in manifest.mounted(app):
        volume = mount.volume
        if not isinstance(volume, HostVolume):
            continue
        try:
            found = os.stat(volume.source)
        except OSError as err:
            raise MissingSource(
                f"Failed to stat {volume.source}: {err.strerror}", path=volume.source
            ) from err
        kind = "c" if stat.S_ISCHR(found.st_mode) else "b" if stat.S_ISBLK(found.st_mode) else ""
        if kind:
            devices.append((kind, mount.read_only, found.st_rdev))
    return tuple(devices)


def _copy_tree(source: int, target: str) -> None:
    """Copy what is in a directory, and its mode and owner; of any depth that a path can name."""
    linked: dict[tuple[int, int], str] = {}
    waiting, states = [""], []
    while waiting:
        place = waiting.pop()
        fd = syscalls.openat2(source, f".{place}", _DIRECTORY, _WITHIN)
        try:
            states.append((place, os.fstat(fd)))
            for name in os.listdir(fd):
                if _copy_entry(fd, name, f"{target}{place}/{name}", linked):
                    waiting.append(f"{place}/{name}")
        finally:
            os.close(fd)
    # Times come last: what is put into a directory changes them.
    for place, state in reversed(states):
        _copy_owner(f"{target}{place}", state)


def _copy_entry(source: int, name: str, path: str, linked: dict[tuple[int, int], str]) -> bool:
    """Copy what is in a directory to a path, a directory without what it holds; whether it is one.

    linked: the copies of files that have more names, by device and inode; those names are one file again.
    """
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        os.mkdir(path)
        return True
    first = linked.setdefault((found.st_dev, found.st_ino), path) if found.st_nlink > 1 else path
    if first != path:
        os.link(first, path, follow_symlinks=False)
    else:
        _copy_leaf(source, name, path, found)
    return False


def _copy_leaf(source: int, name: str, path: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), path)
        os.lchown(path, found.st_uid, found.st_gid)
        return
    if stat.S_ISREG(found.st_mode):
        given = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        taken = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while os.sendfile(taken, given, None, _COPY_BYTES):
                pass
        finally:
            os.close(given)
            os.close(taken)
    else:
        os.mknod(path, found.st_mode, found.st_rdev)
    _copy_owner(path, found)


def _copy_owner(path: str, found: os.stat_result) -> None:
    os.chown(path, found.st_uid, found.st_gid)
    os.chmod(path, stat.S_IMODE(found.st_mode))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
