# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes of directories that an archive did not describe.

A layer may bring var/lib/app/file without an entry for var/lib. Unpacked over the layers below, var/lib would keep
its owner and mode; unpacked as a separate layer, it is a directory of root's that would hide them. A thin layer on top
of the stack corrects that.
"""

from __future__ import annotations

import os
import stat

from ..errors import Corrupt
from .overlay import is_opaque
from .walker import IMPLIED_MODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .layers import Layer

    # A directory in the layers that have it, topmost first: the layer's number and the place.
    _Shown = tuple[tuple[int, str], ...]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# For all layers of an image; each directory takes some tens of microseconds.
_MOST_IMPLIED = 500_000


def find(roots: tuple[str, ...], stack: tuple[Layer, ...]) -> dict[str, str]:
    """Directory to the directory whose attributes it must get, for each that would otherwise lose its own.

    roots: the layers' directories, topmost first. Keys are relative to a root, parents included; values absolute.
    Raises Corrupt.
    """
    if sum(len(layer.implied) for layer in stack) > _MOST_IMPLIED:
        raise Corrupt(
            f"the layers of the image have more than {_MOST_IMPLIED} directories in all that no entry describes",
            "build the image with entries for its directories",
        )
    implied = [frozenset(layer.implied) for layer in stack]
    described = _described(roots, implied)
    corrected = {
        path for names in implied for path in names if path in described and _differs(described[path])
    }
    return {path: described[path] for path in _with_parents(corrected) if path in described}


def apply(corrected: dict[str, str], root: str) -> None:
    """Make the corrected directories in a new root, which holds only them."""
    for path in sorted(corrected):
        os.makedirs(f"{root}/{path}", mode=IMPLIED_MODE, exist_ok=True)
    for path in sorted(corrected, reverse=True):
        info = os.lstat(corrected[path])
        os.chown(f"{root}/{path}", info.st_uid, info.st_gid)
        os.chmod(f"{root}/{path}", stat.S_IMODE(info.st_mode))
        os.utime(f"{root}/{path}", ns=(info.st_mtime_ns, info.st_mtime_ns))


def _with_parents(paths: Iterable[str]) -> set[str]:
    """Directories, and those above them: the new layer covers these too."""
    found: set[str] = set()
    for path in paths:
        above = path
        while above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


def _described(roots: tuple[str, ...], implied: list[frozenset[str]]) -> dict[str, str]:
    """The topmost directory that an entry described, if any, for each implied path and those above.

    Each directory of a layer is listed once, and not at all where a layer above hides it from an app.
    """
    inner = _by_parent(_with_parents(path for names in implied for path in names))
    found: dict[str, str] = {}
    waiting = [("", _until_hidden(enumerate(roots)))]
    while waiting:
        path, shown = waiting.pop()
        origin = next((place for layer, place in shown if path not in implied[layer]), "")
        if origin:
            found[path] = origin
        names = inner.get(path)
        if names:
            prefix = f"{path}/" if path else ""
            waiting += [(prefix + name, places) for name, places in _children(shown, names).items()]
    return found


def _by_parent(paths: Iterable[str]) -> dict[str, set[str]]:
    """Directory to the names in it."""
    found: dict[str, set[str]] = {}
    for path in filter(None, paths):
        parent, _slash, name = path.rpartition("/")
        found.setdefault(parent, set()).add(name)
    return found


def _children(shown: _Shown, names: set[str]) -> dict[str, _Shown]:
    """The places of the subdirectories of these names that an app sees in a directory of several layers."""
    found: dict[str, list[tuple[int, str]]] = {}
    covered: set[str] = set()
    for layer, place in shown:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name not in names or entry.name in covered:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.setdefault(entry.name, []).append((layer, entry.path))
                else:
                    covered.add(entry.name)
    return {name: _until_hidden(places) for name, places in found.items()}


def _until_hidden(places: Iterable[tuple[int, str]]) -> _Shown:
    """The places of one directory, topmost first, down to one that hides those below it."""
    found = []
    for layer, place in places:
        found.append((layer, place))
        if _hides(place):
            break
    return tuple(found)


def _hides(path: str) -> bool:
    fd = os.open(path, _DIRECTORY)
    try:
        return is_opaque(fd)
    finally:
        os.close(fd)


def _differs(path: str) -> bool:
    info = os.lstat(path)
    return (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) != (IMPLIED_MODE, 0, 0)
