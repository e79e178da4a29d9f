# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root of an image read from its layers, as the kernel would show it if they were mounted as an overlay.

Only the store writes there. Every component is checked before it is used and no link is left to the kernel, so none
leads outside. Source: kernel Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat

from .overlay import is_opaque, is_whiteout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LINKS = 40
# The total length of the links on one path, and of all that are followed in one root: the kernel has no such bounds,
# but walks faster. No honest image comes near them.
_MOST_LINKED, _MOST_LINKED_IN_ALL = 2 * 4096, 256 * 1024
_LONGEST = 1 << 20


class Covered(Exception):
    """The path leads into a mount, whose content is not the image's."""


class LayeredRoot:
    """The root of an app that is not mounted, with the interface of host.execution.AppRoot.

    layers: directories, topmost first. covered: clean absolute paths of mounts. directory: the start of relative paths.
    """

    def __init__(self, layers: Sequence[str], covered: Sequence[str] = (), directory: str = "/") -> None:
        self._layers = list(layers)
        self._covered = frozenset(covered)
        self._directory = directory
        self._linked = 0
        # The layers do not change: state and places by clean absolute path.
        self._known: dict[str, tuple[os.stat_result | None, list[str]]] = {}

    def owner(self, path: str) -> tuple[int, int]:
        """The owner and the group of the file at a path, not of what a link leads to. Raises OSError, Covered."""
        state = self.state(path)
        return state.st_uid, state.st_gid

    def state(self, path: str) -> os.stat_result:
        """The state of the file at a path, as by lstat. Raises OSError, Covered."""
        return self._find(path, follow=False)[0]

    def look(self, path: str) -> os.stat_result:
        """The state of the file at a path, as by stat. Raises OSError, Covered."""
        return self._find(path, follow=True)[0]

    def may_execute(self, path: str) -> bool:
        """Whether any user may execute it. Raises OSError, Covered."""
        return bool(self.look(path).st_mode & 0o111)

    def open(self, path: str) -> int:
        """Open the regular file at a path for reading. Raises OSError, Covered.

        The kind is checked before: a device in an image is a device of this host, and opening some has effects.
        """
        info, place = self._find(path, follow=True)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        return os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def read(self, path: str) -> bytes:
        """The content of a regular file, 1 MB at most. Raises OSError, Covered."""
        with os.fdopen(self.open(path), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > _LONGEST:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            return file.read(_LONGEST) or b""

    def _find(self, path: str, *, follow: bool) -> tuple[os.stat_result, str]:
        """The state of the file at a path, and its place. Each directory on the way is one in several layers."""
        todo = _parts(os.path.join(self._directory, path))
        # The directories that lead there: clean path, places.
        done: list[tuple[str, list[str]]] = [("", self._layers)]
        links = linked = 0
        while todo:
            part = todo.pop()
            if part in (".", ".."):
                done = (done[:-1] or done) if part == ".." else done
                continue
            here = f"{done[-1][0]}/{part}"
            if here in self._covered:
                raise Covered(path)
            info, places = self._child(done[-1][1], part, here)
            if stat.S_ISLNK(info.st_mode) and (todo or follow):
                target = os.readlink(places[0])
                links, linked = links + 1, linked + len(target)
                self._count_links(path, links, linked, len(target))
                done = done[:1] if target.startswith("/") else done
                todo += _parts(target)
            elif stat.S_ISDIR(info.st_mode):
                done.append((here, places))
            elif todo:
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            else:
                return info, places[0]
        place = done[-1][1][0]
        return os.lstat(place), place

    def _count_links(self, path: str, links: int, linked: int, size: int) -> None:
        """Raise OSError for too many links, or too long ones. linked, size: characters."""
        self._linked += size
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if linked > _MOST_LINKED or self._linked > _MOST_LINKED_IN_ALL:
            raise OSError(errno.ELOOP, "the symbolic links on the way are too long", path)

    def _child(self, directories: Sequence[str], name: str, path: str) -> tuple[os.stat_result, list[str]]:
        if path not in self._known:
            self._known[path] = _shown(directories, name)
        shown, places = self._known[path]
        if shown is not None:
            return shown, places
        if any(covered.startswith(f"{path}/") for covered in self._covered):
            raise Covered(path)  # a mount below it creates it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _parts(path: str) -> list[str]:
    """The components, the first one last. A dot stays, also for a last slash: before it must be a directory."""
    return [part for part in reversed((f"{path}." if path.endswith("/") else path).split("/")) if part]


def _shown(directories: Sequence[str], name: str) -> tuple[os.stat_result | None, list[str]]:
    """The file of a name in a directory of several layers: its state, and its place, a directory's in each layer."""
    places: list[str] = []
    shown: os.stat_result | None = None
    for directory in directories:
        place = f"{directory}/{name}"
        try:
            info = os.lstat(place)
        except FileNotFoundError:
            continue
        if is_whiteout(info):
            break
        if not stat.S_ISDIR(info.st_mode):
            if shown is None:
                return info, [place]
            break
        shown = shown or info
        places.append(place)
        if is_opaque(place):
            break
    return shown, places
