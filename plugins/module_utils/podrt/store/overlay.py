# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merge layers by copying, with the semantics of overlayfs: whiteouts, opaque directories.

Only the store writes to either side; still every step uses descriptors and follows no link.
Source: kernel Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat

from ..contexts import suppress
from ..host.files import blame, remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = "trusted.overlay.opaque"


class Layering:
    """A copy of layers, one after the other, the lowest first, into one directory; a context manager.

    share: make hard links to files instead of copies. keep: whether a path (absolute, as the app sees it) is copied.
    owner: the user or group of a copy, from that of the file.
    """

    def __init__(
        self, target: str, *, share: bool = False, owner: Callable[[int], int] | None = None
    ) -> None:
        self._target = target
        self._share = share
        self._owner = owner or _unchanged
        self._links: dict[tuple[int, int], str] = {}
        self._root = -1
        self._keep: Callable[[str], bool] = _everything

    def __enter__(self) -> Layering:
        self._root = os.open(self._target, _DIRECTORY)
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        os.close(self._root)

    def lay(self, source: str, keep: Callable[[str], bool] | None = None) -> None:
        """Copy a layer over those that are there. Raises OSError."""
        self._keep = keep or _everything
        self._links.clear()
        fd = os.open(source, _DIRECTORY)
        try:
            self._merge(fd, self._root, "")
        finally:
            os.close(fd)

    def _merge(self, source: int, target: int, path: str) -> None:
        """Copy a directory over a directory, its own attributes last: each change inside moves its times."""
        if is_opaque(source):
            for name in os.listdir(target):
                _remove(target, name)
        with os.scandir(source) as entries:
            children = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        for name, info in children:
            child = f"{path}/{name}"
            if self._keep(child):
                self._place(source, target, name, info, child)
        _copy_attributes(source, target, self._owner)

    def _place(self, source: int, target: int, name: str, info: os.stat_result, path: str) -> None:
        if stat.S_ISDIR(info.st_mode):
            self._place_dir(source, target, name, path)
            return
        _remove(target, name)
        if is_whiteout(info):
            return
        known = self._links.get((info.st_dev, info.st_ino)) if info.st_nlink > 1 else None
        if self._share:
            os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        elif known is not None:
            os.link(known, name, src_dir_fd=self._root, dst_dir_fd=target, follow_symlinks=False)
        else:
            self._copy(source, target, name, info)
            self._links[info.st_dev, info.st_ino] = path[1:]

    def _copy(self, source: int, target: int, name: str, info: os.stat_result) -> None:
        if stat.S_ISREG(info.st_mode):
            _copy_file(source, target, name, info, self._owner)
            return
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
        uid, gid = self._owner(info.st_uid), self._owner(info.st_gid)
        os.chown(name, uid, gid, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target)
        os.utime(name, ns=(info.st_mtime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)

    def _place_dir(self, source: int, target: int, name: str, path: str) -> None:
        try:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=target).st_mode):
                os.unlink(name, dir_fd=target)
                os.mkdir(name, 0o700, dir_fd=target)
        except FileNotFoundError:
            os.mkdir(name, 0o700, dir_fd=target)
        inner = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            outer = os.open(name, _DIRECTORY, dir_fd=target)
            try:
                self._merge(inner, outer, path)
            finally:
                os.close(outer)
        finally:
            os.close(inner)


def is_opaque(fd: int | str) -> bool:
    """Whether a directory, by descriptor or path, is opaque: hides that of the same path in the layers below."""
    try:
        return os.getxattr(fd, _OPAQUE) == b"y"
    except OSError as err:
        if err.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise


def set_opaque(fd: int) -> None:
    """Make a directory opaque, so that it hides that of the same path in the layers below."""
    os.setxattr(fd, _OPAQUE, b"y")


def is_whiteout(info: os.stat_result) -> bool:
    """Whether this is a whiteout, which hides a name of the layers below."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def make_whiteout(name: str, directory: int) -> None:
    """Hide a name of the layers below. Raises FileExistsError."""
    os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
    os.utime(name, ns=(0, 0), dir_fd=directory)


def _unchanged(number: int) -> int:
    return number


def _everything(_path: str) -> bool:
    return True


def _remove(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        remove_tree(f"/proc/self/fd/{directory}/{name}")


def _copy_file(
    source: int, target: int, name: str, info: os.stat_result, owner: Callable[[int], int]
) -> None:
    source_fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        target_fd = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target
        )
        try:
            _copy_content(source_fd, target_fd, info.st_size)
            _copy_attributes(source_fd, target_fd, owner)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def _copy_content(source: int, target: int, size: int) -> None:
    while size > 0:
        try:
            copied = os.sendfile(target, source, None, min(size, 1 << 30))
        except OSError as err:
            blame(err, target)
            raise
        if not copied:
            return
        size -= copied


def _copy_attributes(source: int, target: int, owner: Callable[[int], int]) -> None:
    """Copy owner, extended attributes, mode, time: in this order, since each may clear the later ones."""
    info = os.fstat(source)
    os.fchown(target, owner(info.st_uid), owner(info.st_gid))
    for name in os.listxattr(source):
        if not name.startswith("trusted.overlay."):
            with suppress(FileNotFoundError):
                os.setxattr(target, name, os.getxattr(source, name))
    os.fchmod(target, stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_mtime_ns, info.st_mtime_ns))
