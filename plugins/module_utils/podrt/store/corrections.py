# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of directories that an archive did not describe.

A layer may bring var/lib/app/file without an entry for var/lib. Unpacked over the layers below, var/lib would keep
its owner and mode; as a layer of its own, it gets a directory of root's that would hide them. A thin layer on top of
the stack puts that right.
"""

from __future__ import annotations

import os
import stat

from .overlay import is_opaque
from .walker import IMPLIED_MODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .layers import Layer

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def find(roots: tuple[str, ...], stack: tuple[Layer, ...]) -> dict[str, str]:
    """Directory to the directory whose attributes it must have, for each that would otherwise lose its own.

    roots: the layers' directories, topmost first. Keys are relative to a root, parents included; values absolute.
    """
    implied = [set(layer.implied) for layer in stack]
    found: dict[str, str] = {}
    for path in sorted(set().union(*implied)):
        origin = _described(path, roots, implied)
        if origin and _differs(origin):
            found.update(_with_parents(path, origin, roots, implied))
    return found


def apply(corrected: dict[str, str], root: str) -> None:
    """Make the corrected directories in a new root, which only holds them."""
    for path in sorted(corrected):
        os.makedirs(f"{root}/{path}", mode=IMPLIED_MODE, exist_ok=True)
    for path in sorted(corrected, reverse=True):
        info = os.lstat(corrected[path])
        os.chown(f"{root}/{path}", info.st_uid, info.st_gid)
        os.chmod(f"{root}/{path}", stat.S_IMODE(info.st_mode))
        os.utime(f"{root}/{path}", ns=(info.st_mtime_ns, info.st_mtime_ns))


def _with_parents(path: str, origin: str, roots: tuple[str, ...], implied: list[set[str]]) -> dict[str, str]:
    """A corrected directory, and those above it as they are: the new layer lies over them too."""
    found = {path: origin}
    while path:
        path = path.rpartition("/")[0]
        described = _described(path, roots, implied)
        if described:
            found[path] = described
    return found


def _described(path: str, roots: tuple[str, ...], implied: list[set[str]]) -> str:
    """The topmost directory of that path that an entry described; empty when an app would see none."""
    for root, names in zip(roots, implied):
        is_dir, is_last = _look(root, path)
        if is_dir and path not in names:
            return f"{root}/{path}"
        if is_last:
            return ""
    return ""


def _look(root: str, path: str) -> tuple[bool, bool]:
    """Whether a layer has a directory of that path, and whether it hides what is there in the layers below."""
    at, hides = root, _hides(root)
    for component in filter(None, path.split("/")):
        at = f"{at}/{component}"
        try:
            info = os.lstat(at)
        except FileNotFoundError:
            return False, hides
        if not stat.S_ISDIR(info.st_mode):
            return False, True
        hides = hides or _hides(at)
    return True, hides


def _hides(path: str) -> bool:
    fd = os.open(path, _DIRECTORY)
    try:
        return is_opaque(fd)
    finally:
        os.close(fd)


def _differs(path: str) -> bool:
    info = os.lstat(path)
    return (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) != (IMPLIED_MODE, 0, 0)
