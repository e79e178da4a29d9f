# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of the store as archives again: whiteouts as docker writes them, and all in the order of its names.

The same files give the same bytes, whatever the archive was that they came from, so a layer that was unpacked from such
an archive becomes that archive again. Source: OCI image specification, layer.md "Whiteouts".
"""

from __future__ import annotations

import os
import stat

from ...errors import Corrupt, NotFound
from ...host import reading
from ...store import layers, tar
from ...store.overlay import is_opaque, is_whiteout
from . import tarball
from .members import CAPABILITY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...host.paths import Paths

_PREFIX = "./"
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_USERS = "user."
_CHUNK = 256 * 1024
_KINDS = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}


def archive_of(paths: Paths, layer_id: str) -> Iterator[bytes]:
    """The archive of a layer of a docker image. The caller claims the layer. Raises NotFound, Corrupt, OSError.

    Directories that no entry has described are in no entry here either: layers below decide about them.
    """
    layer = layers.find_layer(paths, layer_id)
    if layer is None:
        raise NotFound(f"the layer {layer_id} is not in the store", "fetch its image again")
    root = paths.layer(layers.layer_name(layer_id)).root
    yield from tarball.gathered(_entries(root, frozenset(layer.implied)))
    yield tarball.END


def _entries(root: str, implied: frozenset[str]) -> Iterator[bytes]:
    waiting = [""]
    names: dict[tuple[int, int], str] = {}
    while waiting:
        path = waiting.pop()
        place = f"{root}/{path}" if path else root
        info = os.lstat(place)
        if stat.S_ISDIR(info.st_mode):
            if path not in implied:
                yield tarball.headers_of(_entry(place, path, info))
            if is_opaque(place):
                yield _hiding(path, _OPAQUE)
            below = sorted(os.listdir(place), key=os.fsencode, reverse=True)
            waiting += [f"{path}/{name}" if path else name for name in below]
        elif is_whiteout(info):
            directory, _slash, name = path.rpartition("/")
            yield _hiding(directory, _WHITEOUT + name)
        else:
            yield from _file(root, path, info, names)


def _file(root: str, path: str, info: os.stat_result, names: dict[tuple[int, int], str]) -> Iterator[bytes]:
    """An entry that is no directory, with its content. names: the first names of files by device and inode."""
    place, identity = f"{root}/{path}", (info.st_dev, info.st_ino)
    entry = _entry(place, path, info)
    if info.st_nlink > 1 and names.setdefault(identity, entry.name) != entry.name:
        entry.kind, entry.size, entry.link, entry.xattrs = tar.LINK, 0, names[identity], ()
    yield tarball.headers_of(entry)
    if entry.kind == tar.FILE:
        yield from _content(place, root, entry.size)
        yield bytes(-entry.size % tar.BLOCK)


def _entry(place: str, path: str, info: os.stat_result) -> tar.TarEntry:
    kind = _KINDS.get(stat.S_IFMT(info.st_mode), "")
    if not kind:
        raise Corrupt(f"{place} is a file of an unknown kind", "podctl image verify checks images")
    name = f"{_PREFIX}{path}/" if kind == tar.DIRECTORY and path else _PREFIX + path
    entry = tar.TarEntry(name, kind, stat.S_IMODE(info.st_mode))
    entry.uid, entry.gid, entry.mtime = info.st_uid, info.st_gid, info.st_mtime_ns
    if kind == tar.FILE:
        entry.size = info.st_size
    if kind == tar.SYMLINK:
        entry.link = os.readlink(place)
    if kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
        entry.device = (os.major(info.st_rdev), os.minor(info.st_rdev))
    if kind in (tar.FILE, tar.DIRECTORY):
        entry.xattrs = tuple(
            (name, os.getxattr(place, name, follow_symlinks=False))
            for name in sorted(os.listxattr(place, follow_symlinks=False))
            if name == CAPABILITY or name.startswith(_USERS)
        )
    return entry


def _hiding(directory: str, name: str) -> bytes:
    """The entry of a whiteout, or of what makes a directory opaque."""
    path = f"{directory}/{name}" if directory else name
    return tarball.headers_of(tar.TarEntry(_PREFIX + path, tar.FILE, 0))


def _content(place: str, root: str, size: int) -> Iterator[bytes]:
    fd = reading.open_regular(place, beneath=root)
    try:
        while size:
            chunk = os.read(fd, min(_CHUNK, size))
            if not chunk:
                raise Corrupt(f"{place} is shorter than it was", "podctl image verify checks images")
            size -= len(chunk)
            yield chunk
    finally:
        os.close(fd)
