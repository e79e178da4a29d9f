# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a directory from the entries of an archive that may be hostile.

Source: behaviours B52; OCI image specification, layer.md "Whiteouts"; kernel overlayfs.rst.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from ..errors import Corrupt, HostFailure, hint_for_errno, reason_of
from ..host.files import remove_tree, write_all
from . import sparse, tar
from .allowance import Allowance
from .overlay import is_whiteout, make_whiteout, set_opaque
from .times import Times
from .walker import MAX_DEPTH, RootWalker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .tar import TarEntry, TarReader

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# struct vfs_cap_data, in its three revisions. Source: linux/capability.h.
_CAPABILITY_SIZES = (12, 20, 24)
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_AUFS_PREFIX = ".wh..wh."
# Memory for digests, some 200,000 of them: more would be worth keeping, but the length of names is not bounded.
_MOST_REMEMBERED = 64 << 20
_COST_OF_DIGEST = 256
_ZEROS = bytes(1 << 16)
_DAMAGE = frozenset(
    (
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EISDIR,
        errno.EINVAL,
        errno.ERANGE,  # the name of an extended attribute
        errno.E2BIG,  # its value
    )
)
_NODES = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}


class _Destination:
    """The place of an entry. path: the real one, through no link. parent: the descriptor of its directory."""

    __slots__ = ("leaf", "parent", "path")

    def __init__(self, where: str, parent: int, leaf: str) -> None:
        self.path = f"{where}/{leaf}" if where else leaf
        self.parent = parent
        self.leaf = leaf


class Extraction:
    """A root directory being filled; a context manager that sets the times of directories at the end.

    digests: sha256 of the content of files without extended attributes, by path, up to a bound of memory. implied:
    directories that no entry described, complete at the end. size: bytes of content. Paths are relative to the root
    and go through no link. allowance: the bounds of the image.
    """

    def __init__(self, root: str, allowance: Allowance | None = None, *, whiteouts: bool = False) -> None:
        self.digests: dict[str, bytes] = {}
        self.size = 0
        self.implied: set[str] = set()
        self._allowance = allowance or Allowance()
        self._walker = RootWalker(root, self._allowance)
        self._whiteouts = whiteouts
        self._times = Times(f"{root}.times")
        self._remembered = 0

    def __enter__(self) -> Extraction:
        self._walker.__enter__()
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        try:
            if kind is None:
                self._set_times()
        finally:
            self._times.close()
            self._walker.__exit__(kind, err, trace)

    def add(self, entry: TarEntry, path: str, reader: TarReader) -> None:
        """Extract an entry at a clean path (see clean). Raises Corrupt and HostFailure."""
        self._allowance.take_entries(1)
        try:
            self._add(entry, path, reader)
        except OSError as err:
            if err.errno in _DAMAGE:
                raise Corrupt(f'cannot extract "{path}": {reason_of(err)}') from err
            raise HostFailure.of(f'cannot extract "{path}"', err, hint_of(err)) from err
        finally:
            self._walker.give_back()

    def _add(self, entry: TarEntry, path: str, reader: TarReader) -> None:
        directory, _slash, leaf = path.rpartition("/")
        hides = self._whiteouts and leaf.startswith(_WHITEOUT)
        if hides and leaf.startswith(_AUFS_PREFIX) and leaf != _OPAQUE:
            return
        place = self._place(path, directory, leaf)
        if hides:
            self._whiteout(place)
        elif entry.kind == tar.DIRECTORY:
            self._directory(entry, place)
        elif not leaf:
            raise Corrupt("the archive replaces the root by something that is not a directory")
        elif entry.kind == tar.FILE:
            self._file(entry, place, reader)
        elif entry.kind == tar.LINK:
            self._link(entry, place)
        else:
            self._special(entry, place)

    def _place(self, path: str, directory: str, leaf: str) -> _Destination:
        """The place of an entry; makes missing directories. Raises Corrupt naming the entry."""
        try:
            where, parent = self._walker.directory(directory)
        except Corrupt as err:
            raise Corrupt(f'cannot extract "{path}": {err.message}', err.hint) from err
        return _Destination(where, parent, leaf)

    def _file(self, entry: TarEntry, place: _Destination, reader: TarReader) -> None:
        fd = self._make_new(place, _file_at)
        try:
            digest = hashlib.sha256()
            if entry.spans is not None:
                self._fill_sparse(fd, entry, digest, reader)
            else:
                for block in reader.blocks():
                    digest.update(block)
                    write_all(fd, block)
            os.fchown(fd, entry.uid, entry.gid)
            if entry.xattrs:
                _set_xattrs(fd, entry)
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
            self._remember(place.path, digest.digest() if not entry.xattrs else b"")
            self.size += entry.size
        finally:
            os.close(fd)

    def _fill_sparse(self, fd: int, entry: TarEntry, digest: hashlib._Hash, reader: TarReader) -> None:
        """Write the data of a file to their places; what is between them is zeros for who reads it."""
        spans = entry.spans or ()
        # The stream has counted the data only.
        self._allowance.take_bytes(entry.size - sum(length for _offset, length in spans))
        at = 0
        for offset, part in sparse.placed(reader.blocks(), spans):
            _hash_zeros(digest, offset - at)
            digest.update(part)
            os.lseek(fd, offset, os.SEEK_SET)
            write_all(fd, part)
            at = offset + len(part)
        _hash_zeros(digest, entry.size - at)
        os.ftruncate(fd, entry.size)

    def _directory(self, entry: TarEntry, place: _Destination) -> None:
        if place.leaf:
            self._make_dir(place)
        fd = self._walker.directory(place.path)[1]
        os.fchown(fd, entry.uid, entry.gid)
        _set_xattrs(fd, entry)
        os.fchmod(fd, entry.mode)
        self._walker.implied.discard(place.path)
        self._times.add(place.path, entry.mtime)

    def _make_dir(self, place: _Destination) -> None:
        try:
            os.mkdir(place.leaf, 0o700, dir_fd=place.parent)
            return
        except FileExistsError:
            info = os.lstat(place.leaf, dir_fd=place.parent)
        if stat.S_ISDIR(info.st_mode):
            return
        self._remove(place)
        os.mkdir(place.leaf, 0o700, dir_fd=place.parent)
        if is_whiteout(info):
            self._hide_lower(place.path)

    def _link(self, entry: TarEntry, place: _Destination) -> None:
        target = clean(entry.link)
        directory, _slash, leaf = target.rpartition("/")
        try:
            where, source = self._walker.directory(directory, make=False)
            info = os.lstat(leaf or ".", dir_fd=source)
            if stat.S_ISDIR(info.st_mode):
                raise Corrupt(f'"{place.path}" is a hard link to a directory')
            if is_whiteout(info):
                raise FileNotFoundError(target)
            known = _Destination(where, source, leaf)
            if known.path != place.path:
                self._make_new(place, lambda name, at: _link_at(known, name, at))
                self._remember(place.path, self.digests.get(known.path, b""))
        except FileNotFoundError as err:
            raise Corrupt(
                f'"{place.path}" is a hard link to "{target}", which is not in the archive'
            ) from err

    def _special(self, entry: TarEntry, place: _Destination) -> None:
        if entry.kind == tar.SYMLINK:
            self._make_new(place, lambda leaf, at: _symlink_at(entry.link, leaf, at))
        else:
            if entry.kind == tar.CHARACTER and entry.device == (0, 0):
                raise Corrupt(f'"{place.path}" is the character device 0:0, by which layers hide names')
            mode, device = _NODES[entry.kind] | 0o600, os.makedev(*entry.device)
            self._make_new(place, lambda leaf, at: _node_at(leaf, mode, device, at))
        leaf, parent = place.leaf, place.parent
        os.chown(leaf, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind != tar.SYMLINK:
            os.chmod(leaf, entry.mode, dir_fd=parent)
        os.utime(leaf, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _make_new(self, place: _Destination, make: Callable[[str, int], int]) -> int:
        """Make something at a place, removing an earlier entry."""
        try:
            return make(place.leaf, place.parent)
        except FileExistsError:
            self._remove(place)
            return make(place.leaf, place.parent)

    def _whiteout(self, place: _Destination) -> None:
        """Hide a name of the layers below, or with .wh..wh..opq all names in this directory."""
        if place.leaf == _OPAQUE:
            set_opaque(place.parent)
            return
        name = place.leaf[len(_WHITEOUT) :]
        if name in ("", ".", ".."):
            raise Corrupt(f'"{place.path}" is not a valid whiteout')
        try:
            make_whiteout(name, place.parent)
        except FileExistsError:
            # The layer has the name itself; only a directory would otherwise be merged with the one below.
            if stat.S_ISDIR(os.lstat(name, dir_fd=place.parent).st_mode):
                self._hide_lower(place.path[: -len(place.leaf)] + name)

    def _hide_lower(self, path: str) -> None:
        set_opaque(self._walker.directory(path)[1])

    def _remove(self, place: _Destination) -> None:
        info = os.lstat(place.leaf, dir_fd=place.parent)
        if not stat.S_ISDIR(info.st_mode):
            os.unlink(place.leaf, dir_fd=place.parent)
            return
        remove_tree(f"/proc/self/fd/{place.parent}/{place.leaf}")
        self._walker.forget(place.path)

    def _remember(self, path: str, digest: bytes) -> None:
        """Keep a digest while there is memory; other files are read again for theirs."""
        if path in self.digests:
            del self.digests[path]
        self._remembered += len(path) + _COST_OF_DIGEST
        if self._remembered <= _MOST_REMEMBERED:
            self.digests[path] = digest

    def _set_times(self) -> None:
        """Set the times of directories, which every change in them moved; the last entry of a directory counts."""
        for path, mtime in self._times:
            self._set_time(path, mtime)
        self.implied = {path for path in self._walker.implied if self._set_time(path, 0)}

    def _set_time(self, path: str, mtime: int) -> bool:
        """Set the time of a directory; return whether it is still there."""
        try:
            where, fd = self._walker.directory(path, make=False)
            if where != path:
                return False
            os.utime(fd, ns=(mtime, mtime))
        except (FileNotFoundError, Corrupt):
            return False
        finally:
            self._walker.give_back()
        return True


def clean(name: str) -> str:
    """The name of an entry as a path relative to the root: "" is the root. Raises Corrupt for one that escapes.

    An absolute name is beneath the root, as in docker.
    """
    path = name.lstrip("/")
    if path.startswith("./"):
        path = path[2:]
    if path.count("/") > MAX_DEPTH:
        raise Corrupt(f'the archive has an entry beneath more than {MAX_DEPTH} directories: "{name[:60]}..."')
    if "//" not in path and "." not in path:
        return path.rstrip("/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Corrupt(f'the archive has an entry that leads out of it: "{name}"')
    return "/".join(parts)


def _set_xattrs(fd: int, entry: TarEntry) -> None:
    """Set capabilities and user.*; other attributes concern this host's kernel, not the app."""
    for name, value in entry.xattrs:
        if name != "security.capability" and (
            not name.startswith("user.") or name.startswith("user.overlay.")
        ):
            continue
        if name == "security.capability" and len(value) not in _CAPABILITY_SIZES:
            raise Corrupt(
                f'"{entry.name}" in the archive has a {name} of {len(value)} bytes, which is not valid',
                "make the archive again",
            )
        try:
            os.setxattr(fd, name, value)
        except OSError as err:
            if err.errno in (errno.ENOSPC, errno.E2BIG) and _has_room(fd):
                raise OSError(
                    errno.E2BIG, "it has more extended attributes than the file system takes"
                ) from err
            if err.errno != errno.ENOTSUP or name == "security.capability":
                raise


def _has_room(fd: int) -> bool:
    """Whether the file system is not full: attributes have a separate bound, with the same errno."""
    usage = os.fstatvfs(fd)
    return usage.f_bavail > 0 and (usage.f_favail > 0 or usage.f_files == 0)


def _file_at(name: str, directory: int) -> int:
    return os.open(name, _NEW_FILE, 0o600, dir_fd=directory)


def _link_at(target: _Destination, name: str, directory: int) -> int:
    os.link(target.leaf, name, src_dir_fd=target.parent, dst_dir_fd=directory, follow_symlinks=False)
    return -1


def _symlink_at(target: str, name: str, directory: int) -> int:
    os.symlink(target, name, dir_fd=directory)
    return -1


def _node_at(name: str, mode: int, device: int, directory: int) -> int:
    os.mknod(name, mode, device, dir_fd=directory)
    return -1


def _hash_zeros(digest: hashlib._Hash, count: int) -> None:
    while count > 0:
        digest.update(_ZEROS[:count])
        count -= len(_ZEROS)


def hint_of(err: OSError) -> str:
    """The hint for an error of the kernel while an image was unpacked."""
    if err.errno in (errno.EPERM, errno.EACCES):
        return "images are unpacked with their owners and devices: become root"
    return hint_for_errno(err)
