# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that build the root of an app: values with apply(root) and a line of log each.

root is a descriptor of the app's root. Targets are paths of the app, resolved beneath it. Sources are paths of the
host, which no image controls; sources in the app's own root are paths of the app as well, and resolved like targets.
All happens in the pod's own mount namespace, so that nothing needs to be undone.
"""

from __future__ import annotations

import errno
import os
import stat

from ...host import syscalls
from ...host.syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC, MS_REMOUNT
from ...value import Value
from . import roots
from .overlays import mount_fds, mount_overlay, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.subids import IdRange

_NONE_THERE = (errno.ENOENT, errno.ENOTDIR)
# File systems of the pod's own in an app's /dev, and what leads to the terminal of the host.
_OTHER_DEV = ("/dev/shm", "/dev/pts", "/dev/mqueue", "/dev/hugepages", "/dev/console", "/dev/ptmx")
_NO_USE = MS_NOSUID | MS_NODEV | MS_NOEXEC


class Step(Value):
    """One step in an app's root."""

    def apply(self, root: int) -> None:
        """Do it. Raises OSError."""
        raise NotImplementedError


class DirStep(Step):
    """A directory, unless the path exists."""

    path: str
    mode: int = 0o755

    def __str__(self) -> str:
        return f"mkdir {self.path} {self.mode:04o}"

    def apply(self, root: int) -> None:
        """Make it."""
        roots.make_dir(root, self.path, self.mode)


class FileStep(Step):
    """A file with some content, unless the path exists."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"write {self.path}"

    def apply(self, root: int) -> None:
        """Write it."""
        if roots.exists(root, self.path):
            return
        os.close(roots.open_file(root, self.path))
        fd = roots.open_path(root, self.path, os.O_WRONLY)
        try:
            os.write(fd, self.text.encode())
        finally:
            os.close(fd)


class LinkStep(Step):
    """A symbolic link, unless the path exists."""

    path: str
    target: str

    def __str__(self) -> str:
        return f"link {self.path} -> {self.target}"

    def apply(self, root: int) -> None:
        """Make it."""
        roots.make_link(root, self.path, self.target)


class DeviceStep(Step):
    """A character device that every user may read and write."""

    path: str
    major: int
    minor: int

    def __str__(self) -> str:
        return f"mknod {self.path} c {self.major}:{self.minor}"

    def apply(self, root: int) -> None:
        """Make the node."""
        parent = roots.open_dir(root, os.path.dirname(self.path))
        try:
            name = os.path.basename(self.path)
            os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(self.major, self.minor), dir_fd=parent)
            os.chmod(name, 0o666, dir_fd=parent)
        finally:
            os.close(parent)


class HostDevicesStep(Step):
    """All devices of the host, as nodes with the same modes and owners; no links. Those that are there already stay.

    A device that the control group of the starter does not allow is left out.
    """

    def __str__(self) -> str:
        return "mknod all devices of the host"

    def apply(self, root: int) -> None:
        """Make the nodes."""
        for top, directories, names in os.walk("/dev"):
            directories[:] = [name for name in directories if f"{top}/{name}" not in _OTHER_DEV]
            for name in names:
                path = f"{top}/{name}"
                found = os.lstat(path)
                if stat.S_IFMT(found.st_mode) in (stat.S_IFCHR, stat.S_IFBLK) and path not in _OTHER_DEV:
                    self._make(root, path, found)

    @staticmethod
    def _make(root: int, path: str, found: os.stat_result) -> None:
        parent = roots.open_dir(root, os.path.dirname(path))
        name = os.path.basename(path)
        try:
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=parent)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=parent, follow_symlinks=False)
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=parent)
        except (FileExistsError, PermissionError):
            pass
        finally:
            os.close(parent)


class FsStep(Step):
    """A new file system, at a directory that an image may not replace by a link."""

    fs_type: str
    target: str
    flags: int = _NO_USE
    options: str = ""

    def __str__(self) -> str:
        return f"mount -t {self.fs_type} {self.target} {self.options}".rstrip()

    def apply(self, root: int) -> None:
        """Mount it."""
        fd = roots.open_own_dir(root, self.target)
        try:
            syscalls.mount(self.fs_type, f"/proc/self/fd/{fd}", self.fs_type, self.flags, self.options)
        finally:
            os.close(fd)


class SharedProcStep(Step):
    """The /proc of the pod, at that of an app that is added: what builds its root is not in the PID namespace, of which
    a new file system would be.
    """

    source: str
    target: str

    def __str__(self) -> str:
        return f"bind {self.source} {self.target}"

    def apply(self, root: int) -> None:
        """Mount it at a directory that an image may not replace by a link. Raises OSError."""
        fd = roots.open_own_dir(root, self.target)
        try:
            tree = syscalls.open_tree(syscalls.AT_FDCWD, self.source, _clone(recursive=False))
            try:
                syscalls.mount_setattr(tree, 0, 0, propagation=MS_PRIVATE)
                syscalls.move_mount(tree, fd)
            finally:
                os.close(tree)
        finally:
            os.close(fd)


class SharedFs(Value):
    """A new file system that all apps of the pod share, at a path of the host, to be bind-mounted by each."""

    fs_type: str
    target: str
    flags: int = _NO_USE
    options: str = ""

    def __str__(self) -> str:
        return f"mount -t {self.fs_type} {self.target} {self.options}".rstrip()

    def mount(self) -> None:
        """Mount it."""
        syscalls.mount(self.fs_type, self.target, self.fs_type, self.flags, self.options)


class BindStep(Step):
    """A bind mount of a path of the host at a path of the app; a missing target is created, of the same kind.

    users: a user namespace by whose map the owners of its files are shown, -1 for none. private: whether later mounts
    of the host do not appear in it.
    """

    source: str
    target: str
    read_only: bool = False
    recursive: bool = False
    optional: bool = False
    users: int = -1
    private: bool = False

    def __str__(self) -> str:
        how = [name for name in ("read_only", "recursive", "optional", "private") if getattr(self, name)]
        return f"bind {self.source} {self.target} {' '.join(how)}".rstrip()

    def apply(self, root: int) -> None:
        """Mount it. Read-only and recursive includes every mount beneath the source, read-only as well.

        Later mounts of the host appear in writable, recursive directories only: they have their own flags, so that a
        read-only mount would get a writable place, and a file or device would be replaced.
        """
        if self.optional and not os.path.exists(self.source):
            return
        tree = syscalls.open_tree(syscalls.AT_FDCWD, self.source, _clone(recursive=self.recursive))
        try:
            changed = self.read_only or self.private or self.users >= 0
            if changed or not self.recursive or not _is_dir(tree):
                flags = syscalls.AT_RECURSIVE if self.recursive else 0
                attributes = syscalls.MOUNT_ATTR_RDONLY if self.read_only else 0
                syscalls.mount_setattr(tree, flags, attributes, propagation=MS_PRIVATE, users=self.users)
            if self.read_only:
                _check_read_only(tree, read_only=True)
            lay(tree, root, self.target)
        finally:
            os.close(tree)


class BindWithinStep(Step):
    """A bind mount of a path of the app at another one; a missing target is created, of the same kind."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"bind {self.source} of the app {self.target}"

    def apply(self, root: int) -> None:
        """Mount it."""
        found = roots.open_path(root, self.source)
        try:
            tree = _copy_of(found, recursive=False)
        finally:
            os.close(found)
        try:
            lay(tree, root, self.target)
        finally:
            os.close(tree)


class ReadOnlyStep(Step):
    """A path of the app that becomes read-only, except one path in it; no effect if it does not exist."""

    path: str
    but: str = ""

    def __str__(self) -> str:
        return f"read-only {self.path} {self.but and 'but ' + self.but}".rstrip()

    def apply(self, root: int) -> None:
        """Bind-mount it over itself, read-only, and the exception over that."""
        kept = _found(root, self.but) if self.but else -1
        try:
            _cover(root, self.path, None)
            if kept >= 0:
                _attach_copy(kept, root, self.but)
        finally:
            if kept >= 0:
                os.close(kept)


class SealStep(Step):
    """A mount of the app that becomes read-only itself; mounts beneath it do not."""

    path: str

    def __str__(self) -> str:
        return f"seal {self.path}"

    def apply(self, root: int) -> None:
        """Set it read-only."""
        fd = roots.open_path(root, self.path)
        try:
            syscalls.mount_setattr(fd, 0, syscalls.MOUNT_ATTR_RDONLY)
            _check_read_only(fd, read_only=True)
        finally:
            os.close(fd)


class MaskStep(Step):
    """A path of the app that is masked by another file or directory, read-only; no effect if it does not exist."""

    path: str
    source: str

    def __str__(self) -> str:
        return f"hide {self.path}"

    def apply(self, root: int) -> None:
        """Mount the source over it."""
        _cover(root, self.path, self.source)


class OverlayStep(Value):
    """The app's root: layers, topmost first, and over them a directory for the changes.

    users: the pod's own, as which the owners of the layers are shown; then no device in the root works. layer: the
    directory for another layer, which has those owners if the layers cannot be mapped, see shifting.
    """

    lower: tuple[str, ...]
    upper: str
    work: str
    target: str
    users: IdRange | None = None
    layer: str = ""

    def __str__(self) -> str:
        own = "with users of the pod " if self.users else ""
        return f"overlay {self.target} {own}over {':'.join(self.lower)}"

    def mount(self, users: int = -1) -> None:
        """Mount it. users: the namespace of the pod's own users. Raises OSError."""
        if self.users is None:
            mount_overlay(self.target, self.lower, self.upper, self.work)
        elif not self._mount_mapped(users):
            from .shifting import OPTIONS, ensure_layer  # most file systems have maps

            ensure_layer(self.lower, self.layer, self.target, self.users)
            mount_overlay(
                self.target, (self.layer, *self.lower), self.upper, self.work, OPTIONS, flags=MS_NODEV
            )
        _check_read_only(self.target, read_only=False)

    def _mount_mapped(self, users: int) -> bool:
        """Mount it over layers with a map. Returns whether they can have one."""
        layers: list[int] = []
        fds = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in (self.upper, self.work)]
        try:
            for path in self.lower:
                layers.append(mapped(path, users))
            stage(self.upper, layers)
            try:
                mount_fds(self.target, layers, (fds[0], fds[1]), flags=MS_NODEV)
            finally:
                syscalls.umount(self.upper, syscalls.MNT_DETACH)
        except OSError as err:
            if err.errno != errno.EINVAL:
                raise
            return False
        finally:
            for fd in (*layers, *fds):
                os.close(fd)
        return True


class CopiedRoot(Value):
    """The app's root, copied already. own_users: whether its files belong to the pod's own users."""

    target: str
    own_users: bool = False

    def __str__(self) -> str:
        return f"bind {self.target} to itself"

    def mount(self, _users: int = -1) -> None:
        """Make it a private mount, in which later mounts of the host do not appear."""
        syscalls.mount(self.target, self.target, "", MS_BIND | MS_REC)
        syscalls.mount("", self.target, "", MS_PRIVATE | MS_REC)
        if self.own_users:
            syscalls.mount("", self.target, "", MS_BIND | MS_REMOUNT | MS_NODEV)


def mapped(directory: str, users: int, attributes: int = 0) -> int:
    """A read-only copy of the mount of a directory of the host, with owners as a user namespace maps them.

    users: -1 for as they are. attributes: more of them. Raises OSError.
    """
    tree = syscalls.open_tree(syscalls.AT_FDCWD, directory, _clone(recursive=False))
    try:
        attributes |= syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NODEV
        syscalls.mount_setattr(tree, 0, attributes, propagation=MS_PRIVATE, users=users)
    except OSError:
        os.close(tree)
        raise
    return tree


def _check_read_only(place: int | str, *, read_only: bool) -> None:
    """Raise OSError unless a mount is read-only, or writable: the kernel may silently mount an overlay read-only."""
    if bool(os.statvfs(place).f_flag & os.ST_RDONLY) != read_only:
        how = "read-only" if read_only else "writable"
        raise OSError(
            errno.EROFS, f"the kernel has not made it {how}", None if isinstance(place, int) else place
        )


def _clone(*, recursive: bool) -> int:
    flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC
    return flags | (syscalls.AT_RECURSIVE if recursive else 0)


def _copy_of(fd: int, *, recursive: bool) -> int:
    """A bind mount of a descriptor, attached nowhere yet."""
    return syscalls.open_tree(fd, "", _clone(recursive=recursive) | syscalls.AT_EMPTY_PATH)


def lay(tree: int, root: int, path: str) -> None:
    """Attach a mount at a path of the app, which is created if it is missing; never at its root or in its /proc.

    Raises OSError.
    """
    target = (roots.open_dir if _is_dir(tree) else roots.open_file)(root, path)
    try:
        roots.refuse_mount_point(root, target)
        if _is_dir(tree) != _is_dir(target):
            reason = "a directory can only be mounted on a directory, and a file only on a file"
            raise OSError(errno.ENOTDIR, reason, path)
    except OSError:
        os.close(target)
        raise
    _attach(tree, target)


def _is_dir(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def _attach_copy(source: int, root: int, path: str) -> None:
    """Bind-mount a descriptor at an existing path of the app."""
    tree = _copy_of(source, recursive=False)
    try:
        _attach(tree, roots.open_path(root, path))
    finally:
        os.close(tree)


def _attach(tree: int, target: int) -> None:
    """Attach a mount at the path of a descriptor, which is closed."""
    try:
        syscalls.move_mount(tree, target)
    finally:
        os.close(target)


def _found(root: int, path: str) -> int:
    """A descriptor of a path of the app, -1 if it does not exist."""
    try:
        return roots.open_path(root, path)
    except OSError as err:
        if err.errno in _NONE_THERE:
            return -1
        raise


def _cover(root: int, path: str, source: str | None) -> None:
    target = _found(root, path)
    if target < 0:
        return
    try:
        if source is None:
            tree = _copy_of(target, recursive=True)
        else:
            tree = syscalls.open_tree(syscalls.AT_FDCWD, source, _clone(recursive=False))
        try:
            syscalls.mount_setattr(
                tree, syscalls.AT_RECURSIVE, syscalls.MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE
            )
            syscalls.move_mount(tree, target)
        finally:
            os.close(tree)
    finally:
        os.close(target)
