# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as members of an archive, read by descriptors: of a tree that an app may own, and may change meanwhile.

No link is followed, no device, pipe or socket is opened, and a file is read as far as it went when it was opened.
A file of /proc or /sys says that it has no content, or too much of it, so that these are left out.
"""

from __future__ import annotations

import errno
import os
import stat

from ...contexts import suppress
from ...errors import InvalidSpec
from ...image.build import tarball
from ...store import tar
from ...store.walker import MAX_DEPTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...pod.subids import IdRange
    from ...store.sparse import Spans

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK = 256 * 1024
# So that the map of a sparse file stays within what a reader takes.
_MOST_SPANS = 1 << 14
_CAPABILITY, _USERS = "security.capability", "user."
# Revision 3 of struct vfs_cap_data, which names the root that it counts for. Source: linux/capability.h.
_SIZE_3, _REVISION, _ROOT_AT = 24, 3, 20
_KINDS = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}


class Packing:
    """The members of an archive. users: those whose IDs of the host are written as the IDs that they are in the pod.

    note: called with a sentence about each file that is left out, or has changed while it was read. kernel: the devices
    of file systems that are left out. sparse: whether the reader of the archive knows sparse files.
    """

    def __init__(
        self,
        users: IdRange | None,
        note: Callable[[str], None],
        kernel: tuple[int, ...] = (),
        *,
        sparse: bool = False,
    ) -> None:
        self._users = users
        self._note = note
        self._kernel = kernel
        self._sparse = sparse
        self._names: dict[tuple[int, int], str] = {}
        self._levels: list[tuple[int, str, list[str]]] = []

    def members(self, parent: int, leaf: str, name: str) -> Iterator[bytes]:
        """A file of a directory, and all that is beneath it, in the order of names, without the end of an archive.

        leaf: "" for the file of the descriptor itself. name: what it is called in the archive; "." if only what is
        beneath it matters. Raises InvalidSpec for more levels or larger files than an archive may have, OSError.
        """
        try:
            yield from self._member(parent, leaf, name)
            while self._levels:
                fd, above, left = self._levels[-1]
                if left:
                    child = left.pop()
                    yield from self._member(fd, child, f"{above}/{child}")
                else:
                    self._levels.pop()
                    os.close(fd)
        finally:
            for fd, _above, _left in self._levels:
                os.close(fd)
            self._levels.clear()

    def _member(self, parent: int, leaf: str, name: str) -> Iterator[bytes]:
        try:
            found = os.open(leaf, _LOOK, dir_fd=parent) if leaf else os.dup(parent)
        except FileNotFoundError:
            if self._levels:
                return  # it was removed meanwhile
            raise
        try:
            info = os.fstat(found)
            kind = _KINDS.get(stat.S_IFMT(info.st_mode), "")
            if info.st_dev in self._kernel:
                self._note(f"{name} is the kernel's, and left out")
            elif not kind:
                self._note(f"{name} is a socket, and left out")
            elif kind == tar.FILE:
                yield from self._file(found, name)
            else:
                yield tarball.headers_of(self._entry(found, info, name, kind))
                if kind == tar.DIRECTORY:
                    self._go_down(found, name)
        except OSError as err:
            # A descriptor has no name, and the file may have another one by now.
            raise OSError(err.errno, f'"{name}": {err.strerror}') from err
        finally:
            os.close(found)

    def _go_down(self, found: int, name: str) -> None:
        if len(self._levels) > MAX_DEPTH:
            raise InvalidSpec(f'"{name[:60]}..." is beneath more than {MAX_DEPTH} directories')
        fd = os.open(".", _DIRECTORY, dir_fd=found)
        names = sorted(os.listdir(fd), key=os.fsencode, reverse=True)
        self._levels.append((fd, name, names))

    def _file(self, found: int, name: str) -> Iterator[bytes]:
        fd = os.open(f"/proc/self/fd/{found}", _READ)
        try:
            info = os.fstat(fd)
            entry = self._entry(found, info, name, tar.FILE)
            first = self._names.setdefault((info.st_dev, info.st_ino), name) if info.st_nlink > 1 else name
            if first != name:
                entry.kind, entry.size, entry.link, entry.xattrs = tar.LINK, 0, first, ()
            elif entry.size > tar.MAX_SIZE:
                raise InvalidSpec(f'"{name}" has {entry.size} bytes, more than the {tar.MAX_SIZE} allowed')
            elif self._sparse:
                entry.spans = _spans_of(fd, entry.size)
            yield tarball.headers_of(entry)
            yield from self._content(fd, entry)
        finally:
            os.close(fd)

    def _content(self, fd: int, entry: tar.TarEntry) -> Iterator[bytes]:
        total, is_short = 0, False
        for offset, length in ((0, entry.size),) if entry.spans is None else entry.spans:
            at, end = offset, offset + length
            while at < end:
                chunk = os.pread(fd, min(_CHUNK, end - at), at)
                is_short = is_short or not chunk
                chunk = chunk or bytes(min(_CHUNK, end - at))
                at += len(chunk)
                yield chunk
            total += length
        yield bytes(-total % tar.BLOCK)
        if is_short:
            self._note(f"{entry.name} became shorter while it was read, and ends with zeros")

    def _entry(self, found: int, info: os.stat_result, name: str, kind: str) -> tar.TarEntry:
        shown = f"{name}/" if kind == tar.DIRECTORY else name
        entry = tar.TarEntry(shown, kind, stat.S_IMODE(info.st_mode))
        entry.uid, entry.gid = self._id(info.st_uid), self._id(info.st_gid)
        entry.mtime = info.st_mtime_ns
        if kind == tar.FILE:
            entry.size = info.st_size
        elif kind == tar.SYMLINK:
            entry.link = os.readlink("", dir_fd=found)
        elif kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
            entry.device = (os.major(info.st_rdev), os.minor(info.st_rdev))
        if kind in (tar.FILE, tar.DIRECTORY):
            entry.xattrs = tuple(self._attributes(f"/proc/self/fd/{found}"))
        return entry

    def _id(self, number: int) -> int:
        """The ID in the pod of one of the host; one of an image that the pod does not have stays as it is."""
        if self._users and self._users.first <= number < self._users.first + self._users.count:
            return number - self._users.first
        return number

    def _attributes(self, path: str) -> Iterator[tuple[str, bytes]]:
        names: list[str] = []
        with suppress(OSError):  # a file system without attributes
            names = sorted(os.listxattr(path))
        for name in names:
            if name != _CAPABILITY and not name.startswith(_USERS):
                continue
            value = b""
            with suppress(OSError):  # it was removed meanwhile
                value = os.getxattr(path, name)
            value = self._capability(value) if name == _CAPABILITY else value
            if value:
                yield name, value

    def _capability(self, value: bytes) -> bytes:
        """A capability that counts for the root of the pod as one that counts for any; b"" for another root's."""
        if len(value) != _SIZE_3 or value[3] != _REVISION:
            return value
        if not self._users or int.from_bytes(value[_ROOT_AT:], "little") != self._users.first:
            return b""
        return value[:3] + bytes((_REVISION - 1,)) + value[4:_ROOT_AT]


def _spans_of(fd: int, size: int) -> Spans | None:
    """Where a file has data; None for a file without holes, or with too many of them. Source: lseek(2)."""
    found: list[tuple[int, int]] = []
    at = 0
    while at < size and len(found) <= _MOST_SPANS:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
            at = min(os.lseek(fd, begin, os.SEEK_HOLE), size)
        except OSError as err:
            if err.errno != errno.ENXIO:
                return None  # a file system that does not know its holes
            break  # there are no more data
        if begin < size:
            found.append((begin, at - begin))
    return None if found == [(0, size)] or len(found) > _MOST_SPANS else tuple(found)
