# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that prevent even root from removing a file: immutable and append-only, as set by chattr(1).

An app with CAP_LINUX_IMMUTABLE can set them on every file that it can write. Source: ioctl_iflags(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from ..errors import reason_of
from .machine import machine

_IMMUTABLE, _APPEND = 0x10, 0x20
_LONG_BYTES = struct.calcsize("l")
# The kernel reads and writes an int, despite the size in the number of the call.
_INT = "i"
_GET, _SET = 1, 2


def clear(fd: int) -> None:
    """Clear them on the file or directory of a descriptor. Raises OSError if one is left."""
    flags = _flags(fd)
    if flags & (_IMMUTABLE | _APPEND):
        wanted = flags & ~(_IMMUTABLE | _APPEND)
        fcntl.ioctl(fd, _number(_SET), struct.pack(_INT, wanted).ljust(_LONG_BYTES, b"\0"))


def release(directory: int, name: str) -> None:
    """Clear them on an entry of a directory, so that it can be removed. No link is followed and no device opened.

    The directory's own must be cleared before. Raises an OSError that says so if one is left on either.
    """
    fd = _open(directory, name)
    if fd >= 0:
        try:
            clear(fd)
        except OSError as err:
            raise _kept("it is", err, name) from err
        finally:
            os.close(fd)
    if _flags(directory) & (_IMMUTABLE | _APPEND):
        raise _kept("its directory is", OSError(errno.EPERM, os.strerror(errno.EPERM)), name)


def _open(directory: int, name: str) -> int:
    """A descriptor of a file or directory, to read its attributes; -1 for other types, and if it is missing."""
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        path_fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            kind = os.fstat(path_fd).st_mode
            return (
                os.open(f"/proc/self/fd/{path_fd}", how) if stat.S_ISREG(kind) or stat.S_ISDIR(kind) else -1
            )
        finally:
            os.close(path_fd)
    except OSError:
        return -1


def _kept(what: str, err: OSError, name: str) -> OSError:
    reason = (
        f"{what} immutable or append-only, which cannot be changed ({reason_of(err)}); chattr -i -a does it"
    )
    return PermissionError(errno.EPERM, reason, name)


def _flags(fd: int) -> int:
    """All attributes; 0 on a file system without attributes."""
    try:
        answer = fcntl.ioctl(fd, _number(_GET), bytes(_LONG_BYTES))
    except OSError:
        return 0
    return int(struct.unpack_from(_INT, answer)[0])


def _number(call: int) -> int:
    """The number of the ioctl that gets or sets attributes. Source: asm/ioctl.h; PowerPC has its own."""
    own = machine().startswith("ppc")
    reads, writes, shift = (2, 4, 29) if own else (2, 1, 30)
    return (reads if call == _GET else writes) << shift | _LONG_BYTES << 16 | ord("f") << 8 | call
