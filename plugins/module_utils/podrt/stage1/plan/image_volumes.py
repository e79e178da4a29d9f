# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root of an image in an app of another one: read-only, without devices and without set-user-ID programs."""

from __future__ import annotations

import errno
import os

from ...host import syscalls
from ...host.syscalls import MS_NODEV, MS_NOSUID, MS_RDONLY
from .mounts import Step, lay, mapped
from .overlays import mount_fds, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.idmaps import IdMap

_ATTRIBUTES = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NODEV | syscalls.MOUNT_ATTR_NOSUID
_FLAGS = MS_RDONLY | MS_NODEV | MS_NOSUID


class ImageVolumeStep(Step):
    """An image's root at target of the app. lower: its directories, topmost first.

    place: a directory of the pod to mount on. map, users: see HostVolumeStep; where the file system of the image has no
    maps, all files belong to no user of the pod, which may read what others may.
    """

    lower: tuple[str, ...]
    target: str
    place: str
    map: IdMap = ()
    users: int = -1

    def __str__(self) -> str:
        return f"image {self.target} of {':'.join(self.lower)}"

    def apply(self, root: int) -> None:
        """Mount it. Raises OSError."""
        try:
            tree = self._tree(self.users)
        except OSError as err:
            if err.errno != errno.EINVAL or self.users < 0:
                raise
            tree = self._tree(-1)
        try:
            lay(tree, root, self.target)
        finally:
            os.close(tree)

    def _tree(self, users: int) -> int:
        """A detached mount of the image. users: -1 for the owners as they are."""
        if len(self.lower) == 1:
            return mapped(self.lower[0], users, _ATTRIBUTES)
        layers: list[int] = []
        try:
            for path in self.lower:
                layers.append(mapped(path, users))
            stage(self.place, layers)
            try:
                mount_fds(self.place, layers, None, flags=_FLAGS)
                try:
                    return mapped(self.place, -1, _ATTRIBUTES)
                finally:
                    syscalls.umount(self.place, syscalls.MNT_DETACH)
            finally:
                syscalls.umount(self.place, syscalls.MNT_DETACH)
        finally:
            for fd in layers:
                os.close(fd)
