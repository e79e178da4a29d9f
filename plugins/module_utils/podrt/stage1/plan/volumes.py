# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of a pod, and file systems in memory, at paths of its apps. Source: behaviours C20 to C28."""

from __future__ import annotations

import os
import stat

from ...appc.volumes import EmptyVolume, NamedVolume, app_path
from ...errors import HostFailure, InvalidSpec, reason_of
from ...host import syscalls
from ...value import Value
from . import roots
from .filling import Filling
from .mounts import BindStep, Step
from .rootfs import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.pod import PodManifest, RuntimeApp
    from ...appc.volumes import HostVolume
    from ...host.dirs import PodDir


class MissingSource(HostFailure):
    """The source of a host volume does not exist. Source: behaviours A30."""

    exit_code = 1


class NewVolume(Value):
    """An empty volume with exactly its mode and owner.

    prefill: the app's path of the directory to copy into it, with mode and owner; "" leaves it empty.
    """

    path: str
    mode: int
    uid: int
    gid: int
    prefill: str = ""

    def __str__(self) -> str:
        return f"volume {self.path} {self.mode:04o} {self.uid}:{self.gid} {self.prefill}".rstrip()

    def make(self, filling: Filling) -> None:
        """Create it, unless another app has done so. Raises OSError, Corrupt."""
        if os.path.isdir(self.path):
            return
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        os.mkdir(self.path)
        os.chown(self.path, self.uid, self.gid)
        os.chmod(self.path, self.mode)
        if self.prefill:
            filling.fill(self.prefill, self.path)


class VolumesStep(Step):
    """All empty volumes of an app, in the order of their mounts: their copies from its image are counted together."""

    app: str
    volumes: tuple[NewVolume, ...]

    def __str__(self) -> str:
        return "empty volumes"

    def apply(self, root: int) -> None:
        """Create them, the last first: of several at one directory the app sees the last. Raises OSError, Corrupt."""
        filling = Filling(self.app, root)
        for volume in reversed(self.volumes):
            try:
                volume.make(filling)
            except OSError as err:
                raise OSError(err.errno, f"{volume}: {reason_of(err)}", err.filename) from err
        filling.warn()


class HostVolumeStep(Step):
    """What the host has for a volume, at target of the app. read_only: there, whatever the volume says."""

    volume: HostVolume | NamedVolume
    target: str
    read_only: bool

    def __str__(self) -> str:
        named = f" (volume {self.volume.volume})" if isinstance(self.volume, NamedVolume) else ""
        return f"{self._bind}{named}"

    def apply(self, root: int) -> None:
        """Bind it. Raises OSError."""
        self._bind.apply(root)

    @property
    def _bind(self) -> BindStep:
        volume = self.volume
        return BindStep(volume.source, self.target, self.read_only, volume.recursive is not False)


class TmpfsStep(Step):
    """A file system in memory at a path of the app, which is made if it is missing; links stay within the root."""

    path: str
    mode: int
    size: int

    def __str__(self) -> str:
        return f"tmpfs {self.path} {self.mode:04o} {self.size}"

    def apply(self, root: int) -> None:
        """Mount it. Raises OSError."""
        target = roots.open_dir(root, self.path)
        try:
            roots.refuse_mount_point(root, target)
            place, options = f"/proc/self/fd/{target}", bounded(self.mode, self.size)
            syscalls.mount("tmpfs", place, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, options)
        finally:
            os.close(target)


def volume_steps(
    pod: PodDir, manifest: PodManifest, app: RuntimeApp, prefill: tuple[str, ...]
) -> tuple[Step, ...]:
    """The steps for an app's mounts and file systems in memory, parents before those in them. Pure.

    prefill: names of volumes.
    """
    empty: list[NewVolume] = []
    binds: list[tuple[str, Step]] = [
        (each.path, TmpfsStep(each.path, each.mode, each.size)) for each in app.tmpfs
    ]
    filling = frozenset(prefill)
    for mount in sorted(manifest.mounted(app), key=lambda mount: _depth(mount.path)):
        volume = mount.volume
        if volume is None:
            raise InvalidSpec(f'could not find volume "{mount.name}"', where=f"apps[{app.name}].mounts")
        if not isinstance(volume, EmptyVolume):
            binds.append((mount.path, HostVolumeStep(volume, mount.path, mount.read_only)))
            continue
        source = pod.volume(volume.name)
        filled = mount.path if volume.name in filling else ""
        empty.append(NewVolume(source, volume.mode, volume.uid, volume.gid, filled))
        binds.append((mount.path, BindStep(source, mount.path, mount.read_only)))
    steps = tuple(step for _path, step in sorted(binds, key=lambda bind: _depth(bind[0])))
    return (*((VolumesStep(str(app.name), tuple(empty)),) if empty else ()), *steps)


def hidden_by_tmpfs(app: RuntimeApp, path: str) -> bool:
    """Whether what an app sees at a path would be in one of its file systems in memory. Pure."""
    in_memory = {app_path(each.path) for each in app.tmpfs}
    mounted = in_memory | {app_path(mount.path) for mount in app.mounts}
    nearest = max((place for place in mounted if path.startswith(f"{place}/")), key=len, default="")
    return nearest in in_memory and path not in mounted


def _depth(path: str) -> int:
    return app_path(path).count("/")


def check_sources(manifest: PodManifest, app: RuntimeApp) -> tuple[tuple[str, bool, int], ...]:
    """Check an app's host volumes. Returns the devices among them: (type, read only, device). Raises MissingSource."""
    devices = []
    for mount in manifest.mounted(app):
        volume = mount.volume
        if volume is None or isinstance(volume, EmptyVolume):
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
