# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of a pod, and file systems in memory, at paths of its apps. Source: behaviours C20 to C28."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from ...appc.volumes import EmptyVolume, HostVolume, ImageVolume, NamedVolume, app_path
from ...contexts import suppress
from ...errors import HostFailure, InvalidSpec, reason_of
from ...host import syscalls
from ...host.files import remove_tree
from ...host.identity import Identity
from ...pod.idmaps import Owners, check_propagation
from ...value import Value
from . import roots
from .image_volumes import ImageVolumeStep
from .mounts import BindStep, Step
from .owners import Named
from .rootfs import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.pod import Mounted, PodManifest, RuntimeApp
    from ...appc.volumes import Volume
    from ...host.dirs import PodDir
    from ...pod.idmaps import IdMap
    from ...pod.subids import IdRange
    from .filling import Filling
    from .first_use import FirstUse

    # The directories of images that are volumes, topmost first, by the names of these.
    ImageRoots = tuple[tuple[str, tuple[str, ...]], ...]


class MissingSource(HostFailure):
    """The source of a host volume does not exist. Source: behaviours A30."""

    exit_code = 1


class NewVolume(Value):
    """An empty volume with exactly its mode and owner.

    prefill: the app's path of the directory to copy into it, with mode and owner; "" leaves it empty. named: an owner
    in place of these, looked up in the app's root.
    """

    path: str
    mode: int
    uid: int
    gid: int
    prefill: str = ""
    named: Named = Named()

    def __str__(self) -> str:
        return f"volume {self.path} {self.mode:04o} {self.uid}:{self.gid} {self.prefill}".rstrip()

    def make(self, filling: Filling) -> None:
        """Create it, unless another app has done so, in a pod that runs perhaps at this moment.

        It is there once it is complete. Raises OSError, Corrupt, NotFound.
        """
        if os.path.isdir(self.path):
            return
        parent, name = os.path.split(self.path)
        os.makedirs(parent, mode=0o755, exist_ok=True)
        lock = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.isdir(self.path):
                self._make(f"{parent}/.{name}", filling)
        finally:
            os.close(lock)

    def _make(self, fresh: str, filling: Filling) -> None:
        uid, gid = self.named.found_in(filling.seen)
        with suppress(FileNotFoundError):
            remove_tree(fresh)
        os.mkdir(fresh)
        os.chown(
            fresh,
            self.uid if uid is None else filling.first + uid,
            self.gid if gid is None else filling.first + gid,
        )
        os.chmod(fresh, self.mode)
        if self.prefill:
            from .disk_owners import DiskOwners

            filling.fill(self.prefill, fresh, DiskOwners(first=filling.first))
        os.rename(fresh, self.path)


class VolumesStep(Step):
    """All volumes of an app that may begin with its image's content, in the order of their mounts: the copies are
    counted together. first: the ID of the host that is root in the app.
    """

    app: str
    volumes: tuple[NewVolume | FirstUse, ...]
    first: int = 0

    def __str__(self) -> str:
        return f"volumes to begin with: {len(self.volumes)}"

    def apply(self, root: int) -> None:
        """Begin with them, the last first: of several at one directory the app sees the last.

        Raises OSError, Corrupt, NotFound.
        """
        from .filling import Filling  # few volumes begin with anything

        filling = Filling(self.app, root, self.first)
        for volume in reversed(self.volumes):
            try:
                volume.make(filling)
            except OSError as err:
                raise OSError(err.errno, f"{volume}: {reason_of(err)}", err.filename) from err
        filling.warn()


class HostVolumeStep(Step):
    """What the host has for a volume, at target of the app. read_only: there, whatever the volume says.

    map: of the owners of its files, () for none; users: a namespace with this map, once it is made. recursive: whether
    what is mounted in it comes with it.
    """

    volume: HostVolume | NamedVolume
    target: str
    read_only: bool
    map: IdMap = ()
    users: int = -1
    recursive: bool = True

    def __str__(self) -> str:
        named = f" (volume {self.volume.volume})" if isinstance(self.volume, NamedVolume) else ""
        return f"{self._bind}{named}"

    def apply(self, root: int) -> None:
        """Bind it. Raises OSError."""
        try:
            self._bind.apply(root)
        except OSError as err:
            if err.errno != errno.EINVAL or not self.map:
                raise
            reason = "a file system in it has no maps of users; set recursive: false, or map: [none]"
            raise OSError(err.errno, reason, self.volume.source) from err

    @property
    def _bind(self) -> BindStep:
        private = isinstance(self.volume, HostVolume) and self.volume.propagation == "private"
        return BindStep(
            self.volume.source, self.target, self.read_only, self.recursive, users=self.users, private=private
        )


class DeviceVolumeStep(Step):
    """A device of the host at target of the app, for a pod with its own users: as a node that belongs to these.

    place: a file system of the pod for such nodes. first: the ID of the host that is root in the pod.
    """

    volume: HostVolume | NamedVolume
    target: str
    read_only: bool
    place: str
    first: int

    def __str__(self) -> str:
        return f"device {self.volume.source} {self.target}"

    def apply(self, root: int) -> None:
        """Make the node and bind it. Raises OSError."""
        found = os.stat(self.volume.source)
        node = f"{self.place}/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}{stat.filemode(found.st_mode)[0]}"
        if not os.path.exists(node):
            os.mknod(node, found.st_mode, found.st_rdev)
            os.chown(node, self.first + found.st_uid, self.first + found.st_gid)
            os.chmod(node, stat.S_IMODE(found.st_mode))
        BindStep(node, self.target, self.read_only).apply(root)


def id_map(step: Step) -> IdMap:
    """The map that a step needs a namespace for, () for none."""
    return step.map if isinstance(step, (HostVolumeStep, ImageVolumeStep)) else ()


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


class VolumeInputs(Value):
    """What is known of an app's volumes beside the manifest.

    prefill: the names of those to fill from its image. owners: in each mount, () if the pod has the host's users.
    images: the directories of those that are images.
    """

    prefill: tuple[str, ...] = ()
    owners: tuple[Owners, ...] = ()
    images: ImageRoots = ()


def volume_steps(
    pod: PodDir,
    manifest: PodManifest,
    app: RuntimeApp,
    given: VolumeInputs,
    users: IdRange | None = None,
) -> tuple[Step, ...]:
    """The steps for an app's mounts and file systems in memory, parents before those in them. Pure.

    users: the pod's own. Raises InvalidSpec.
    """
    check_propagation(manifest, app, own_users=users is not None)
    new: list[NewVolume | FirstUse] = []
    binds: list[tuple[str, Step]] = [
        (each.path, TmpfsStep(each.path, each.mode, each.size)) for each in app.tmpfs
    ]
    filling = frozenset(given.prefill)
    mounted = manifest.mounted(app)
    pairs = zip(mounted, given.owners or (Owners(),) * len(mounted))
    for mount, owned in sorted(pairs, key=lambda pair: _depth(pair[0].path)):
        volume = mount.volume
        if volume is None:
            raise InvalidSpec(f'could not find volume "{mount.name}"', where=f"apps[{app.name}].mounts")
        if isinstance(volume, ImageVolume):
            binds.append((mount.path, _of_image(pod, volume, mount, given.images, users)))
            continue
        named = _named(manifest, volume, users)
        if not isinstance(volume, EmptyVolume):
            if isinstance(volume, NamedVolume) and (volume.copy or named != Named()):
                from .first_use import FirstUse

                new.append(FirstUse(volume, mount.path if volume.copy else "", owned.map, named))
            binds.append((mount.path, _placed(pod, volume, mount, owned, users)))
            continue
        source = pod.volume(volume.name)
        filled = mount.path if volume.name in filling else ""
        new.append(_new(source, volume, filled, users).replace(named=named))
        binds.append((mount.path, BindStep(source, mount.path, mount.read_only)))
    steps = tuple(step for _path, step in sorted(binds, key=lambda bind: _depth(bind[0])))
    first = users.first if users else 0
    return (*((VolumesStep(str(app.name), tuple(new), first),) if new else ()), *steps)


def _of_image(
    pod: PodDir, volume: ImageVolume, mount: Mounted, images: ImageRoots, users: IdRange | None
) -> Step:
    lower = dict(images).get(volume.name)
    if not lower:
        raise InvalidSpec(f'there is no image for volume "{volume.name}"', where=f"volumes[{volume.name}]")
    return ImageVolumeStep(lower, mount.path, pod.image_volume(volume.name), users.map if users else ())


def _named(manifest: PodManifest, volume: Volume, users: IdRange | None) -> Named:
    """The owner that a volume asks for by name."""
    if isinstance(volume, (EmptyVolume, NamedVolume)) and (volume.owner or volume.group):
        where, count = f"volumes[{manifest.volumes.index(volume)}]", users.count if users else 0
        return Named(volume.owner, volume.group, where, count)
    return Named()


def hidden_by_tmpfs(app: RuntimeApp, path: str) -> bool:
    """Whether what an app sees at a path would be in one of its file systems in memory. Pure."""
    in_memory = {app_path(each.path) for each in app.tmpfs}
    mounted = in_memory | {app_path(mount.path) for mount in app.mounts}
    nearest = max((place for place in mounted if path.startswith(f"{place}/")), key=len, default="")
    return nearest in in_memory and path not in mounted


def _depth(path: str) -> int:
    return app_path(path).count("/")


def _placed(
    pod: PodDir, volume: HostVolume | NamedVolume, mount: Mounted, owned: Owners, users: IdRange | None
) -> Step:
    if users and owned.device:
        return DeviceVolumeStep(volume, mount.path, mount.read_only, pod.device_nodes, users.first)
    return HostVolumeStep(volume, mount.path, mount.read_only, owned.map, recursive=mount.recursive)


def _new(path: str, volume: EmptyVolume, filled: str, users: IdRange | None) -> NewVolume:
    uid, gid = volume.uid, volume.gid
    if users:
        Identity(uid, gid).check_within(users.count)
        uid, gid = users.shifted(uid), users.shifted(gid)
    return NewVolume(path, volume.mode, uid, gid, filled)


def check_sources(manifest: PodManifest, app: RuntimeApp) -> tuple[tuple[str, bool, int], ...]:
    """Check an app's host volumes. Returns the devices among them: (type, read only, device). Raises MissingSource."""
    devices = []
    for mount in manifest.mounted(app):
        volume = mount.volume
        if not isinstance(volume, (HostVolume, NamedVolume)):
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
