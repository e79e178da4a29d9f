# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading files that something else could have written: an app, an image, another user, a crash.

Four readers, by what is trusted:

    read_bytes, read_text, open_regular    nothing: regular files only, never through a link, bounded
    read_trusted                           who wrote it, such as root's configuration: links count, the rest as above;
                                           check_kept says who that may have been
    read_given                             what the command line names, as cat would: a pipe too, bounded
    read_kernel                            the kernel: /proc, /sys and cgroups

None of them waits for a writer, but for read_given. What is missing is a FileNotFoundError; what is there and is no
such file is Corrupt. A file is looked at before it is opened, since opening some devices does something already.
Source: open(2) O_PATH, proc(5) /proc/self/fd.
"""

from __future__ import annotations

import errno
import os
import stat

from ..errors import Corrupt, InvalidSpec

# Bounds, in bytes.
WORD = 64 << 10  # an ID, a PID, a status, a lease, a mark: one word, or a few
DOCUMENT = 16 << 20  # a JSON document, a unit, an environment, a list of paths or layers

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLLOW = os.O_PATH | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 256 << 10
_NULL = os.makedev(1, 3)
_DIGITS = 20
_BY_OTHERS, _BY_GROUP = 0o002, 0o020
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_bytes(path: str, limit: int = DOCUMENT, *, beneath: str = "") -> bytes:
    """The content of a regular file that is no larger than limit bytes.

    beneath: a trusted directory that the path begins with; nothing below it is followed. Without it that goes for
    the last component only. Raises FileNotFoundError, Corrupt, OSError.
    """
    fd = open_regular(path, beneath=beneath)
    try:
        return _bounded(fd, limit, path)
    finally:
        os.close(fd)


def read_text(path: str, limit: int = WORD, *, beneath: str = "") -> str:
    """The same as text, without the white space around it. Raises Corrupt for a NUL, which neither path nor ID has."""
    text = read_bytes(path, limit, beneath=beneath).decode(errors="replace").strip()
    if "\0" in text:
        raise Corrupt(f"cannot read {path}: it holds a NUL character", path=path)
    return text


def read_text_or(path: str, default: str, limit: int = WORD, *, beneath: str = "") -> str:
    """The same, or default when the file is missing."""
    try:
        return read_text(path, limit, beneath=beneath)
    except (FileNotFoundError, NotADirectoryError):
        return default


def read_number(path: str, *, beneath: str = "") -> int | None:
    """A decimal number, None when the file is missing or empty. Raises Corrupt for anything else, OSError."""
    text = read_text_or(path, "", beneath=beneath)
    if not text:
        return None
    number = decimal(text.removeprefix("-"))
    if number is None:
        raise Corrupt(f"cannot read {path}: it holds no number", path=path)
    return -number if text.startswith("-") else number


def decimal(text: str) -> int | None:
    """A decimal number of ordinary length that something else wrote, None for anything else.

    int() takes other scripts, signs, blanks and underscores, and raises ValueError beyond 4300 digits.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def read_trusted(path: str, limit: int = DOCUMENT) -> bytes:
    """The content of a file whose directory is root's alone; links count, and one to /dev/null is an empty file."""
    fd = _open(path, None, _FOLLOW)
    try:
        info = os.fstat(fd)
        if stat.S_ISCHR(info.st_mode) and info.st_rdev == _NULL:
            return b""
        opened = _opened(fd, path)
    finally:
        os.close(fd)
    try:
        return _bounded(opened, limit, path)
    finally:
        os.close(opened)


def check_kept(path: str) -> None:
    """Raise InvalidSpec, with the cure, when others than root and the caller can change a file or a directory.

    A group that is root's, or the caller's own, is no other. Raises OSError.
    """
    info = os.stat(path)
    mode = stat.S_IMODE(info.st_mode)
    if info.st_uid not in (0, os.geteuid()):
        raise InvalidSpec(
            f"{path} is not used as configuration: it belongs to another user (uid {info.st_uid})",
            f"look at what it says, then chown root {path}",
            path=path,
        )
    writable = _BY_OTHERS if info.st_gid in (0, os.getegid()) else _BY_OTHERS | _BY_GROUP
    if mode & writable:
        raise InvalidSpec(
            f"{path} is not used as configuration: others can change it (mode {mode:04o})",
            f"look at what it says, then chmod {'go' if mode & writable & _BY_GROUP else 'o'}-w {path}",
            path=path,
        )


def read_given(path: str, limit: int = DOCUMENT) -> bytes:
    """The content of a file that the command line names: what cat would show, a pipe as well, up to a limit.

    Raises OSError; Corrupt when there is more.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        return _bounded(fd, limit, path)
    finally:
        os.close(fd)


def read_kernel(path: str) -> bytes:
    """The content of a file that the kernel writes: below /proc, /sys or a cgroup hierarchy. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return file.read()


def kernel_text(path: str) -> str:
    """The same as text, without the white space around it."""
    return read_kernel(path).decode(errors="replace").strip()


def kernel_text_or(path: str, default: str) -> str:
    """The same, or default when the file is missing."""
    try:
        return kernel_text(path)
    except (FileNotFoundError, NotADirectoryError):
        return default


def kernel_text_within(path: str, limit: int) -> str | None:
    """The same, "" when the file is missing, and None when there is more than limit bytes: an app may fill it."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = _drained(file.fileno(), limit + 1, path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return data.decode(errors="replace").strip() if len(data) <= limit else None


def open_regular(path: str, *, beneath: str = "") -> int:
    """A read-only descriptor of a regular file, which never waits. See read_bytes for beneath and what it raises."""
    fd = _look(path, beneath)
    try:
        return _opened(fd, path)
    finally:
        os.close(fd)


def entries_beneath(path: str, beneath: str) -> list[str]:
    """The names in a directory that others may have replaced, sorted; none when it is missing.

    Raises Corrupt for what is no directory, OSError.
    """
    try:
        fd = _look(path, beneath)
    except FileNotFoundError:
        return []
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind != stat.S_IFDIR:
            raise Corrupt(
                f"cannot read {path}: it is {_KINDS.get(kind, 'a file')}, not a directory", path=path
            )
        return sorted(os.listdir(f"/proc/self/fd/{fd}"))
    finally:
        os.close(fd)


def _look(path: str, beneath: str) -> int:
    """A descriptor of whatever is at a path, which opens nothing."""
    if not beneath:
        return _open(path, None, _LOOK)
    if not path.startswith(beneath + "/"):
        raise ValueError(f"{path} is not beneath {beneath}")
    fd = os.open(beneath, _FOLLOW | os.O_DIRECTORY)
    parts = path[len(beneath) + 1 :].split("/")
    for depth, part in enumerate(parts, 1):
        try:
            below = _open(part, fd, _LOOK | (os.O_DIRECTORY if depth < len(parts) else 0), path)
        finally:
            os.close(fd)
        fd = below
    return fd


def _open(name: str, at: int | None, flags: int, path: str = "") -> int:
    try:
        return os.open(name, flags, dir_fd=at)
    except ValueError as err:
        raise Corrupt(f"cannot read {path or name}: its name holds a NUL character") from err
    except OSError as err:
        if err.errno == errno.ELOOP or (err.errno == errno.ENOTDIR and path):
            raise Corrupt(
                f"cannot read {path or name}: a symbolic link or no directory is on its way"
            ) from err
        raise


def _opened(fd: int, path: str) -> int:
    """The very file that a descriptor of open(2) with O_PATH means, opened. Raises Corrupt unless it is regular."""
    kind = stat.S_IFMT(os.fstat(fd).st_mode)
    if kind != stat.S_IFREG:
        raise Corrupt(
            f"cannot read {path}: it is {_KINDS.get(kind, 'something')}, not a regular file", path=path
        )
    try:
        return os.open(f"/proc/self/fd/{fd}", _READ)
    except BlockingIOError as err:
        raise Corrupt(f"cannot read {path}: another process holds a lease on it", path=path) from err
    except OSError as err:
        err.filename = path
        raise


def _bounded(fd: int, limit: int, path: str) -> bytes:
    """All that can be read. Raises Corrupt when that is more than limit bytes."""
    too_large = os.fstat(fd).st_size > limit
    data = b"" if too_large else _drained(fd, limit + 1, path)
    if too_large or len(data) > limit:
        raise Corrupt(f"cannot read {path}: it is larger than {limit} bytes", path=path)
    return data


def _drained(fd: int, limit: int, path: str) -> bytes:
    """What can be read, up to limit bytes and a little more."""
    found: list[bytes] = []
    held = 0
    try:
        while held < limit:
            chunk = os.read(fd, min(limit, _CHUNK))
            if not chunk:
                break
            found.append(chunk)
            held += len(chunk)
    except OSError as err:
        err.filename = path
        raise
    return b"".join(found)
