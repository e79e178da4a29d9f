# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that builds the root of an app for a pod that runs already.

It is never in the pod's PID namespace, where an app that may trace would get hold of its rights. It joins the other
namespaces and builds the root in a mount namespace of its own. The app's process, see ahead, joins these, and enters
the PID namespace last of all, once it has no more rights than the app: see waiting.move_in. The new root is attached
in the mount namespace of PID 1 as well, as those of the first apps are, for handlers and for commands that enter.
Source: pid_namespaces(7), mount_namespaces(7).
"""

from __future__ import annotations

import _signal
import _socket
import os
import sys

from ...errors import Conflict, HostFailure, PodError
from ...host import syscalls
from ...host.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUTS,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_PRIVATE,
    MS_REC,
    MS_SLAVE,
)
from ...value import Value
from ..pid1 import frames
from ..pid1.record import message_of_record
from ..plan import roots
from . import sync
from .building import build, finish, own_as_before, own_what_is_made
from .children import make_child, tell_child
from .rights import leave_keyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ..pid1.record import AppRecord
    from ..plan.mounts import SharedFs
    from ..plan.sandbox import AppPlan, SandboxPlan
    from .ahead import Ahead
    from .children import Child
    from .wires import PodWires

_CLONE = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC
_UMASK = 0o022
_GO = b"g"


class Newcomer(Value):
    """An app that joins a pod. number: its place in the manifest. orders: a connection to PID 1. ahead: its process."""

    plan: SandboxPlan
    number: int
    orders: int
    ahead: Ahead

    @property
    def app(self) -> AppPlan:
        """The only app of its plan."""
        return self.plan.apps[0]


def become_builder(newcomer: Newcomer, wires: PodWires) -> NoReturn:
    """Turn this child into the builder, which ends once the app is started. Reports a failure to the starter."""
    try:
        _build(newcomer, wires)
        os._exit(0)
    except PodError as err:
        sync.send_failure(wires.sync, err)
    except OSError as err:
        sync.send_failure(wires.sync, HostFailure.of(f'cannot set up app "{newcomer.app.name}"', err))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def detach_root(process: int, path: str) -> None:
    """Detach the root of an app from the mounts of PID 1, if it is there. process: its pidfd. Raises OSError."""
    own = _own_mounts()
    try:
        syscalls.setns(process, CLONE_NEWNS)
        try:
            if os.path.ismount(path):
                syscalls.umount(path, syscalls.MNT_DETACH)
        finally:
            _return_to(own)
    finally:
        os.close(own)


def _build(newcomer: Newcomer, wires: PodWires) -> None:
    plan, app = newcomer.plan, newcomer.app
    os.close(wires.starter)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)
    leave_keyring()
    os.setsid()
    os.dup2(roots.own_null(), 0)
    os.umask(_UMASK)
    syscalls.setns(wires.pids, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    shared = _take_shared(wires.pids, plan.shared)
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    go, gone = os.pipe2(os.O_CLOEXEC)
    child = make_child(wires.apps[0], wires, go, newcomer.ahead)
    os.close(go)
    own_what_is_made(plan)
    for file_system, tree in shared:
        if tree < 0:
            file_system.mount()
        else:
            _attach_shared(file_system, tree)
    build(app, wires.spaces.user, dict(zip(plan.maps, wires.maps)))
    resolved = finish(plan, app, newcomer.number)
    own_as_before(plan)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)
    _show_root(wires.pids, app.root.target)
    record = tell_child(child, app, resolved, wires.apps[0], wires, plan.users.first if plan.users else 0)
    _register(newcomer, record, _await_child(child))
    sync.send(wires.sync, frames.DONE)
    if sync.receive(wires.sync):
        os.write(gone, _GO)


def _take_shared(process: int, shared: tuple[SharedFs, ...]) -> list[tuple[SharedFs, int]]:
    """Copies of the file systems that the pod's apps share, from the mounts of PID 1; -1 for one that it has not."""
    own = _own_mounts()
    trees = []
    syscalls.setns(process, CLONE_NEWNS)
    for file_system in shared:
        try:
            tree = syscalls.open_tree(syscalls.AT_FDCWD, file_system.target, _CLONE)
        except FileNotFoundError:
            tree = -1
        trees.append((file_system, tree))
    _return_to(own)
    os.close(own)
    return trees


def _attach_shared(file_system: SharedFs, tree: int) -> None:
    """Attach it at its path, as it was for the first apps: PID 1 has it read-only."""
    cleared = MOUNT_ATTR_RDONLY | (0 if file_system.flags & MS_NODEV else MOUNT_ATTR_NODEV)
    syscalls.mount_setattr(tree, 0, 0, cleared, propagation=MS_PRIVATE)
    syscalls.move_mount(tree, syscalls.AT_FDCWD, file_system.target)
    os.close(tree)


def _show_root(process: int, path: str) -> None:
    """Attach a copy of the app's root, with the mounts in it, at its path in the mount namespace of PID 1."""
    tree = syscalls.open_tree(syscalls.AT_FDCWD, path, _CLONE | syscalls.AT_RECURSIVE)
    own = _own_mounts()
    syscalls.setns(process, CLONE_NEWNS)
    # The root there is a read-only mount of a file system that can be written to by another one.
    top = syscalls.open_tree(syscalls.AT_FDCWD, "/", _CLONE)
    syscalls.mount_setattr(top, 0, 0, MOUNT_ATTR_RDONLY, propagation=MS_PRIVATE)
    os.close(roots.open_dir(top, path))
    syscalls.move_mount(tree, syscalls.AT_FDCWD, path)
    _return_to(own)
    for fd in (tree, top, own):
        os.close(fd)


def _own_mounts() -> int:
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _return_to(mounts: int) -> None:
    syscalls.setns(mounts, CLONE_NEWNS)
    os.chdir("/")


def _await_child(child: Child) -> int:
    """Wait until the app's process is in the pod, with the rights of the app alone. Returns its PID there."""
    message = sync.receive(child.exec)
    if message and message[0] == frames.FORKED:
        return int(message[2])
    if message and message[0] == frames.FAILED:
        raise sync.error_of(message)
    raise sync.app_has_died()


def _register(newcomer: Newcomer, record: AppRecord, pid: int) -> None:
    """Hand the app over to PID 1. Raises Conflict when that refuses."""
    restart = record["restart"]
    if restart:
        restart["waiting"] = pid
    else:
        record["pid"] = pid
    fields, fds = message_of_record(record)
    peer = _socket.socket(fileno=newcomer.orders)
    try:
        peer.sendmsg([frames.frame_of(frames.ADD, *fields)], [sync.passing(fds)])
    finally:
        peer.detach()
    message = sync.receive(newcomer.orders)
    if message and message[0] == frames.REFUSED:
        raise Conflict(f'app "{newcomer.app.name}" cannot join the pod: {message[1]}')
    if not message or message[0] != frames.DONE:
        raise sync.not_understood("it is out of turn")
