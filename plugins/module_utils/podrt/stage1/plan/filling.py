# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that start with the image's content at their paths. Source: behaviours C23."""

from __future__ import annotations

import os
import stat

from ...errors import Corrupt, first_of, printable
from ...host import syscalls
from ..telling import warn
from . import roots
from .disk_owners import DiskOwners, copy_attributes

_COPY_BYTES = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_WITHIN = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
# The limit of repeated content in an app's volumes, beside as much as came once: a volume in another is in both.
_FREE_BYTES, _FREE_ENTRIES = 1 << 30, 100_000
_SHOWN = 5


class Filling:
    """The copies from an image into the volumes of an app, counted together.

    Otherwise a few links to one directory, volumes in volumes or hard links would multiply an image, on the file system
    of all pods.
    """

    def __init__(self, app: str, root: int, first: int = 0) -> None:
        """root: a descriptor of the app's root. first: the ID of the host that is root in the app."""
        self.app = app
        self.seen = roots.MountedRoot(root, first)
        self.first = first
        self._root = root
        self._sources: set[tuple[int, int]] = set()
        self._taken = _Taken()
        self._empty: list[str] = []
        self._devices: list[str] = []

    def fill(self, path: str, target: str, owners: DiskOwners) -> bool:
        """Copy the image's own content at a path, without the mounts in the app's root.

        path: of the app. target: an empty directory. Returns whether the image has a directory there that has not
        filled another volume. Raises OSError, Corrupt.
        """
        own = roots.open_unmounted(self._root)
        try:
            source = roots.open_path(own, path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        finally:
            os.close(own)
        try:
            status = os.fstat(source)
            if (status.st_dev, status.st_ino) in self._sources:
                self._empty.append(printable(path))
                return False
            self._sources.add((status.st_dev, status.st_ino))
            self._devices += [
                printable(f"{path}{place}") for place in _Copy(source, target, self._taken, owners).run()
            ]
            return True
        finally:
            os.close(source)

    def warn(self) -> None:
        """Warn about differences from the image."""
        if self._empty:
            warn(
                f"volumes of app {self.app} stay empty, since another is at the same directory of the image: "
                f"{first_of(self._empty, _SHOWN)}"
            )
        if self._devices:
            warn(
                f"device nodes of the image are left out of the volumes of app {self.app}: "
                f"{first_of(self._devices, _SHOWN)}"
            )


class _Taken:
    """A count of content that was copied once, and of repeated content."""

    def __init__(self) -> None:
        self._seen: dict[int, set[int]] = {}
        self._once = self._again = (0, 0)

    def count(self, found: os.stat_result) -> None:
        """Count a file before it is copied. Raises Corrupt."""
        seen = self._seen.setdefault(found.st_dev, set())
        size = found.st_size if stat.S_ISREG(found.st_mode) else 0
        if found.st_ino not in seen:
            seen.add(found.st_ino)
            self._once = (self._once[0] + size, self._once[1] + 1)
            return
        self._again = (self._again[0] + size, self._again[1] + 1)
        if self._again[0] > self._once[0] + _FREE_BYTES or self._again[1] > self._once[1] + _FREE_ENTRIES:
            raise Corrupt(
                "cannot fill the volumes of an app: its image has the same files in several of them, "
                f"and copies would take {self._again[0]} bytes and {self._again[1]} files more than the files do",
                "give the app volumes of the pod at those paths: they are not filled",
            )


class _Copy:
    """A copy of a directory of an image into a volume, at any depth.

    source: a descriptor. target: the volume's directory.
    """

    def __init__(self, source: int, target: str, taken: _Taken, owners: DiskOwners) -> None:
        self._source = source
        self._target = target
        self._taken = taken
        self._owners = owners
        # The copies of files that have more names, by device and inode; those names are one file again.
        self._linked: dict[tuple[int, int], str] = {}
        self._left_out: list[str] = []

    def run(self) -> list[str]:
        """Copy the content of the directory, its mode and owner. Returns the places of devices, which are left out."""
        waiting, states = [""], []
        while waiting:
            place = waiting.pop()
            fd = syscalls.openat2(self._source, f".{place}", _DIRECTORY, _WITHIN)
            try:
                states.append((place, os.fstat(fd)))
                copy_attributes(f"/proc/self/fd/{fd}/.", f"{self._target}{place}", self._owners)
                for name in os.listdir(fd):
                    if self._entry(fd, name, f"{place}/{name}"):
                        waiting.append(f"{place}/{name}")
            finally:
                os.close(fd)
        # Times come last: new entries of a directory change them.
        for place, state in reversed(states):
            self._copy_owner(f"{self._target}{place}", state)
        return self._left_out

    def _entry(self, fd: int, name: str, place: str) -> bool:
        """Copy an entry of a directory, a directory without its content. Returns whether it is a directory."""
        path = f"{self._target}{place}"
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            # It would be a device of this host, and on the file system of all pods not only the app could use it.
            self._left_out.append(place)
            return False
        if stat.S_ISDIR(found.st_mode):
            self._taken.count(found)
            os.mkdir(path)
            return True
        first = self._linked.setdefault((found.st_dev, found.st_ino), path) if found.st_nlink > 1 else path
        if first != path:
            os.link(first, path, follow_symlinks=False)
        else:
            self._taken.count(found)
            self._copy_leaf(fd, name, path, found)
        return False

    def _copy_leaf(self, source: int, name: str, path: str, found: os.stat_result) -> None:
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), path)
            os.lchown(path, *self._owners.of(found.st_uid, found.st_gid))
            return
        if stat.S_ISREG(found.st_mode):
            source_fd = os.open(
                name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source
            )
            target_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                while os.sendfile(target_fd, source_fd, None, _COPY_BYTES):
                    pass
            finally:
                os.close(source_fd)
                os.close(target_fd)
        else:
            os.mknod(path, found.st_mode, found.st_rdev)
        self._copy_owner(path, found)
        # The kernel takes a capability from a file that gets another owner.
        copy_attributes(f"/proc/self/fd/{source}/{name}", path, self._owners)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    def _copy_owner(self, path: str, found: os.stat_result) -> None:
        os.chown(path, *self._owners.of(found.st_uid, found.st_gid))
        os.chmod(path, self._owners.mode(found))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
