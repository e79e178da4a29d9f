# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory to make something in, before it is renamed into the store.

Its owner holds a lock on it. One that a killed process left is not locked, so the next process removes it.
"""

from __future__ import annotations

import fcntl
import os

from ..host import files
from ..host.dirs import TreeDir
from ..host.locks import try_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..host.paths import Paths

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Workplace:
    """A directory to make something in. path: the directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def root(self) -> str:
        """Where an archive is unpacked."""
        return TreeDir(self.path).root

    @property
    def layer(self) -> TreeDir:
        """Where a layer is made of that."""
        return TreeDir(f"{self.path}/layer")

    @property
    def tree(self) -> TreeDir:
        """Where a tree is made."""
        return TreeDir(f"{self.path}/tree")

    @property
    def blob(self) -> str:
        """Where an archive is kept."""
        return f"{self.path}/blob"

    @property
    def sent(self) -> str:
        """Where an archive is kept as it was sent."""
        return f"{self.path}/sent"

    @property
    def image(self) -> str:
        """Where an archive of saved images is kept that came through a pipe."""
        return f"{self.path}/image"

    @property
    def signature(self) -> str:
        """Where a signature of an archive is kept."""
        return signature_in(self.path)

    @property
    def claim(self) -> str:
        """The names of the layers that are counted on, one a line."""
        return claim_in(self.path)

    def make_root(self) -> str:
        """Make the directory rootfs in it, readable by every app that will have it as its root."""
        files.make_dirs(self.root, files.OPEN_DIR)
        return self.root


class Workspace(Workplace):
    """A new directory in cas/tmp; a context manager that removes it with everything that was not moved away.

    sync() makes everything written to this file system durable.
    """

    def __init__(self, paths: Paths) -> None:
        super().__init__("")
        self._parent = paths.workspaces
        self._fd = -1

    def __enter__(self) -> Workspace:
        files.make_dirs(self._parent)
        sweep(self._parent)
        while self._fd < 0:
            self._make()
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        try:
            files.remove_tree(self.path)
        finally:
            os.close(self._fd)

    def part(self, name: str) -> Workplace:
        """A directory in it, for one of several things; it is made with what is in it."""
        return Workplace(f"{self.path}/part-{name}")

    def sync(self) -> None:
        """Call syncfs(2) once, whatever the number of files."""
        from ..host.syscalls import syncfs

        syncfs(self._fd)

    def _make(self) -> None:
        self.path = f"{self._parent}/{os.urandom(8).hex()}"
        os.mkdir(self.path, 0o700)
        try:
            fd = os.open(self.path, _DIRECTORY)
        except FileNotFoundError:
            return  # a sweep took it before it was locked
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            self._fd = fd
        else:
            os.close(fd)


def claim_in(path: str) -> str:
    """The claim in the directory of a workspace."""
    return f"{path}/layers"


def signature_in(path: str) -> str:
    """The signature in the directory of a workspace, or of what stands for one."""
    return f"{path}/signature"


def abandoned(parent: str) -> list[str]:
    """The directories that killed processes left."""
    return [path for path in _children(parent) if _take(path, _nothing)]


def in_use(parent: str) -> list[str]:
    """The directories that living processes work in."""
    return [path for path in _children(parent) if not _take(path, _nothing)]


def sweep(parent: str) -> None:
    """Remove the directories that killed processes left."""
    for path in _children(parent):
        _take(path, files.remove_tree)


def _children(parent: str) -> list[str]:
    return [f"{parent}/{name}" for name in files.entries(parent)]


def _take(path: str, then: Callable[[str], None]) -> bool:
    """Lock a directory and pass it to then, unless a process has locked it; return whether it was done."""
    try:
        fd = os.open(path, _DIRECTORY)
    except OSError:
        return False
    try:
        if not try_lock(fd):
            return False
        then(path)
        return True
    finally:
        os.close(fd)


def _nothing(_path: str) -> None:
    """Do nothing with a directory, for a query alone."""
