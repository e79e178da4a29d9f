# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the users of a pod that has its own are shown the owners of a volume's files.

The root of a pod could give a file of the host's root to a user of the host: as a program that is set-uid root. So in
what it may write and users of the host can reach, the files of ID 0 belong to no user of the pod. Each other ID of the
pod is the same ID in the volume. Source: mount_setattr(2), the idea of idmapped mounts.
"""

from __future__ import annotations

import os
import stat

from ..appc.volumes import RSLAVE, HostVolume, NamedVolume
from ..errors import InvalidSpec
from ..host.mountinfo import MADE_BY_KERNEL, read_mounts
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest, RuntimeApp
    from .subids import IdRange

    # ID in the file system, ID of the host, count.
    IdMap = tuple[tuple[int, int, int], ...]

_BY_OTHERS = 0o011
_OF_THE_KERNEL = (*MADE_BY_KERNEL, "devtmpfs", "devpts", "hugetlbfs", "ramfs")


class Owners(Value):
    """How a mount shows the owners of its files. map: () for as they are. device: by a node of the pod's own."""

    map: IdMap = ()
    device: bool = False


class VolumeSource(Value):
    """The source of a volume. settable: whether it is a file or a directory, whose mode and owner matter to the host.

    device: whether it is one. kernel: whether it is in a file system of the kernel's own, which has no maps. reachable:
    whether users of the host who are not root can come to it.
    """

    settable: bool
    device: bool
    kernel: bool
    reachable: bool


def mount_owners(manifest: PodManifest, app: RuntimeApp, users: IdRange) -> tuple[Owners, ...]:
    """The owners in each mount of an app, from what their sources are. Raises InvalidSpec, OSError."""
    kinds = {mount.device: mount.fs_type for mount in read_mounts()} if app.mounts else {}
    owners = []
    for mount in manifest.mounted(app):
        volume = mount.volume
        if not isinstance(volume, (HostVolume, NamedVolume)):
            owners.append(Owners())
            continue
        try:
            found = source_of(volume.source, kinds)
            owners.append(owners_of(volume, users, found, read_only=mount.read_only))
        except InvalidSpec as err:
            raise err.at(f"volumes[{manifest.volumes.index(volume)}].map") from err
    return tuple(owners)


def check_propagation(manifest: PodManifest, app: RuntimeApp, *, own_users: bool) -> None:
    """Raise InvalidSpec for a mount of an app in which what the host mounts later cannot appear, although it should."""
    for mount in manifest.mounted(app):
        volume = mount.volume
        if not isinstance(volume, HostVolume) or volume.propagation != RSLAVE:
            continue
        if own_users or mount.read_only:
            why = "the pod has its own users" if own_users else "it is mounted read-only"
            raise InvalidSpec(
                f"what the host mounts later cannot appear in {volume.source}: {why}",
                "take propagation: rslave out",
                where=f"volumes[{manifest.volumes.index(volume)}].propagation",
            )


def source_of(source: str, kinds: dict[str, str]) -> VolumeSource:
    """Look at the source of a volume. kinds: the types of file systems by their devices. Raises OSError."""
    found = os.stat(source)
    settable = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
    device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    kind = kinds.get(f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}", "")
    return VolumeSource(settable, device, kind in _OF_THE_KERNEL, _is_reachable(source))


def owners_of(
    volume: HostVolume | NamedVolume, users: IdRange, found: VolumeSource, *, read_only: bool
) -> Owners:
    """The owners in a mount of a volume. Pure. Raises InvalidSpec."""
    if found.device and volume.map is None:
        return Owners(device=True)
    return Owners(_map_of(volume, users, found, read_only=read_only))


def _map_of(
    volume: HostVolume | NamedVolume, users: IdRange, found: VolumeSource, *, read_only: bool
) -> IdMap:
    exposed = found.settable and found.reachable and not read_only
    if volume.map is not None:
        for inside, outside, count in volume.map:
            if exposed and outside == 0:
                raise InvalidSpec(
                    f"ID 0 of the host's files cannot be given to a user of the pod in {volume.source}: "
                    "it could make programs there that give any user of the host the rights of root",
                    "mount it read-only, or keep it below a directory that only root can enter (chmod 700)",
                )
            if inside + count > users.count:
                raise InvalidSpec(
                    f"a map up to ID {inside + count - 1} is out of range",
                    f"a pod with private users has those from 0 to {users.count - 1}",
                )
        return tuple((outside, users.shifted(inside), count) for inside, outside, count in volume.map)
    if found.kernel:
        return ()
    return ((1, users.shifted(1), users.count - 1),) if exposed else ((0, users.first, users.count),)


def _is_reachable(source: str) -> bool:
    """Whether every directory above a path may be entered by others than its owner, the root of the host."""
    above = os.path.dirname(os.path.realpath(source))
    while True:
        state = os.stat(above)
        if state.st_uid == 0 and not state.st_mode & _BY_OTHERS:
            return False
        if above == "/":
            return True
        above = os.path.dirname(above)
