# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of an app, resolved beneath the app's root: an image can make any of them a link to anywhere.

Every path here is absolute as the app sees it. The kernel resolves it with the root's descriptor as "/", so that no
link and no ".." leads out, even if another process changes the root meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat

from ...contexts import suppress
from ...host import syscalls

_LINKS = 40
_DIR_MODE = 0o755
_FILE_MODE = 0o644
# No table of users is longer; an image with a longer one is malicious.
_LONGEST = 1 << 20
_NULL = os.makedev(1, 3)


class MountedRoot:
    """A mounted root of an app, by its descriptor. The methods are those of host.execution.AppRoot.

    first: the ID of the host that is root in the app.
    """

    def __init__(self, fd: int, first: int = 0) -> None:
        self._fd = fd
        self._first = first

    def owner(self, path: str) -> tuple[int, int]:
        """The owner of a path in the app, a final link not followed."""
        state = self.state(path)
        return state.st_uid - self._first, state.st_gid - self._first

    def state(self, path: str) -> os.stat_result:
        """The state of a path, a final link not followed."""
        return owner(self._fd, path)

    def look(self, path: str) -> os.stat_result:
        """The state of a path, links followed."""
        fd = open_path(self._fd, path)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def may_execute(self, path: str) -> bool:
        """Whether any user may execute the file."""
        return bool(self.look(path).st_mode & 0o111)

    def open(self, path: str) -> int:
        """Open a regular file to read it."""
        return open_regular(self._fd, path)

    def read(self, path: str) -> bytes:
        """The content of a regular file, 1 MB at most."""
        return read(self._fd, path)


def open_path(root: int, path: str, flags: int = os.O_PATH) -> int:
    """Open a path of the app, links followed. Raises OSError."""
    return syscalls.openat2(
        root, path or "/", flags, syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_MAGICLINKS
    )


def open_regular(root: int, path: str) -> int:
    """Open a regular file of the app to read it. Raises OSError; never blocks, as on a FIFO.

    Its type is checked first, since opening some devices has effects. Then it is opened by its path again: a command
    that enters a pod is not in the /proc that it sees.
    """
    path_fd = open_path(root, path)
    try:
        info = os.fstat(path_fd)
    finally:
        os.close(path_fd)
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    fd = open_path(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    if not os.path.samestat(info, os.fstat(fd)):
        os.close(fd)
        raise OSError(errno.ESTALE, "it was replaced meanwhile", path)
    return fd


def open_null() -> int:
    """Open the /dev/null of this process's root to read it; -1 if another file is in its place.

    A volume may be at /dev. No link is followed and only the device opened: this process is still privileged. One that
    is outside of the pod opens none, since it is not in the /proc of that root.
    """
    try:
        path_fd = syscalls.openat2(syscalls.AT_FDCWD, "/dev/null", os.O_PATH, syscalls.RESOLVE_NO_SYMLINKS)
    except OSError:
        return -1
    try:
        info = os.fstat(path_fd)
        is_null = stat.S_ISCHR(info.st_mode) and info.st_rdev == _NULL
        return os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_CLOEXEC) if is_null else -1
    except OSError:
        return -1
    finally:
        os.close(path_fd)


def own_null(access: int = os.O_RDWR) -> int:
    """Open the host's /dev/null by a mount that protects its mode and owner, to read and write. Raises OSError."""
    host = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    tree = open_unmounted(host)
    try:
        return os.open(f"/proc/self/fd/{tree}", access | os.O_CLOEXEC)
    finally:
        os.close(tree)
        os.close(host)


def owner(root: int, path: str) -> os.stat_result:
    """The state of a path, a final link not followed. Raises OSError."""
    fd = open_path(root, path, os.O_PATH | os.O_NOFOLLOW)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def open_unmounted(root: int) -> int:
    """A descriptor of the app's root without the mounts in it: a read-only bind mount, attached nowhere."""
    flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC | syscalls.AT_EMPTY_PATH
    tree = syscalls.open_tree(root, "", flags)
    try:
        syscalls.mount_setattr(tree, 0, syscalls.MOUNT_ATTR_RDONLY, propagation=syscalls.MS_PRIVATE)
    except OSError:
        os.close(tree)
        raise
    return tree


def refuse_mount_point(root: int, found: int) -> None:
    """Raise OSError if a descriptor is the app's root, or at or below its /proc, where a link may have led.

    The kernel gives the path of the descriptor, since links could have changed after they were resolved.
    """
    where, top = (os.readlink(f"/proc/self/fd/{fd}") for fd in (found, root))
    if where == top:
        raise OSError(errno.EBUSY, "nothing can be mounted over the root of an app", where)
    if f"{where}/".startswith(f"{top.rstrip('/')}/proc/"):
        raise OSError(errno.EPERM, "a link leads into /proc, where nothing is mounted", where)


def exists(root: int, path: str) -> bool:
    """Whether a path exists, a final link not followed."""
    try:
        owner(root, path)
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise
    return True


def read(root: int, path: str) -> bytes:
    """The content of a regular file of the app, 1 MB at most. Raises OSError."""
    fd = open_regular(root, path)
    with os.fdopen(fd, "rb", buffering=0) as file:
        if os.fstat(fd).st_size > _LONGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return file.read(_LONGEST) or b""


def open_dir(root: int, path: str) -> int:
    """Open a directory of the app; create it and its parents if they are missing."""
    return _open_made(root, path, directory=True)


def open_own_dir(root: int, path: str) -> int:
    """Open a directory of the app, create it if it is missing, and refuse a link in its place. Raises OSError."""
    make_dir(root, path)
    return open_path(root, path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)


def open_file(root: int, path: str) -> int:
    """Open a path of any type; create an empty file, with parents, if it is missing."""
    return _open_made(root, path, directory=False)


def make_dir(root: int, path: str, mode: int = _DIR_MODE) -> None:
    """Create a directory with exactly this mode, unless the path exists."""
    if not exists(root, path):
        fd = open_dir(root, path)
        try:
            os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)


def make_link(root: int, path: str, target: str) -> None:
    """Create a symbolic link, unless the path exists."""
    parent = open_dir(root, os.path.dirname(path))
    try:
        os.symlink(target, os.path.basename(path), dir_fd=parent)
    except FileExistsError:
        pass
    finally:
        os.close(parent)


def _open_made(root: int, path: str, *, directory: bool) -> int:
    """Open a path. If it is missing, walk it, also through the image's links, and create what is missing."""
    with suppress(OSError):
        return open_path(root, path)
    done, todo = _present(root, [part for part in path.split("/") if part not in ("", ".")])
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done[-1:] = []
            continue
        link = _link_or_made(root, done, part, directory=directory or bool(todo), linked=links > 0)
        if link is None:
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if link.startswith("/"):
            done = []
        todo += [part for part in reversed(link.split("/")) if part not in ("", ".")]
    return open_path(root, "/" + "/".join(done))


def _present(root: int, parts: list[str]) -> tuple[list[str], list[str]]:
    """The parts of a path without its last one, if they are there and lead through no link; and the rest, reversed."""
    how = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS
    with suppress(OSError):
        if ".." not in parts:
            os.close(syscalls.openat2(root, "/".join(parts[:-1]) or "/", os.O_PATH, how))
            return parts[:-1], parts[-1:]
    return [], parts[::-1]


def _link_or_made(root: int, parents: list[str], part: str, *, directory: bool, linked: bool) -> str | None:
    """The target if part is a link, else None; creates a missing part.

    linked: whether a link of the image led here. Then parts are created in the app's root only, not in volumes.
    """
    parent = open_path(root, "/" + "/".join(parents))
    try:
        found = os.stat(part, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        if linked:
            _refuse_mount(root, "/" + "/".join(parents))
        if directory:
            os.mkdir(part, _DIR_MODE, dir_fd=parent)
        else:
            os.close(
                os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE, dir_fd=parent)
            )
        return None
    else:
        return os.readlink(part, dir_fd=parent) if stat.S_ISLNK(found.st_mode) else None
    finally:
        os.close(parent)


def _refuse_mount(root: int, path: str) -> None:
    """Raise OSError unless a path is in the file system of the app's root."""
    how = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
    try:
        os.close(syscalls.openat2(root, path, os.O_PATH, how))
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        raise OSError(
            errno.EXDEV, "a link of the image leads into a volume, where nothing is created", path
        ) from err
