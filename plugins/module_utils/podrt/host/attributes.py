# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attributes that keep even root from removing a file: immutable and append-only, as chattr(1) sets them.

An app with CAP_LINUX_IMMUTABLE leaves them on what it could write to. Source: ioctl_iflags(2).
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
# What the kernel reads and writes is an int, whatever the number of the call says.
_INT = "i"
_GET, _SET = 1, 2


def clear(fd: int) -> None:
    """Take them from the file or directory that a descriptor shows. Raises OSError where one is left."""
    flags = _flags(fd)
    if flags & (_IMMUTABLE | _APPEND):
        wanted = flags & ~(_IMMUTABLE | _APPEND)
        fcntl.ioctl(fd, _number(_SET), struct.pack(_INT, wanted).ljust(_LONG_BYTES, b"\0"))


def release(directory: int, name: str) -> None:
    """Take them from what is in a directory, no link followed and no device opened, so that it can be removed.

    The directory's own were to be taken before. Raises OSError that says so where one is left on either.
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
    """A descriptor of a file or directory that can be asked for attributes; -1 for all else, and for none."""
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            kind = os.fstat(found).st_mode
            return os.open(f"/proc/self/fd/{found}", how) if stat.S_ISREG(kind) or stat.S_ISDIR(kind) else -1
        finally:
            os.close(found)
    except OSError:
        return -1


def _kept(what: str, err: OSError, name: str) -> OSError:
    said = (
        f"{what} immutable or append-only, which cannot be changed ({reason_of(err)}); chattr -i -a does it"
    )
    return PermissionError(errno.EPERM, said, name)


def _flags(fd: int) -> int:
    """All attributes; none where the file system has no such thing."""
    try:
        answer = fcntl.ioctl(fd, _number(_GET), bytes(_LONG_BYTES))
    except OSError:
        return 0
    return int(struct.unpack_from(_INT, answer)[0])


def _number(call: int) -> int:
    """The number of the ioctl that gets or sets attributes. Source: asm/ioctl.h, of which PowerPC has its own."""
    own = machine().startswith("ppc")
    reads, writes, shift = (2, 4, 29) if own else (2, 1, 30)
    return (reads if call == _GET else writes) << shift | _LONG_BYTES << 16 | ord("f") << 8 | call
