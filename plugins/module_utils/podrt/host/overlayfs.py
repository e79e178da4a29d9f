# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether overlayfs can be used on a directory's file system. Source: behaviours A22, overlayfs.rst "upper"."""

from __future__ import annotations

import os

from ..errors import reason_of
from . import syscalls
from .files import remove_tree
from .mountinfo import read_mounts
from .reading import kernel_text

# Made by mkfs, these have d_type and trusted attributes, which overlayfs needs; any other is tried.
_FIT = ("btrfs", "ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs")


def why_no_overlay(directory: str) -> str:
    """Why no overlay can have its upper directory here, "" if one can. Raises OSError."""
    fs_type = _fs_type(os.path.realpath(directory))
    if fs_type in _FIT and "\toverlay\n" in kernel_text("/proc/filesystems") + "\n":
        return ""
    code = _try(directory)
    return f"{fs_type} in {directory}: {reason_of(OSError(code, os.strerror(code)))}" if code else ""


def _fs_type(directory: str) -> str:
    """The type of the file system of a real path."""
    holding = [
        mount
        for mount in read_mounts()
        if mount.target == "/" or f"{directory}/".startswith(mount.target + "/")
    ]
    # Of two mounts at one path, the later is on top.
    return max(enumerate(holding), key=lambda pair: (len(pair[1].target), pair[0]))[1].fs_type


def _try(directory: str) -> int:
    """Use a small overlay as apps do, in a mount namespace of a child. Returns the errno, 0 for success."""
    import tempfile  # rarely needed, and would cost every start 4 ms

    place = tempfile.mkdtemp(prefix=".overlay-", dir=directory)
    try:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _use_overlay(place)
                code = 0
            except OSError as err:
                code = err.errno or code
            finally:
                os._exit(code)
        return os.WEXITSTATUS(os.waitpid(pid, 0)[1])
    finally:
        remove_tree(place)


def _use_overlay(place: str) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    os.chdir(place)
    for name in ("lower", "lower/replaced", "upper", "work", "root"):
        os.mkdir(name)
    syscalls.mount("overlay", "root", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work")
    # A whiteout, then an opaque directory: these need more than files and directories.
    os.rmdir("root/replaced")
    os.mkdir("root/replaced")
