# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors that a caller passes to a program in a pod: standard files, and sockets as systemd passes them.

Processes of the pod can open each other's files by /proc. Through a directory they would reach the host, and a file
opened for reading could be written. Source: proc(5), attack-F2.
"""

from __future__ import annotations

import fcntl
import os
import stat

from ...errors import HostFailure, InvalidSpec

_STDIO = 3


def count_passed(said: int) -> int:
    """How many descriptors the caller has passed, of as many as it says: those of this process are close-on-exec."""
    count = 0
    while count < said and _is_passed(_STDIO + count):
        count += 1
    return count


def _is_passed(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def protect_passed(passed: int = 0) -> None:
    """Replace regular files among the standard files and the passed ones by read-only copies of their mounts.

    Files opened for writing stay as they are, except standard input. Raises InvalidSpec for a directory, HostFailure.
    """
    for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            # Close-on-exec descriptors are ours, or that of the listing.
            mode = os.fstat(fd).st_mode if fd < _STDIO + passed and os.get_inheritable(fd) else 0
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            raise InvalidSpec(
                f"descriptor {fd} is a directory, through which the pod could reach the host",
                "give it a file or a pipe, and directories as volumes",
            )
        if stat.S_ISREG(mode) and (fd == 0 or _is_only_read(fd)):
            _make_read_only(fd)


def _is_only_read(fd: int) -> bool:
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def _make_read_only(fd: int) -> None:
    from ...host.detached import read_only_copy  # most callers give pipes

    try:
        copy = read_only_copy(fd)
    except OSError as err:
        if _is_sealed(fd):
            return
        what = f"cannot pass the file of descriptor {fd} to the pod read-only"
        raise HostFailure.of(what, err, "give it a pipe") from err
    os.dup2(copy, fd)
    os.close(copy)


def _is_sealed(fd: int) -> bool:
    """Whether it is a memfd, which is in no mount, sealed against writing. Source: memfd_create(2)."""
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE)
    except OSError:
        return False
