# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that begin as what the image has in their places. Source: behaviours C23."""

from __future__ import annotations

import os
import stat

from ...errors import Corrupt, printable, some_of
from ...host import syscalls
from ..telling import warn
from . import roots

_COPY_BYTES = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_WITHIN = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
# What may come again in further volumes of an app, beside as much as came once: a volume in another is in both.
_FREE_BYTES, _FREE_ENTRIES = 1 << 30, 100_000
_SHOWN = 5


class Filling:
    """What the volumes of an app take from its image, all of them together.

    A few links to one directory, volumes in volumes or hard links would multiply an image otherwise, on the file
    system of all pods.
    """

    def __init__(self, app: str, root: int) -> None:
        self._app = app
        self._root = root
        self._sources: set[tuple[int, int]] = set()
        self._taken = _Taken()
        self._empty: list[str] = []
        self._devices: list[str] = []

    def fill(self, path: str, target: str) -> None:
        """Copy what the image itself has there, and nothing of what is mounted in the app's root.

        path: of the app. target: an empty directory. A directory fills one volume. Raises OSError, Corrupt.
        """
        own = roots.open_unmounted(self._root)
        try:
            source = roots.open_path(own, path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        finally:
            os.close(own)
        try:
            found = os.fstat(source)
            if (found.st_dev, found.st_ino) in self._sources:
                self._empty.append(printable(path))
                return
            self._sources.add((found.st_dev, found.st_ino))
            self._devices += [
                printable(f"{path}{place}") for place in _Copy(source, target, self._taken).run()
            ]
        finally:
            os.close(source)

    def warn(self) -> None:
        """Tell what is otherwise than the image has it."""
        if self._empty:
            warn(
                f"volumes of app {self._app} stay empty, since another is at the same directory of the image: "
                f"{some_of(self._empty, _SHOWN)}"
            )
        if self._devices:
            warn(
                f"device nodes of the image are left out of the volumes of app {self._app}: "
                f"{some_of(self._devices, _SHOWN)}"
            )


class _Taken:
    """What was copied once, and what came again."""

    def __init__(self) -> None:
        self._seen: dict[int, set[int]] = {}
        self._once = self._again = (0, 0)

    def count(self, found: os.stat_result) -> None:
        """Count what is about to be copied. Raises Corrupt."""
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
    """A directory of an image on its way into a volume, whatever its depth.

    source: a descriptor. target: the volume's directory.
    """

    def __init__(self, source: int, target: str, taken: _Taken) -> None:
        self._source = source
        self._target = target
        self._taken = taken
        # The copies of files that have more names, by device and inode; those names are one file again.
        self._linked: dict[tuple[int, int], str] = {}
        self._left_out: list[str] = []

    def run(self) -> list[str]:
        """Copy what is in it, and its mode and owner; where the devices are that are left out."""
        waiting, states = [""], []
        while waiting:
            place = waiting.pop()
            fd = syscalls.openat2(self._source, f".{place}", _DIRECTORY, _WITHIN)
            try:
                states.append((place, os.fstat(fd)))
                for name in os.listdir(fd):
                    if self._entry(fd, name, f"{place}/{name}"):
                        waiting.append(f"{place}/{name}")
            finally:
                os.close(fd)
        # Times come last: what is put into a directory changes them.
        for place, state in reversed(states):
            _copy_owner(f"{self._target}{place}", state)
        return self._left_out

    def _entry(self, fd: int, name: str, place: str) -> bool:
        """Copy what is in a directory, one of its own without what it holds; whether it is one."""
        path = f"{self._target}{place}"
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            # It is one of this host's, and on the file system of all pods would work for more than the app.
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
            _copy_leaf(fd, name, path, found)
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
