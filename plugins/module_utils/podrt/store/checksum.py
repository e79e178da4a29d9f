# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checksum of a directory: names, kinds, owners, modes, times, extended attributes and content.

Only extended attributes that an image can bring count; a security module's labels are the host's own.

Source: behaviours B50.
"""

from __future__ import annotations

import hashlib
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# How many files with several names are remembered at a time, in some 60 MB.
_MOST_REMEMBERED = 1 << 18
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Contents:
    """The digests of files that have several names, so that each is read once: the last used are kept."""

    def __init__(self) -> None:
        self._by_inode: dict[tuple[int, int], bytes] = {}

    def digest(self, fd: int, info: os.stat_result) -> bytes:
        """The sha256 of an open file's content."""
        if info.st_nlink == 1:
            return _digest(fd)
        inode = info.st_dev, info.st_ino
        content = self._by_inode.pop(inode, None) or _digest(fd)
        self._by_inode[inode] = content
        if len(self._by_inode) > _MOST_REMEMBERED:
            del self._by_inode[next(iter(self._by_inode))]
        return content


def same_files(one: str, other: str) -> bool:
    """Whether two directories hold the same, except for times of directories, which an archive may not have."""
    return _of_walk(one, {}, dir_times=False) == _of_walk(other, {}, dir_times=False)


def checksum(root: str, digests: Mapping[str, bytes] | None = None) -> str:
    """The sha512 of a sorted walk, in hex.

    digests: sha256 of the content of files without extended attributes, by path relative to the root, where they
    are known; other files are read, once however many names they have. Raises OSError.
    """
    return _of_walk(root, digests or {}, dir_times=True)


def _of_walk(root: str, digests: Mapping[str, bytes], *, dir_times: bool) -> str:
    total = hashlib.sha512()
    fd = os.open(root, _DIRECTORY)
    try:
        total.update(_line("", os.fstat(fd), _xattrs(fd), b"", timed=dir_times))
        _walk(fd, "", digests, _Contents(), total, dir_times=dir_times)
    finally:
        os.close(fd)
    return total.hexdigest()


def _walk(
    fd: int,
    path: str,
    digests: Mapping[str, bytes],
    contents: _Contents,
    total: hashlib._Hash,
    *,
    dir_times: bool,
) -> None:
    for name in sorted(os.listdir(fd)):
        info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        child = f"{path}/{name}" if path else name
        if stat.S_ISDIR(info.st_mode):
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                total.update(_line(child, info, _xattrs(inner), b"", timed=dir_times))
                _walk(inner, child, digests, contents, total, dir_times=dir_times)
            finally:
                os.close(inner)
        else:
            known = digests.get(child) if stat.S_ISREG(info.st_mode) else None
            content, xattrs = (known, b"") if known else _content(fd, name, info, contents)
            total.update(_line(child, info, xattrs, content))


def _content(fd: int, name: str, info: os.stat_result, contents: _Contents) -> tuple[bytes, bytes]:
    """The content of a file or its digest, and its extended attributes."""
    if stat.S_ISLNK(info.st_mode):
        return os.fsencode(os.readlink(name, dir_fd=fd)), b""
    if not stat.S_ISREG(info.st_mode):
        return b"%d" % info.st_rdev, b""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        return contents.digest(file, info), _xattrs(file)
    finally:
        os.close(file)


def _digest(fd: int) -> bytes:
    digest = hashlib.sha256()
    while True:
        block = os.read(fd, 1 << 20)
        if not block:
            return digest.digest()
        digest.update(block)


def _xattrs(fd: int) -> bytes:
    joined = b""
    for name in sorted(filter(_is_of_image, os.listxattr(fd))):
        joined += os.fsencode(name) + b"=" + os.getxattr(fd, name) + b"\0"
    return joined


def _is_of_image(name: str) -> bool:
    return name == "security.capability" or name.startswith(("user.", "trusted.overlay."))


def _line(path: str, info: os.stat_result, xattrs: bytes, content: bytes, *, timed: bool = True) -> bytes:
    size = info.st_size if stat.S_ISREG(info.st_mode) else 0
    time = info.st_mtime_ns if timed else 0
    numbers = b"%o %d %d %d %d" % (info.st_mode, info.st_uid, info.st_gid, size, time)
    return b"\0".join((os.fsencode(path), numbers, xattrs, content)) + b"\n"
