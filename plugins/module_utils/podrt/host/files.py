# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a crash: written under another name, synced, renamed into place."""

from __future__ import annotations

import errno
import os
import stat

from ..contexts import contextmanager, suppress
from ..errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PRIVATE_DIR = 0o750
OPEN_DIR = 0o755
PRIVATE_FILE = 0o640
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512


def make_dirs(path: str, mode: int = PRIVATE_DIR) -> None:
    """Create a directory and its parents if they are missing, all with this mode regardless of the umask."""
    try:
        os.mkdir(path, mode)
    except FileNotFoundError:
        above = os.path.dirname(path.rstrip("/")) or "."
        if os.path.isdir(above):  # it takes no directories, as in /proc
            raise
        make_dirs(above, mode)
        make_dirs(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        os.chmod(path, mode)


def open_beneath(path: str, base: str, mode: int | None = None) -> int:
    """Open a directory that is base or beneath it. No link beneath base is followed.

    Paths below a pod's directory are written and removed by it, so that a planted link leads nowhere. mode: of missing
    directories, which are created, regardless of the umask. Raises FileNotFoundError, Corrupt, OSError.
    """
    if path != base and not path.startswith(f"{base}/"):
        raise ValueError(f"{path} is not beneath {base}")
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in filter(None, path[len(base) :].split("/")):
        above = fd
        try:
            fd = _step(above, name, mode, path)
        finally:
            os.close(above)
    return fd


def _step(above: int, name: str, mode: int | None, path: str) -> int:
    """Open a directory on the way to a path, see open_beneath."""
    try:
        return _open_or_make(above, name, mode)
    except OSError as err:
        if err.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise Corrupt(f"cannot write below {path}: {name} is not a directory", path=path) from err


def _open_or_make(above: int, name: str, mode: int | None) -> int:
    try:
        return _open_dir(above, name)
    except FileNotFoundError:
        if mode is None:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=above)
        os.chmod(name, mode, dir_fd=above)
    return _open_dir(above, name)


@contextmanager
def path_beneath(path: str, base: str) -> Iterator[str]:
    """A path to the same file through a descriptor of its directory, see open_beneath."""
    fd = open_beneath(os.path.dirname(path), base)
    safe = f"/proc/self/fd/{fd}/{os.path.basename(path)}"
    try:
        yield safe
    except OSError as err:
        if err.filename == safe:
            err.filename = path
        raise
    finally:
        os.close(fd)


def make_dirs_beneath(path: str, base: str, mode: int = PRIVATE_DIR) -> None:
    """Create directories as make_dirs does, but follow no link below base. Raises Corrupt, OSError."""
    os.close(open_beneath(path, base, mode))


def make_each_beneath(paths: Sequence[str], base: str, mode: int = PRIVATE_DIR) -> None:
    """Create several directories so, with one walk to those that are in the same one."""
    for parent in dict.fromkeys(map(os.path.dirname, paths)):
        above = open_beneath(parent, base, mode)
        try:
            for path in (path for path in paths if os.path.dirname(path) == parent):
                os.close(_step(above, os.path.basename(path), mode, path))
        finally:
            os.close(above)


def write_atomically(path: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replace a file so that a crash leaves the old or the new one. It is on disk when this returns."""
    with replacing(path, mode, even_directory=True) as fd:
        write_all(fd, data)


@contextmanager
def replacing(path: str, mode: int, *, even_directory: bool = False) -> Iterator[int]:
    """A new file, open for writing, that takes the place of another at the end, on disk; an error removes it.

    even_directory: whether it takes that of a directory, too. Raises OSError.
    """
    aside = f"{path}.{os.urandom(6).hex()}.tmp"
    with naming(path, aside):
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            try:
                yield fd
                os.fchmod(fd, mode)
                sync(fd)
            finally:
                os.close(fd)
            try:
                os.rename(aside, path)
            except IsADirectoryError:
                if not even_directory:
                    raise
                remove_tree(path)
                os.rename(aside, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(aside)
            raise
    sync_dir(os.path.dirname(path))


@contextmanager
def naming(path: str, aside: str) -> Iterator[None]:
    """Name in errors the file that is written, not what is in its place until it is whole, see blame."""
    try:
        yield
    except OSError as err:
        if isinstance(err.filename, str) and os.path.basename(err.filename) == os.path.basename(aside):
            err.filename = path
        raise


def blame(err: OSError, fd: int) -> None:
    """Name a file of a file system in an error that names none, as those of write(2)."""
    if err.filename is not None:
        return
    with suppress(OSError):
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.startswith("/") and not path.endswith(" (deleted)"):
            err.filename = path


def write_new(path: str, data: bytes, mode: int = PRIVATE_FILE, *, synced: bool = False) -> None:
    """Write a file into a directory that is not in place yet.

    synced: whether it is on disk when this returns; else the caller syncs all of the directory.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)  # regardless of the caller's umask
        write_all(fd, data)
        if synced:
            sync(fd)
    finally:
        os.close(fd)


def write_new_beneath(path: str, base: str, data: bytes, mode: int, owner: int | None = None) -> None:
    """Write such a file beneath a directory, through no link, see open_beneath. owner: its user and group.

    Raises Corrupt, OSError.
    """
    with path_beneath(path, base) as safe:
        write_new(safe, data, mode)
        if owner is not None:
            os.chown(safe, owner, owner, follow_symlinks=False)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Repeat write(2) until all is written. Its errors have the path of the file."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as err:
        blame(err, fd)
        raise


def sync(fd: int) -> None:
    """fsync(2), which a file system without room may refuse. Its errors have the path of the file."""
    try:
        os.fsync(fd)
    except OSError as err:
        blame(err, fd)
        raise


def write_kernel(path: str, text: str) -> None:
    """Write to a file of the kernel, such as one of a control group, in one write(2). Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def sync_dir(path: str) -> None:
    """Sync a directory, so that the renames in it are on disk."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(fd)
    finally:
        os.close(fd)


def rename_synced(source: str, target: str) -> None:
    """Rename a file or directory, then sync both parents. Raises OSError."""
    os.rename(source, target)
    sync_dir(os.path.dirname(target))
    if os.path.dirname(source) != os.path.dirname(target):
        sync_dir(os.path.dirname(source))


def is_real_dir(path: str) -> bool:
    """Whether a path is a directory, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def take_over(source: str, target: str) -> None:
    """Rename something out of a workspace, then sync the directory that it is in now: of a workspace nothing counts.

    Raises OSError.
    """
    os.rename(source, target)
    sync_dir(os.path.dirname(target))


def unlink_unless_directory(path: str) -> None:
    """Remove a file in the place of a directory, unless it is a directory or a link to one."""
    if os.path.lexists(path) and not os.path.isdir(path):
        os.unlink(path)


def remove_tree(path: str) -> None:
    """Remove a file or a directory of any depth, if it exists.

    Never follows a link and never enters a mount: a mount that was left behind is an error (EBUSY or EXDEV), and its
    content is not lost. Files that chattr(1) protects are removed as well, and the error says so if they cannot be.
    """
    for fd, name, is_dir in _bottom_up(path, _open_to_empty):
        with suppress(FileNotFoundError):
            _remove(fd, name, is_dir=is_dir)


def _remove(fd: int, name: str, *, is_dir: bool) -> None:
    remove = os.rmdir if is_dir else os.unlink
    try:
        remove(name, dir_fd=fd)
    except PermissionError:
        from .attributes import release  # needed after an app with CAP_LINUX_IMMUTABLE, and hardly ever else

        release(fd, name)
        remove(name, dir_fd=fd)


def entries(path: str) -> list[str]:
    """The names in a directory, sorted; [] if it is missing."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def entries_if_any(path: str) -> list[str]:
    """The names in a directory of a pod, sorted; [] also if it was replaced by something else."""
    try:
        return entries(path)
    except OSError:
        return []


def files_below(path: str) -> list[str]:
    """The paths of all files below a directory of ours, at any depth, sorted; [] if it is missing."""
    return sorted(f"{place}/{name}" for place, _dirs, names in os.walk(path) for name in names)


def disk_usage(path: str) -> int:
    """The bytes that a directory of any depth occupies on disk; 0 if it is missing.

    Raises OSError, also if another process, such as an app, moves a directory in it meanwhile.
    """
    total = 0
    for fd, name, _is_dir in _bottom_up(path, _open_dir):
        with suppress(FileNotFoundError):
            total += os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks * _BLOCK
    return total


def disk_usage_if_any(path: str) -> int:
    """The disk usage of a directory for display; 0 if it cannot be counted."""
    try:
        return disk_usage(path)
    except OSError:
        return 0


class _Level:
    """A directory on the way down: its name, its identity, its files, and the directories still to be entered."""

    def __init__(self, fd: int, name: str, dirs: list[str], files: list[str]) -> None:
        self.name = name
        self.identity = _identity(fd)
        self.dirs = dirs
        self.files = files


def _bottom_up(path: str, open_dir: Callable[[int, str], int]) -> Iterator[tuple[int, str, bool]]:
    """All entries below a directory, and last itself: the parent's descriptor, the name, whether it is a directory.

    One descriptor goes down and up again, so there is no limit of depth. open_dir enters a directory. Entries that are
    gone are left out.
    """
    try:
        is_dir = stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    at = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        top = os.path.basename(path)
        levels = [_Level(at, "", [top] if is_dir else [], [])]
        if not is_dir:
            yield at, top, False
        while levels[1:] or levels[0].dirs:
            level = levels[-1]
            if not level.dirs:
                levels.pop()
                at = _climb(at, levels[-1].identity)
                yield at, level.name, True
                continue
            name = level.dirs.pop()
            try:
                below = open_dir(at, name)
            except FileNotFoundError:
                continue
            os.close(at)
            at = below
            levels.append(_Level(at, name, *_children(at)))
            for file in levels[-1].files:
                yield at, file, False
    finally:
        os.close(at)


def _children(fd: int) -> tuple[list[str], list[str]]:
    """The directories in a directory, and all other entries."""
    with os.scandir(fd) as scanned:
        children = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in scanned]
    return [name for name, is_dir in children if is_dir], [name for name, is_dir in children if not is_dir]


def _climb(fd: int, identity: tuple[int, int]) -> int:
    """Open the parent of a directory, and close the directory. Raises OSError if the parent is not that of before."""
    above = _open_dir(fd, "..")
    if _identity(above) != identity:
        os.close(above)
        raise OSError(errno.ESTALE, "a directory was moved meanwhile")
    os.close(fd)
    return above


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino


def _open_dir(fd: int, name: str) -> int:
    return os.open(name, _DIRECTORY, dir_fd=fd)


def _open_to_empty(fd: int, name: str) -> int:
    """Open a directory so that its entries can be removed, unless it is a mount point.

    The kernel notices a mount even if it is of the same file system.
    """
    from .attributes import clear
    from .syscalls import RESOLVE_NO_XDEV, openat2  # ctypes, which most starts do not need

    try:
        below = openat2(fd, name, _DIRECTORY, RESOLVE_NO_XDEV)
    except OSError as err:
        if err.errno == errno.EXDEV:
            raise OSError(errno.EXDEV, "a file system is still mounted here", name) from err
        raise
    with suppress(OSError):  # removing an entry then fails with the reason
        clear(below)
    return below
