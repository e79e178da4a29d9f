# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root of an image with other owners, where its file system or the kernel has no maps of users: a layer over the
image that has the owners, modes and attributes of all its files, and none of their content.

It is made once for each app of a pod, and stays with the pod. A file with several names becomes several files.
Source: Documentation/filesystems/overlayfs.rst, metadata only copy up.
"""

from __future__ import annotations

import os
import stat

from ...host import syscalls
from ...host.files import make_dirs, remove_tree
from .overlays import mount_overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.subids import IdRange

OPTIONS = "metacopy=on,redirect_dir=on"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = "security.capability"
_PRIVATE = 0o700


def ensure_layer(lower: tuple[str, ...], layer: str, place: str, users: IdRange) -> None:
    """Make the layer for an image, unless it is there.

    lower: the image's directories, topmost first. place: a directory to mount on meanwhile. Raises OSError.
    """
    if os.path.isdir(layer):
        return
    making, work = f"{layer}.new", f"{layer}.work"
    for path in (making, work):
        remove_tree(path)
        make_dirs(path, _PRIVATE)
    mount_overlay(place, lower, making, work, OPTIONS)
    try:
        top = os.open(place, _DIRECTORY)
        try:
            _shift(top, users)
        finally:
            os.close(top)
    finally:
        syscalls.umount(place, syscalls.MNT_DETACH)
    remove_tree(work)
    os.rename(making, layer)


def _shift(top: int, users: IdRange) -> None:
    """Give each file of a tree, at any depth, the owner that it has among a pod's users."""
    _own(top, ".", os.fstat(top), users)
    waiting = ["."]
    while waiting:
        path = waiting.pop()
        fd = os.open(path, _DIRECTORY, dir_fd=top)
        try:
            for name in os.listdir(fd):
                state = os.stat(name, dir_fd=fd, follow_symlinks=False)
                _own(fd, name, state, users)
                if stat.S_ISDIR(state.st_mode):
                    waiting.append(f"{path}/{name}")
        finally:
            os.close(fd)


def _own(directory: int, name: str, state: os.stat_result, users: IdRange) -> None:
    """Change the owner of a file, and give it back what the kernel takes from it then."""
    path = f"/proc/self/fd/{directory}/{name}"
    is_file = stat.S_ISREG(state.st_mode)
    capability = _capability(path) if is_file else b""
    owner = users.shifted(state.st_uid), users.shifted(state.st_gid)
    os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(state.st_mode) and state.st_mode & (stat.S_ISUID | stat.S_ISGID):
        os.chmod(path, stat.S_IMODE(state.st_mode))
    if capability:
        os.setxattr(path, _CAPABILITY, capability, follow_symlinks=False)


def _capability(path: str) -> bytes:
    try:
        return os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    except OSError:
        return b""
