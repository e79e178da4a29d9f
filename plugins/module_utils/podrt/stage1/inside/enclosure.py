# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the host that PID 1 of a pod keeps: its apps' roots, and read-only the files of its interpreter, each at
its old path, beside the file that it executes. And the privileges that it keeps.

An app with CAP_SYS_PTRACE can use all rights of PID 1, and every app can read /proc/1/mountinfo. So PID 1 has its own
root, a tmpfs with bind mounts of a few paths, and the capabilities of its apps and of its own work only.
"""

from __future__ import annotations

import os
import sys

from ...appc.capabilities import guard_of, mask_of
from ...host import syscalls
from ...host.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE
from ..plan import roots
from .program import SUPERVISOR, python, runtime, supervisor_file
from .rights import bound_capabilities, permitted_capabilities

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..plan.sandbox import Launch

# The paths of the dynamic linker and of libraries, also on systems that keep them in a store.
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/nix/store", "/gnu/store")
_HARMLESS = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
_TMPFS = "mode=755,size=1m"
_SUPERVISOR = mask_of(("CAP_KILL",))  # to end processes of any user
HANDLER_RIGHTS = mask_of(("CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"))


def protect_interpreter() -> None:
    """Mount the interpreter read-only at its path, for programs executed from now on. Raises OSError."""
    path = python()
    tree = _harmless_copy(path)
    try:
        syscalls.move_mount(tree, syscalls.AT_FDCWD, path)
    finally:
        os.close(tree)


def leave_host(app_roots: tuple[str, ...], shared: tuple[str, ...]) -> None:
    """Make a new root for this mount namespace, with only the apps' roots and the interpreter. Raises OSError.

    shared: the file systems of all apps, which stay, read-only here, for apps that are added.

    The old one is detached with all its mounts, and later mounts of the host do not appear. Other processes of the
    namespace get the new root as well. Source: pivot_root(2).
    """
    kept = [(path, _harmless_copy(path)) for path in _needed()]
    kept += [(path, _copy(path)) for path in app_roots]
    kept += [(path, _harmless_copy(path)) for path in shared]
    # Any directory will do, since its content is covered.
    syscalls.mount("pod", shared[0], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, _TMPFS)
    top = os.open(shared[0], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for path, tree in kept:
        _attach(top, path, tree)
    for path in _SYSTEM:
        if os.path.islink(path):
            roots.make_link(top, path, os.readlink(path))
    _write(top, SUPERVISOR, supervisor_file())
    os.chdir(top)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
    syscalls.mount_setattr(top, 0, syscalls.MOUNT_ATTR_RDONLY)
    os.close(top)


def lose_privileges(launches: tuple[Launch, ...], *, own_users: bool) -> None:
    """Drop all capabilities but the supervisor's, those of the handlers that it will start, and one as a guard.

    own_users: whether the pod has its own. To these PID 1 is the root that their namespace belongs to, which may do
    all that to its members without a capability, while none of them may trace it. Source: user_namespaces(7).
    """
    if own_users:
        bound_capabilities(0, 0)
        return
    permitted = permitted_capabilities()
    wanted = _SUPERVISOR | guard_of((launch.bounding for launch in launches), permitted)
    for launch in launches:
        if launch.post_stop:
            wanted |= launch.bounding | HANDLER_RIGHTS
    bound_capabilities(wanted, wanted & permitted)


def _needed() -> list[str]:
    """The directories and files of the interpreter and of this runtime, none beneath another."""
    prefixes = (os.path.realpath(prefix) for prefix in (sys.base_prefix, sys.base_exec_prefix))
    wanted = {*_SYSTEM, *prefixes, *_mapped(), os.path.dirname(python()), runtime()}
    needed: list[str] = []
    for path in sorted(wanted - {"/"}):
        inside = any(path.startswith(f"{other}/") for other in needed)
        if not inside and not os.path.islink(path) and os.path.exists(path):
            needed.append(path)
    return needed


def _mapped() -> set[str]:
    """The directories of the libraries that this process has loaded. Source: proc(5)."""
    with open("/proc/self/maps", "rb") as file:
        lines = [line.split(None, 5) for line in file]
    return {
        os.path.dirname(os.fsdecode(line[5].rstrip(b"\n")))
        for line in lines
        if len(line) == 6 and b"x" in line[1] and line[5].startswith(b"/")
    }


def _copy(path: str) -> int:
    flags = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC | syscalls.AT_RECURSIVE
    return syscalls.open_tree(syscalls.AT_FDCWD, path, flags)


def _harmless_copy(path: str) -> int:
    tree = _copy(path)
    try:
        syscalls.mount_setattr(tree, syscalls.AT_RECURSIVE, _HARMLESS, propagation=MS_PRIVATE)
    except OSError:
        os.close(tree)
        raise
    return tree


def _write(top: int, name: str, data: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444, dir_fd=top)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def _attach(top: int, path: str, tree: int) -> None:
    target = (roots.open_dir if os.path.isdir(path) else roots.open_file)(top, path)
    try:
        syscalls.move_mount(tree, target)
    finally:
        os.close(target)
        os.close(tree)
