# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers of files that others could have written: an app, an image, another user, a crash.

Four readers, by the trusted party:

    read_bytes, read_text, open_regular    none: regular files only, never through a link, bounded
    read_trusted                           the writer, such as root for the configuration: links count, the rest as
                                           above; check_kept checks the owner
    read_given                             the command line, as cat would: a pipe too, bounded
    read_kernel                            the kernel: /proc, /sys and cgroups

Only read_given waits for a writer. A missing file is a FileNotFoundError, one of another type is Corrupt. The type is
checked before the file is opened, since opening some devices has effects.
Source: open(2) O_PATH, proc(5) /proc/self/fd.
"""

from __future__ import annotations

import errno
import os
import stat

from ..contexts import contextmanager
from ..errors import Corrupt, InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Bounds, in bytes.
WORD = 64 << 10  # an ID, a PID, a status, a lease, a marker: one word, or a few
DOCUMENT = 16 << 20  # a JSON document, a unit, an environment, a list of paths or layers

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLLOW = os.O_PATH | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 256 << 10
# What an open of a missing file raises, and a read of one below /proc whose process has ended since its open.
_MISSING = (FileNotFoundError, NotADirectoryError, ProcessLookupError)
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
    """The content of a regular file of at most limit bytes.

    beneath: a trusted directory that the path begins with; no link below it is followed. Without it, only a link as
    the last component is not followed. Raises FileNotFoundError, Corrupt, OSError.
    """
    fd = open_regular(path, beneath=beneath)
    try:
        return _bounded(fd, limit, path)
    finally:
        os.close(fd)


def read_text(path: str, limit: int = WORD, *, beneath: str = "") -> str:
    """The content as text, see read_bytes, without white space around it. Raises Corrupt for a NUL character."""
    text = read_bytes(path, limit, beneath=beneath).decode(errors="replace").strip()
    if "\0" in text:
        raise Corrupt(f"cannot read {path}: it holds a NUL character", path=path)
    return text


def read_text_or(path: str, default: str, limit: int = WORD, *, beneath: str = "") -> str:
    """The content as text, see read_text, or default if the file is missing."""
    try:
        return read_text(path, limit, beneath=beneath)
    except (FileNotFoundError, NotADirectoryError):
        return default


def read_number(path: str, *, beneath: str = "") -> int | None:
    """The decimal number in a file, None if the file is missing or empty. Raises Corrupt for anything else, OSError."""
    text = read_text_or(path, "", beneath=beneath)
    if not text:
        return None
    number = decimal(text.removeprefix("-"))
    if number is None:
        raise Corrupt(f"cannot read {path}: it holds no number", path=path)
    return -number if text.startswith("-") else number


def decimal(text: str) -> int | None:
    """A decimal number of ordinary length in untrusted text, None for anything else.

    int() accepts other scripts, signs, blanks and underscores, and raises ValueError beyond 4300 digits.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def read_trusted(path: str, limit: int = DOCUMENT) -> bytes:
    """The content of a file in a directory of root; links are followed, and one to /dev/null is an empty file."""
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
    """Raise InvalidSpec, with a hint, if users other than root and the caller can change a file or a directory.

    The groups of root and of the caller may change it. Raises OSError.
    """
    info = os.stat(path)
    mode = stat.S_IMODE(info.st_mode)
    if info.st_uid not in (0, os.geteuid()):
        raise InvalidSpec(
            f"{path} is not used as configuration: it belongs to another user (uid {info.st_uid})",
            f"check its content, then chown root {path}",
            path=path,
        )
    writable = _BY_OTHERS if info.st_gid in (0, os.getegid()) else _BY_OTHERS | _BY_GROUP
    if mode & writable:
        raise InvalidSpec(
            f"{path} is not used as configuration: others can change it (mode {mode:04o})",
            f"check its content, then chmod {'go' if mode & writable & _BY_GROUP else 'o'}-w {path}",
            path=path,
        )


def read_given(path: str, limit: int = DOCUMENT) -> bytes:
    """The content of a file that the command line names, as cat would show it, also of a pipe.

    Raises OSError; Corrupt beyond limit bytes.
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
    """The content of a file of the kernel as text, without white space around it."""
    return read_kernel(path).decode(errors="replace").strip()


def kernel_text_or(path: str, default: str) -> str:
    """The same text, or default if the file is missing, or its process is."""
    try:
        return kernel_text(path)
    except _MISSING:
        return default


def kernel_text_within(path: str, limit: int) -> str | None:
    """The same text, "" if the file is missing, None beyond limit bytes: an app may fill the file."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = _drained(file.fileno(), limit + 1, path)
    except _MISSING:
        return ""
    return data.decode(errors="replace").strip() if len(data) <= limit else None


def kernel_lines(text: str) -> list[str]:
    """The lines of a text of the kernel. It escapes a line feed in a name, and nothing else that ends lines for str."""
    return text.removesuffix("\n").split("\n") if text else []


def open_regular(path: str, *, beneath: str = "") -> int:
    """Open a regular file to read it; never blocks. For beneath and errors see read_bytes."""
    fd = _look(path, beneath)
    try:
        return _opened(fd, path)
    finally:
        os.close(fd)


def entries_beneath(path: str, beneath: str) -> list[str]:
    """The names in a directory that others may have replaced, sorted; [] if it is missing.

    Raises Corrupt for anything but a directory, OSError.
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


@contextmanager
def looked_at(path: str, *, beneath: str = "") -> Iterator[int]:
    """A descriptor of a path of any type, a link itself, which opens nothing. For beneath and errors see read_bytes."""
    fd = _look(path, beneath)
    try:
        yield fd
    finally:
        os.close(fd)


def _look(path: str, beneath: str) -> int:
    """A descriptor of a path of any type, by O_PATH."""
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
                f"cannot read {path or name}: its path leads through a symbolic link or a file"
            ) from err
        raise


def _opened(fd: int, path: str) -> int:
    """Open the file of an O_PATH descriptor. Raises Corrupt unless it is regular."""
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
    """Read until the end. Raises Corrupt beyond limit bytes."""
    too_large = os.fstat(fd).st_size > limit
    data = b"" if too_large else _drained(fd, limit + 1, path)
    if too_large or len(data) > limit:
        raise Corrupt(f"cannot read {path}: it is larger than {limit} bytes", path=path)
    return data


def _drained(fd: int, limit: int, path: str) -> bytes:
    """Read until the end, or a little more than limit bytes."""
    chunks: list[bytes] = []
    held = 0
    try:
        while held < limit:
            chunk = os.read(fd, min(limit, _CHUNK))
            if not chunk:
                break
            chunks.append(chunk)
            held += len(chunk)
    except OSError as err:
        err.filename = path
        raise
    return b"".join(chunks)
