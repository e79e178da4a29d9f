# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a crash: written aside, synced, renamed into place."""

from __future__ import annotations

import errno
import os
import stat

from ..contexts import contextmanager, suppress
from ..errors import Corrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRIVATE_DIR = 0o750
OPEN_DIR = 0o755
PRIVATE_FILE = 0o640
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512


def make_dirs(path: str, mode: int = PRIVATE_DIR) -> None:
    """Make a directory and its parents where they are missing, all with this mode whatever the umask."""
    try:
        os.mkdir(path, mode)
    except FileNotFoundError:
        make_dirs(os.path.dirname(path.rstrip("/")) or ".", mode)
        make_dirs(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        os.chmod(path, mode)


def open_beneath(path: str, base: str, mode: int | None = None) -> int:
    """A descriptor of a directory that is base or beneath it. No link on the way from there is followed.

    A path below a pod's directory is written and removed by this, so that a link that was put there leads nowhere.
    mode: missing directories are made, with it whatever the umask. Raises FileNotFoundError, Corrupt, OSError.
    """
    if path != base and not path.startswith(f"{base}/"):
        raise ValueError(f"{path} is not beneath {base}")
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in filter(None, path[len(base) :].split("/")):
        above = fd
        try:
            fd = _open_or_make(above, name, mode)
        except OSError as err:
            if err.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise Corrupt(f"cannot write below {path}: {name} is no directory", path=path) from err
        finally:
            os.close(above)
    return fd


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
def held(path: str, base: str) -> Iterator[str]:
    """A path that leads to the same file, through a descriptor of the directory that it is in: see open_beneath."""
    fd = open_beneath(os.path.dirname(path), base)
    try:
        yield f"/proc/self/fd/{fd}/{os.path.basename(path)}"
    finally:
        os.close(fd)


def make_dirs_beneath(path: str, base: str, mode: int = PRIVATE_DIR) -> None:
    """As make_dirs, but that no link below base is followed. Raises Corrupt, OSError."""
    os.close(open_beneath(path, base, mode))


def write_atomically(path: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Replace a file so that a crash leaves the old or the new one, and a return means it is on disk."""
    aside = f"{path}.{os.urandom(6).hex()}.tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, data)
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.rename(aside, path)
        except IsADirectoryError:  # something else was in its place
            remove_tree(path)
            os.rename(aside, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    sync_dir(os.path.dirname(path))


def write_new(path: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write a file into a directory that is itself not in place yet: no sync, that is its owner's to do."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        os.fchmod(fd, mode)  # whatever the umask of the caller
        write_all(fd, data)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_kernel(path: str, text: str) -> None:
    """Write to a file of the kernel's, such as one of a control group, in one write(2). Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def sync_dir(path: str) -> None:
    """Fsync a directory, so that the renames in it are on disk."""
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def rename_synced(source: str, target: str) -> None:
    """rename(2), then sync both directories. Raises OSError."""
    os.rename(source, target)
    sync_dir(os.path.dirname(target))
    if os.path.dirname(source) != os.path.dirname(target):
        sync_dir(os.path.dirname(source))


def is_real_dir(path: str) -> bool:
    """Whether a directory is there itself, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def clear_way(path: str) -> None:
    """Remove what is in the place of a directory and neither one nor a link to one."""
    if os.path.lexists(path) and not os.path.isdir(path):
        os.unlink(path)


def remove_tree(path: str) -> None:
    """Remove a file or a directory of any depth with all in it; what is missing is fine.

    Never follows a link and never enters a mount, so that one that was left behind is an error (EBUSY or EXDEV) and
    not a loss of what it shows. What chattr(1) protects is removed as well, and the error says so where it cannot be.
    """
    for fd, name, is_dir in _bottom_up(path, _open_to_empty):
        with suppress(FileNotFoundError):
            _remove(fd, name, is_dir=is_dir)


def _remove(fd: int, name: str, *, is_dir: bool) -> None:
    remove = os.rmdir if is_dir else os.unlink
    try:
        remove(name, dir_fd=fd)
    except PermissionError:
        from .attributes import release  # needed where an app was allowed to, and hardly anywhere else

        release(fd, name)
        remove(name, dir_fd=fd)


def entries(path: str) -> list[str]:
    """The names in a directory, sorted; none when it is missing."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def entries_if_any(path: str) -> list[str]:
    """The same for a directory of a pod, in whose place there may be anything: none then."""
    try:
        return entries(path)
    except OSError:
        return []


def files_below(path: str) -> list[str]:
    """The paths of what a directory of ours holds at any depth and is no directory, sorted; none when it is missing."""
    return sorted(f"{place}/{name}" for place, _dirs, names in os.walk(path) for name in names)


def disk_usage(path: str) -> int:
    """The bytes that a tree of any depth occupies on disk; none when it is missing.

    Raises OSError, also when a directory in it is moved meanwhile, such as by an app.
    """
    total = 0
    for fd, name, _is_dir in _bottom_up(path, _open_dir):
        with suppress(FileNotFoundError):
            total += os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks * _BLOCK
    return total


def disk_usage_if_any(path: str) -> int:
    """The same where it is only to be told of: none for what cannot be counted."""
    try:
        return disk_usage(path)
    except OSError:
        return 0


class _Level:
    """A directory on the way down: its name, which one it is, its files, and the directories still to be entered."""

    def __init__(self, fd: int, name: str, dirs: list[str], files: list[str]) -> None:
        self.name = name
        self.identity = _identity(fd)
        self.dirs = dirs
        self.files = files


def _bottom_up(path: str, open_dir: Callable[[int, str], int]) -> Iterator[tuple[int, str, bool]]:
    """All that a directory holds, and last itself: the directory that something is in, its name, whether it is one.

    One descriptor goes down and up again, so no depth is too much. open_dir enters a directory. What is not there, or
    not any more, is left out.
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
    """The directories in a directory, and everything else."""
    with os.scandir(fd) as found:
        children = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    return [name for name, is_dir in children if is_dir], [name for name, is_dir in children if not is_dir]


def _climb(fd: int, identity: tuple[int, int]) -> int:
    """The directory above one, which is closed. Raises OSError when it is not the one that the way down came from."""
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
    """The same, so that what is in it can be removed, and unless something is mounted there.

    The kernel tells of a mount also where both are one file system.
    """
    from .attributes import clear
    from .syscalls import RESOLVE_NO_XDEV, openat2  # ctypes, which most starts do without

    try:
        found = openat2(fd, name, _DIRECTORY, RESOLVE_NO_XDEV)
    except OSError as err:
        if err.errno == errno.EXDEV:
            raise OSError(errno.EXDEV, "a file system is still mounted here", name) from err
        raise
    with suppress(OSError):  # whatever cannot be removed then says why
        clear(found)
    return found
