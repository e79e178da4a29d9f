# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptors in detached mounts: of directories without parents, and of files that cannot be opened for writing.

A process that may trace another can open the files of that one, and then go up by "..", beyond any chroot. In a
detached mount there are no parents. Source: open_tree(2), path_resolution(7).
"""

from __future__ import annotations

import os

from . import syscalls


def open_detached(dir_fd: int, name: str = ".", *, read_only: bool = False) -> int:
    """A new descriptor of a directory, or of one in it; its ".." ends at the former. Raises OSError."""
    flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC | syscalls.AT_EMPTY_PATH
    tree = syscalls.open_tree(dir_fd, "", flags)
    try:
        if read_only:
            syscalls.mount_setattr(tree, 0, syscalls.MOUNT_ATTR_RDONLY, propagation=syscalls.MS_PRIVATE)
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tree)
    finally:
        os.close(tree)


def read_only_copy(fd: int) -> int:
    """A new descriptor of a file, at the same offset, by which the file cannot be opened again for writing.

    A process that may trace another can open the files of that one by /proc, and for writing if the mount allows it.
    Raises OSError, EINVAL for a file that is in no mount of this namespace.
    """
    flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC | syscalls.AT_EMPTY_PATH
    tree = syscalls.open_tree(fd, "", flags)
    try:
        syscalls.mount_setattr(tree, 0, syscalls.MOUNT_ATTR_RDONLY)
        copy = os.open(f"/proc/self/fd/{tree}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    finally:
        os.close(tree)
    os.lseek(copy, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
    return copy
