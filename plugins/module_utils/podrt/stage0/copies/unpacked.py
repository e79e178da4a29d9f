# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of an archive put into a directory that is there, of the host or of an app.

In an app's root parents are resolved with that as the root, whatever its links say, even if the app changes them
meanwhile. On the host no link beneath the directory is followed: an earlier copy may have left one. Files are made
beside those that they replace, and never opened through a link.
Source: openat2(2), RESOLVE_IN_ROOT and RESOLVE_BENEATH; the causes of CVE-2018-15664.
"""

from __future__ import annotations

import errno
import os
import stat

from ...contexts import suppress
from ...errors import Conflict, HostFailure
from ...host import syscalls
from ...host.files import write_all
from ...host.mountinfo import mount_of
from ...store import extract, sparse, tar
from ...value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...pod.subids import IdRange

_PATH = os.O_PATH | os.O_DIRECTORY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE_DIR, _PRIVATE, _OPEN_DIR = 0o700, 0o600, 0o755
_NEW_NAME = ".podctl-cp-"
_SET_IDS = stat.S_ISUID | stat.S_ISGID
_ON_HOST = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS
_IN_APP = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
_DEVICES = (tar.CHARACTER, tar.BLOCK_DEVICE)
_CAPABILITY, _USERS = "security.capability", "user."
_ZEROS = bytes(1 << 18)
_READ_ONLY = (
    "the root of the app, or the volume there, is read-only, as with readonly_rootfs or --readonly-rootfs: copy to a "
    "volume of it that is not"
)


class Landing(Value):
    """A directory that members are put into. top: a descriptor: of the directory itself on the host, of the app's root
    in an app, and then base is its path. users: of the pod, None for those of the host.

    keep_owners: whether owners are those in the archive, else the root of the pod, or on the host this process's user.
    """

    top: int
    base: str = ""
    in_app: bool = False
    users: IdRange | None = None
    keep_owners: bool = False


class Unpacking:
    """Puts members into a directory. note: called with a sentence about each that is left out."""

    def __init__(self, landing: Landing, note: Callable[[str], None]) -> None:
        self._landing = landing
        self._note = note
        self._parent: tuple[str, int] = ("", -1)
        self._times: list[tuple[str, int]] = []

    def take(self, chunks: Iterator[bytes]) -> None:
        """Put all members of an archive. Raises Corrupt, Conflict, HostFailure."""
        reader = tar.TarReader(chunks, sparse=True)
        if self._landing.users:
            # The kernel refuses to make files of an owner that a mount of the pod does not know.
            syscalls.prctl(syscalls.PR_SET_SECUREBITS, syscalls.SECBIT_NO_SETUID_FIXUP)
            syscalls.set_fs_ids(self._landing.users.first, self._landing.users.first)
        try:
            for entry in reader:
                self._take(entry, reader)
            for path, mtime in reversed(self._times):
                with suppress(OSError):  # it was moved meanwhile
                    self._set_time(path, mtime)
        finally:
            self._forget()

    def _take(self, entry: tar.TarEntry, reader: tar.TarReader) -> None:
        path = extract.clean(entry.name)
        directory, _slash, leaf = path.rpartition("/")
        if not leaf:
            return
        try:
            self._put(entry, self._directory(directory), path, reader)
        except OSError as err:
            hint = _READ_ONLY if err.errno == errno.EROFS and self._landing.in_app else ""
            raise HostFailure.of(f'cannot write "{path}"', err, hint) from err

    def _put(self, entry: tar.TarEntry, parent: int, path: str, reader: tar.TarReader) -> None:
        leaf = path.rpartition("/")[2]
        if entry.kind in _DEVICES:
            self._note(f"{path} is a device, and left out")
        elif entry.kind == tar.DIRECTORY:
            self._put_directory(entry, parent, path)
        elif _is_mount(parent, leaf, path):
            _overwrite(entry, parent, leaf, reader)
        elif entry.kind == tar.FILE:
            self._put_file(entry, parent, leaf, reader)
        else:
            self._put_other(entry, parent, leaf)

    def _put_other(self, entry: tar.TarEntry, parent: int, leaf: str) -> None:
        """Put a link or a pipe, in the place of what is there."""
        with suppress(FileNotFoundError):
            os.unlink(leaf, dir_fd=parent)
        if entry.kind == tar.LINK:
            self._put_link(entry, parent, leaf)
        else:
            if entry.kind == tar.SYMLINK:
                os.symlink(entry.link, leaf, dir_fd=parent)
            else:
                os.mkfifo(leaf, _PRIVATE, dir_fd=parent)
            self._finish(_made(parent, leaf, entry.kind), entry)

    def _put_directory(self, entry: tar.TarEntry, parent: int, path: str) -> None:
        leaf = path.rpartition("/")[2]
        if not self._makes(parent, leaf, path):
            return
        self._finish(os.open(leaf, _PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent), entry)
        self._times.append((path, entry.mtime))

    def _makes(self, parent: int, leaf: str, path: str) -> bool:
        """Make a directory, unless there is one. In an app a link to one is one, as in a merged /usr."""
        try:
            os.mkdir(leaf, _PRIVATE_DIR, dir_fd=parent)
        except FileExistsError:
            mode = os.lstat(leaf, dir_fd=parent).st_mode
            if stat.S_ISDIR(mode):
                return False
            if stat.S_ISLNK(mode) and not self._landing.in_app:
                os.unlink(leaf, dir_fd=parent)
                os.mkdir(leaf, _PRIVATE_DIR, dir_fd=parent)
                return True
            with suppress(OSError):
                os.close(self._open(path, _PATH))
                return False
            raise Conflict(
                f'cannot overwrite "{path}", which is not a directory, by a directory', "remove it first"
            ) from None
        return True

    def _put_file(self, entry: tar.TarEntry, parent: int, leaf: str, reader: tar.TarReader) -> None:
        """Put a file in place once it is complete: a full disk costs no file that was there, and no app sees a half."""
        new = f"{_NEW_NAME}{os.urandom(8).hex()}"
        fd = os.open(new, _NEW, _PRIVATE, dir_fd=parent)
        try:
            _fill(fd, entry, reader)
            self._finish(os.dup(fd), entry)
            os.rename(new, leaf, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(new, dir_fd=parent)
            raise
        finally:
            os.close(fd)

    def _put_link(self, entry: tar.TarEntry, parent: int, leaf: str) -> None:
        directory, _slash, name = extract.clean(entry.link).rpartition("/")
        source = self._open(directory, _PATH)
        try:
            os.link(name, leaf, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _finish(self, fd: int, entry: tar.TarEntry) -> None:
        """Give a new file its attributes, in the order in which none clears another, and close its descriptor."""
        path = f"/proc/self/fd/{fd}"
        try:
            owner = self._owner(entry)
            if owner:
                os.chown(path, *owner)  # of a link itself: the path leads to the descriptor and no further
            if entry.kind != tar.SYMLINK:
                self._set_attributes(path, entry)
                keeps = self._landing.in_app and entry.kind != tar.FIFO
                os.chmod(path, entry.mode if keeps else entry.mode & ~_SET_IDS)
                os.utime(path, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _owner(self, entry: tar.TarEntry) -> tuple[int, int] | None:
        users = self._landing.users
        if not self._landing.in_app:
            return (entry.uid, entry.gid) if self._landing.keep_owners else None
        uid, gid = (entry.uid, entry.gid) if self._landing.keep_owners else (0, 0)
        return (users.shifted(uid), users.shifted(gid)) if users else (uid, gid)

    def _set_attributes(self, path: str, entry: tar.TarEntry) -> None:
        """Set user.*, and in an app capabilities: on the host a program would have them for all its users."""
        for name, value in entry.xattrs:
            if name.startswith(_USERS) or (name == _CAPABILITY and self._landing.in_app):
                with suppress(OSError):  # a file system without them
                    os.setxattr(path, name, value)

    def _directory(self, path: str) -> int:
        """The descriptor of a directory, made if it is missing. It stays open until another one is asked for."""
        if self._parent[0] == path and self._parent[1] >= 0:
            return self._parent[1]
        self._forget()
        try:
            fd = self._open(path, _PATH)
        except FileNotFoundError:
            above, _slash, _leaf = path.rpartition("/")
            entry = tar.TarEntry(path, tar.DIRECTORY, _OPEN_DIR)
            self._put_directory(entry, self._directory(above), path)
            self._times.pop()
            self._forget()
            fd = self._open(path, _PATH)
        self._parent = (path, fd)
        return fd

    def _open(self, path: str, flags: int) -> int:
        """Open a path beneath the directory."""
        if self._landing.in_app:
            return syscalls.openat2(self._landing.top, f"{self._landing.base}/{path}", flags, _IN_APP)
        return syscalls.openat2(self._landing.top, path or ".", flags, _ON_HOST)

    def _set_time(self, path: str, mtime: int) -> None:
        fd = self._open(path, _PATH)
        try:
            os.utime(f"/proc/self/fd/{fd}", ns=(mtime, mtime))
        finally:
            os.close(fd)

    def _forget(self) -> None:
        if self._parent[1] >= 0:
            os.close(self._parent[1])
        self._parent = ("", -1)


def _is_mount(parent: int, leaf: str, path: str) -> bool:
    """Whether a file is a mount, such as a volume of one file. Raises Conflict for a directory.

    The kernel lets a process remove what is a mount for processes of other namespaces alone, and the mount with it.
    """
    try:
        look = os.open(leaf, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return False
    try:
        if stat.S_ISDIR(os.fstat(look).st_mode):
            raise Conflict(f'cannot overwrite the directory "{path}" by a file', "remove it first")
        return mount_of(look) != mount_of(parent)
    finally:
        os.close(look)


def _overwrite(entry: tar.TarEntry, parent: int, leaf: str, reader: tar.TarReader) -> None:
    """Write into a file that must not be replaced, since it is a mount."""
    look = os.open(leaf, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if entry.kind != tar.FILE or not stat.S_ISREG(os.fstat(look).st_mode):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        fd = os.open(f"/proc/self/fd/{look}", os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(look)
    try:
        _fill(fd, entry, reader)
    finally:
        os.close(fd)


def _fill(fd: int, entry: tar.TarEntry, reader: tar.TarReader) -> None:
    """Write the content of a member; zeros become holes, so that a huge empty file stays empty."""
    spans = ((0, entry.size),) if entry.spans is None else entry.spans
    for offset, part in sparse.placed(reader.blocks(), spans):
        data = bytes(part)
        if len(data) > len(_ZEROS) or not _ZEROS.startswith(data):
            os.lseek(fd, offset, os.SEEK_SET)
            write_all(fd, data)
    os.ftruncate(fd, entry.size)


def _made(parent: int, leaf: str, kind: str) -> int:
    """A descriptor of a link or a pipe that was just made. Raises OSError if an app has replaced it meanwhile."""
    fd = os.open(leaf, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    if stat.S_IFMT(os.fstat(fd).st_mode) != (stat.S_IFLNK if kind == tar.SYMLINK else stat.S_IFIFO):
        os.close(fd)
        raise OSError(errno.ESTALE, "it was replaced meanwhile")
    return fd
