# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill a directory from the entries of an archive that may be hostile.

Every name is walked from a descriptor of the root, one component at a time and through no link that leaves it;
the descriptors of directories are kept, since entries of one directory come together.
Source: behaviours B52; OCI image specification, layer.md "Whiteouts"; kernel overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat

from ..errors import Corrupt, HostFailure
from ..host.files import remove_tree
from . import tar
from .overlay import is_whiteout, make_whiteout, set_opaque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .tar import Entry, TarReader

IMPLIED_MODE = 0o755
_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_DIRS = 96
_MAX_LINKS = 40
# The checksum of a tree takes a descriptor a level.
_MAX_DEPTH = 128
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_DAMAGE = frozenset((errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.EINVAL))


class Extraction:
    """A root directory being filled; a context manager, which at the end gives directories their times.

    digests: sha256 of the content of files without extended attributes, by path; empty when links were followed,
    since a path may then name another file. implied: directories that no entry described. size: bytes of content.
    Paths are relative to the root.
    """

    def __init__(self, root: str, *, whiteouts: bool = False) -> None:
        self.digests: dict[str, bytes] = {}
        self.implied: set[str] = {""}
        self.size = 0
        self._root = root
        self._whiteouts = whiteouts
        self._followed = False
        self._dirs: dict[str, int] = {}
        self._times: dict[str, int] = {}

    def __enter__(self) -> Extraction:
        self._dirs[""] = os.open(self._root, _OPEN_DIR)
        return self

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        try:
            if kind is None:
                self._set_times()
            if self._followed:
                self.digests.clear()
        finally:
            for fd in self._dirs.values():
                os.close(fd)
            self._dirs.clear()

    def add(self, entry: Entry, path: str, reader: TarReader) -> None:
        """Make what an entry describes at a clean path (see clean). Raises Corrupt and HostFailure."""
        try:
            self._add(entry, path, reader)
        except OSError as err:
            if err.errno in _DAMAGE:
                raise Corrupt(f'cannot extract "{path}": {err.strerror}') from err
            raise HostFailure.of(f'cannot extract "{path}"', err, _hint(err)) from err

    def _add(self, entry: Entry, path: str, reader: TarReader) -> None:
        directory, _slash, leaf = path.rpartition("/")
        if self._whiteouts and leaf.startswith(_WHITEOUT):
            self._whiteout(directory, leaf)
            return
        if entry.kind == tar.DIRECTORY:
            self._directory(entry, path)
            return
        if not leaf:
            raise Corrupt("the archive replaces the root by something that is no directory")
        parent = self._dir(directory)
        if entry.kind == tar.FILE:
            self._file(entry, path, parent, reader)
        elif entry.kind == tar.LINK:
            self._link(entry, path, parent)
        else:
            self._special(entry, path, parent)

    def _file(self, entry: Entry, path: str, parent: int, reader: TarReader) -> None:
        fd = self._anew(path, parent, lambda leaf, at: os.open(leaf, _NEW_FILE, 0o600, dir_fd=at))
        try:
            digest = hashlib.sha256()
            for block in reader.blocks():
                digest.update(block)
                written = os.write(fd, block)
                while written < len(block):
                    written += os.write(fd, block[written:])
            os.fchown(fd, entry.uid, entry.gid)
            _set_xattrs(fd, entry)
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
            self.digests[path] = digest.digest() if not entry.xattrs else b""
            self.size += entry.size
        finally:
            os.close(fd)

    def _directory(self, entry: Entry, path: str) -> None:
        if path:
            directory, _slash, leaf = path.rpartition("/")
            self._make_dir(path, leaf, self._dir(directory))
        fd = self._dir(path)
        os.fchown(fd, entry.uid, entry.gid)
        _set_xattrs(fd, entry)
        os.fchmod(fd, entry.mode)
        self.implied.discard(path)
        self._times[path] = entry.mtime

    def _make_dir(self, path: str, leaf: str, parent: int) -> None:
        try:
            os.mkdir(leaf, 0o700, dir_fd=parent)
            return
        except FileExistsError:
            found = os.lstat(leaf, dir_fd=parent)
        if stat.S_ISDIR(found.st_mode):
            return
        self._remove(path, parent)
        os.mkdir(leaf, 0o700, dir_fd=self._dir(os.path.dirname(path)))
        if is_whiteout(found):
            self._hide_lower(path)

    def _link(self, entry: Entry, path: str, parent: int) -> None:
        target = clean(entry.link)
        directory, _slash, leaf = target.rpartition("/")
        if target == path:
            return
        source = self._dir(directory, make=False)
        try:
            if stat.S_ISDIR(os.lstat(leaf, dir_fd=source).st_mode):
                raise Corrupt(f'"{path}" is a hard link to a directory')
            self._anew(path, parent, lambda name, at: _link_at(leaf, source, name, at))
            self.digests[path] = self.digests.get(target, b"")
        except FileNotFoundError as err:
            raise Corrupt(f'"{path}" is a hard link to "{target}", which is not in the archive') from err

    def _special(self, entry: Entry, path: str, parent: int) -> None:
        if entry.kind == tar.SYMLINK:
            self._anew(path, parent, lambda leaf, at: _symlink_at(entry.link, leaf, at))
        else:
            kind = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}[
                entry.kind
            ]
            device = os.makedev(*entry.device)
            self._anew(path, parent, lambda leaf, at: _node_at(leaf, kind | 0o600, device, at))
        directory, _slash, leaf = path.rpartition("/")
        parent = self._dir(directory)
        os.chown(leaf, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.kind != tar.SYMLINK:
            os.chmod(leaf, entry.mode, dir_fd=parent)
        os.utime(leaf, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _anew(self, path: str, parent: int, make: Callable[[str, int], int]) -> int:
        """Make something at a path, removing what an earlier entry put there."""
        leaf = path.rpartition("/")[2]
        try:
            return make(leaf, parent)
        except FileExistsError:
            self._remove(path, parent)
            return make(leaf, self._dir(os.path.dirname(path)))

    def _whiteout(self, directory: str, leaf: str) -> None:
        """Hide a name of the layers below, or with .wh..wh..opq all of this directory's."""
        if leaf == _OPAQUE:
            self._dir(directory)
            self._hide_lower(directory)
            return
        if leaf.startswith(".wh..wh."):
            return  # notes of aufs
        name = leaf[len(_WHITEOUT) :]
        if name in ("", ".", ".."):
            raise Corrupt(f'"{directory}/{leaf}" is not a valid whiteout')
        parent = self._dir(directory)
        try:
            make_whiteout(name, parent)
        except FileExistsError:
            # The layer brings the name anew; only a directory would otherwise be merged with the one below.
            if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                self._hide_lower(f"{directory}/{name}" if directory else name)

    def _hide_lower(self, path: str) -> None:
        set_opaque(self._dir(path))

    def _remove(self, path: str, parent: int) -> None:
        leaf = path.rpartition("/")[2]
        found = os.lstat(leaf, dir_fd=parent)
        if stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode):
            remove_tree(f"/proc/self/fd/{parent}/{leaf}")
            self._forget(path)
            self._close_dirs()
        else:
            os.unlink(leaf, dir_fd=parent)

    def _forget(self, path: str) -> None:
        below = f"{path}/"
        for held in [name for name in self._times if name == path or name.startswith(below)]:
            del self._times[held]
        self.implied = {name for name in self.implied if name != path and not name.startswith(below)}

    def _dir(self, path: str, *, make: bool = True) -> int:
        """The descriptor of a directory beneath the root, which is made when it is missing."""
        found = self._dirs.get(path)
        if found is not None:
            return found
        if len(self._dirs) > _KEPT_DIRS:
            self._close_dirs()
        return self._walk(path, make)

    def _walk(self, path: str, make: bool) -> int:
        """Open one component after the other; a link is replaced by what it says, seen from inside the root."""
        rest = path.split("/")[::-1]
        at, fd, links, below_link = "", self._dirs[""], 0, len(rest)
        while rest:
            name = rest.pop()
            child = f"{at}/{name}" if at else name
            of_link = len(rest) >= below_link
            found = self._dirs.get(child)
            if found is None:
                found = self._open_linked(child, fd, path) if of_link else self._open_dir(child, fd, make)
            if found is None:
                self._followed = True
                links, below_link = links + 1, min(below_link, len(rest))
                rest += self._link_target(child, fd, links)[::-1]
                at, fd = "", self._dirs[""]
                continue
            self._dirs[child] = fd = found
            at = child
        return fd

    def _open_dir(self, path: str, parent: int, make: bool) -> int | None:
        """Open a directory, or make it; None when a link stands in its place."""
        name = path.rpartition("/")[2]
        try:
            return os.open(name, _OPEN_DIR, dir_fd=parent)
        except NotADirectoryError:
            return None
        except FileNotFoundError:
            if not make:
                raise
        os.mkdir(name, IMPLIED_MODE, dir_fd=parent)
        fd = os.open(name, _OPEN_DIR, dir_fd=parent)
        os.fchmod(fd, IMPLIED_MODE)
        self.implied.add(path)
        self._times[path] = 0
        return fd

    def _open_linked(self, path: str, parent: int, wanted: str) -> int | None:
        try:
            return self._open_dir(path, parent, make=False)
        except FileNotFoundError as err:
            raise Corrupt(
                f'the archive has "{wanted}" beneath a link to "{path}", which is not in it'
            ) from err

    def _link_target(self, path: str, parent: int, links: int) -> list[str]:
        """Where a link leads, as components from the root. Raises Corrupt when that is outside or nowhere."""
        try:
            target = os.readlink(path.rpartition("/")[2], dir_fd=parent)
        except OSError as err:
            raise Corrupt(f'the archive has entries beneath "{path}", which is no directory') from err
        found = [] if target.startswith("/") else path.split("/")[:-1]
        for component in target.split("/"):
            if component == ".." and not found:
                raise Corrupt(
                    f'the archive has entries beneath "{path}", a link that leads out of it: "{target}"'
                )
            if component == "..":
                found.pop()
            elif component not in ("", "."):
                found.append(component)
        if links > _MAX_LINKS:
            raise Corrupt(f'the archive has entries beneath "{path}", a link in a circle of links')
        return found

    def _close_dirs(self) -> None:
        root = self._dirs.pop("")
        for fd in self._dirs.values():
            os.close(fd)
        self._dirs.clear()
        self._dirs[""] = root

    def _set_times(self) -> None:
        """Give directories their times, those deep inside first, since each change below moved them."""
        for path in sorted(self._times, reverse=True):
            time = (self._times[path], self._times[path])
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._dir(path, make=False), ns=time)


def clean(name: str) -> str:
    """The name of an entry as a path relative to the root: "" is the root. Raises Corrupt for one that escapes."""
    if name.startswith("/"):
        raise Corrupt(f'the archive has an entry with an absolute path: "{name}"')
    if name.startswith("./"):
        name = name[2:]
    if name.count("/") > _MAX_DEPTH:
        raise Corrupt(
            f'the archive has an entry beneath more than {_MAX_DEPTH} directories: "{name[:60]}..."'
        )
    if "//" not in name and "." not in name:
        return name.rstrip("/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Corrupt(f'the archive has an entry that leads out of it: "{name}"')
    return "/".join(parts)


def _set_xattrs(fd: int, entry: Entry) -> None:
    """Capabilities and user.*; others would speak to this host's kernel, not to the app."""
    for name, value in entry.xattrs:
        if name != "security.capability" and (
            not name.startswith("user.") or name.startswith("user.overlay.")
        ):
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as err:
            if err.errno != errno.ENOTSUP or name == "security.capability":
                raise


def _link_at(source: str, source_dir: int, name: str, directory: int) -> int:
    os.link(source, name, src_dir_fd=source_dir, dst_dir_fd=directory, follow_symlinks=False)
    return -1


def _symlink_at(target: str, name: str, directory: int) -> int:
    os.symlink(target, name, dir_fd=directory)
    return -1


def _node_at(name: str, mode: int, device: int, directory: int) -> int:
    os.mknod(name, mode, device, dir_fd=directory)
    return -1


def _hint(err: OSError) -> str:
    if err.errno in (errno.EPERM, errno.EACCES):
        return "images are unpacked with their owners and devices: become root"
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room: image gc removes what no pod uses"
    return ""
