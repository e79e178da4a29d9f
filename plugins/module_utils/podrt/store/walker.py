# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that an archive names, found beneath a root and through no link that leaves it.

Every path is walked from a descriptor of the root, one component at a time; descriptors of directories are kept,
since entries of one directory come together. Source: behaviours B52.
"""

from __future__ import annotations

import os

from ..errors import Corrupt
from ..host.reading import DOCUMENT
from .overlay import is_whiteout, set_opaque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .allowance import Allowance

IMPLIED_MODE = 0o755
# The checksum of a tree takes a descriptor for each level.
MAX_DEPTH = 128
_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_DIRS = 96
# For implied directories, as JSON: they go into the record of the layer, which must be readable again.
_MOST_IMPLIED = DOCUMENT - (1 << 20)
_MAX_LINKS = 40


class RootWalker:
    """The directories beneath a root, a context manager that owns their descriptors.

    Paths are relative to the root, which is "". implied: directories that were made because something was in them,
    including some that have been removed since. allowance: counts them. Descriptors from directory() stay open until
    give_back(), whatever is closed or removed meanwhile.
    """

    def __init__(self, root: str, allowance: Allowance) -> None:
        self.implied: set[str] = {""}
        self._allowance = allowance
        self._remembered = 0
        self._path = root
        self._root = -1
        self._kept: dict[str, int] = {}
        self._lent: set[int] = set()
        self._closing: list[int] = []

    def __enter__(self) -> RootWalker:
        self._root = os.open(self._path, _OPEN_DIR)
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        self._close(list(self._kept))
        self.give_back()
        os.close(self._root)

    def directory(self, path: str, *, make: bool = True) -> tuple[str, int]:
        """The real path of the directory that a path leads to, and its descriptor.

        make: whether to make it when it is missing, else FileNotFoundError. Raises Corrupt for a path that leads
        outside or through something that is not a directory, OSError.
        """
        kept = self._kept.get(path)
        where, fd = (path, kept) if kept is not None else self._walk(path, make)
        self._lent.add(fd)
        return where, fd

    def give_back(self) -> None:
        """Take back the descriptors that directory() gave out; those that are not kept any more are closed."""
        self._lent.clear()
        while self._closing:
            os.close(self._closing.pop())

    def forget(self, path: str) -> None:
        """Forget a directory that was removed, and those in it."""
        below = f"{path}/"
        self._close([kept for kept in self._kept if kept == path or kept.startswith(below)])

    def _walk(self, path: str, make: bool) -> tuple[str, int]:
        """Open one component after the other; a link is replaced by its target, as seen from inside the root."""
        rest = path.split("/")[::-1] if path else []
        at, fd, links, below_link, link = "", self._root, 0, len(rest), ""
        while rest:
            name = rest.pop()
            child = f"{at}/{name}" if at else name
            of_link = len(rest) >= below_link
            child_fd = self._kept.get(child)
            if child_fd is None:
                child_fd = self._open_linked(child, fd, link) if of_link else self._open(child, fd, make)
            if child_fd is None:
                links, below_link, link = links + 1, min(below_link, len(rest)), child
                rest += _link_target(child, fd, links)[::-1]
                at, fd = "", self._root
                continue
            self._keep(child, child_fd)
            at, fd = child, child_fd
        return at, fd

    def _open(self, path: str, parent: int, make: bool) -> int | None:
        """Open a directory, or make it; None when a link or another file is in its place."""
        name = path.rpartition("/")[2]
        hides_lower = False
        try:
            return os.open(name, _OPEN_DIR, dir_fd=parent)
        except NotADirectoryError:
            hides_lower = is_whiteout(os.lstat(name, dir_fd=parent))
            if not hides_lower:
                return None
        except FileNotFoundError:
            pass
        if not make:
            raise FileNotFoundError(path)
        if hides_lower:
            os.unlink(name, dir_fd=parent)
        return self._make(path, parent, opaque=hides_lower)

    def _make(self, path: str, parent: int, *, opaque: bool) -> int:
        if path.count("/") > MAX_DEPTH:
            raise Corrupt(
                f'the archive has an entry beneath more than {MAX_DEPTH} directories: "{path[:60]}..."'
            )
        self._allowance.take_entries(1)
        self._remembered += _size_as_json(path)
        if self._remembered > _MOST_IMPLIED:
            raise Corrupt("the archive has too many entries in directories that it does not have itself")
        name = path.rpartition("/")[2]
        os.mkdir(name, IMPLIED_MODE, dir_fd=parent)
        fd = os.open(name, _OPEN_DIR, dir_fd=parent)
        os.fchmod(fd, IMPLIED_MODE)
        if opaque:
            set_opaque(fd)
        self.implied.add(path)
        return fd

    def _open_linked(self, path: str, parent: int, link: str) -> int | None:
        try:
            return self._open(path, parent, make=False)
        except FileNotFoundError as err:
            raise Corrupt(
                f'the link "{link}" leads to "{path}", and the archive has no such directory',
                "put the entry where the link leads, or make the directory in the same layer",
            ) from err

    def _keep(self, path: str, fd: int) -> None:
        """Keep a descriptor, and close the oldest if there are too many; the walk needs only the current one."""
        self._kept[path] = fd
        if len(self._kept) > _KEPT_DIRS:
            self._close([next(iter(self._kept))])

    def _close(self, paths: list[str]) -> None:
        for path in paths:
            fd = self._kept.pop(path)
            if fd in self._lent:
                self._closing.append(fd)
            else:
                os.close(fd)


def _size_as_json(path: str) -> int:
    """An upper bound of the size of a path in a JSON document."""
    escaped = not path.isprintable() or '"' in path or "\\" in path
    return len(os.fsencode(path)) * (6 if escaped else 1) + 3


def _link_target(path: str, parent: int, links: int) -> list[str]:
    """The target of a link, as components from the root. Raises Corrupt when it is outside, or this is not a link."""
    try:
        target = os.readlink(path.rpartition("/")[2], dir_fd=parent)
    except OSError as err:
        raise Corrupt(f'the archive has entries beneath "{path}", which is not a directory') from err
    parts = [] if target.startswith("/") else path.split("/")[:-1]
    for component in target.split("/"):
        if component == ".." and not parts:
            raise Corrupt(
                f'the archive has entries beneath "{path}", a link that leads out of it: "{target}"'
            )
        if component == "..":
            parts.pop()
        elif component not in ("", "."):
            parts.append(component)
    if links > _MAX_LINKS:
        raise Corrupt(f'the archive has entries beneath "{path}", a link in a circle of links')
    return parts
