# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a crash: written aside, synced, renamed into place."""

from __future__ import annotations

import contextlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE_DIR = 0o750
PRIVATE_FILE = 0o640


def make_dirs(path: str, mode: int = PRIVATE_DIR) -> None:
    """Make a directory and its parents; an existing one keeps its mode."""
    os.makedirs(path, mode=mode, exist_ok=True)


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
        os.rename(aside, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    sync_dir(os.path.dirname(path))


def write_new(path: str, data: bytes, mode: int = PRIVATE_FILE) -> None:
    """Write a file into a directory that is itself not in place yet: no sync, that is its owner's to do."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_bytes(path: str) -> bytes:
    """The content of a file. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def read_text(path: str) -> str:
    """The content of a text file without the white space around it. Raises OSError."""
    return read_bytes(path).decode(errors="replace").strip()


def read_text_or(path: str, default: str) -> str:
    """The content of a text file, or default when there is none."""
    try:
        return read_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return default


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


def remove_tree(path: str) -> None:
    """Remove a file or a directory with all in it; what is missing is fine.

    Never follows a link and never crosses into another file system, so that a mount that was left behind is an
    error (EBUSY or EXDEV from the kernel's view) and not a loss of what it shows.
    """
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(path)
        return
    parent = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove_dir(parent, os.path.basename(path), info.st_dev)
    finally:
        os.close(parent)


def _remove_dir(parent: int, name: str, device: int) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        with os.scandir(fd) as entries:
            children = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        if children and os.fstat(fd).st_dev != device:
            raise OSError(18, "a file system is still mounted here", name)
        for child, is_dir in children:
            if is_dir:
                _remove_dir(fd, child, device)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(child, dir_fd=fd)
    finally:
        os.close(fd)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=parent)


def entries(path: str) -> list[str]:
    """The names in a directory, sorted; none when it is missing."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def disk_usage(path: str) -> int:
    """The bytes that a tree occupies on disk."""
    total = 0
    for info in _walk(path):
        total += info.st_blocks * 512
    return total


def _walk(path: str) -> Iterator[os.stat_result]:
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return
    yield info
    if stat.S_ISDIR(info.st_mode):
        for name in entries(path):
            yield from _walk(f"{path}/{name}")
