# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root of an app for a process of the host, by a descriptor: of a running pod as its first process sees it, of
another one mounted as at its start.

What is beneath it belongs to the app. Paths are resolved with the descriptor as their root, and nothing of it is ever
executed, so that no link, no library and no program of an app has an effect on this process.
"""

from __future__ import annotations

import _signal
import os

from ..contexts import contextmanager, suppress
from ..errors import Conflict, HostFailure
from ..host import syscalls
from ..host.locks import FileLock, try_lock
from ..host.mountinfo import MADE_BY_KERNEL, mount_of, read_mounts
from ..host.syscalls import CLONE_NEWNS, MS_REC, MS_SLAVE
from ..pod import documents
from ..pod.lifecycle import PodState
from ..pod.runspec import FLY, NATIVE
from ..pod.subids import range_of
from ..value import Value
from .mounted import overlay_of
from .starter.stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..pod.lifecycle import Pod
    from ..pod.subids import IdRange

_PATH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_INSIDE = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS
_HAS_ROOT = (PodState.PREPARED, PodState.EXITED, PodState.EXITED_GARBAGE)


class OpenedRoot(Value):
    """A root. fd: of its top. users: the IDs of the host that are the pod's users, None for those of the host.

    covered: the paths of the app at which volumes are while it runs, () in a running pod, where they are mounted.
    kernel: the devices, as stat(2) has them, of file systems whose files the kernel makes as they are read.
    """

    fd: int
    users: IdRange | None = None
    covered: tuple[str, ...] = ()
    kernel: tuple[int, ...] = ()


@contextmanager
def opened_root(pod: Pod, app: str) -> Iterator[OpenedRoot]:
    """The root of an app. Of a pod that does not run it is this process's alone meanwhile, which is then in a mount
    namespace of its own. Raises Conflict, Corrupt, HostFailure.
    """
    try:
        if pod.state() is PodState.RUNNING:
            root = _of_running(pod, app)
            try:
                yield root
            finally:
                os.close(root.fd)
            return
        # Shared: neither a start nor a collection begins meanwhile, and the pod is not taken for a running one.
        if not try_lock(pod.fd, shared=True) or pod.state() not in _HAS_ROOT:
            raise Conflict(
                f'another process works on pod "{pod.uuid}"', "try again in a moment", uuid=pod.uuid
            )
        with FileLock(pod.dir.app_info(app)):
            root = _mounted(pod, app)
            try:
                yield root
            finally:
                os.close(root.fd)
    except OSError as err:
        raise HostFailure.of(f'cannot open the root of app "{app}" of pod "{pod.uuid}"', err) from err


def _of_running(pod: Pod, app: str) -> OpenedRoot:
    pid = documents.await_pid(pod)
    if pid is None or not holds(pid, pod):
        raise Conflict(f'pod "{pod.uuid}" is still being started, or has just ended', "try again in a moment")
    process = os.pidfd_open(pid)
    try:
        kernel = _kernels(pid)
        top = os.open(f"/proc/{pid}/root", _PATH)
        _signal.pidfd_send_signal(process, 0)  # it has not ended, so it was this process's root
    finally:
        os.close(process)
    if documents.kind_of(pod.dir) == FLY:
        return OpenedRoot(top, range_of(pod.dir), kernel=kernel)
    try:
        return OpenedRoot(_mounted_in(top, pod, app), range_of(pod.dir), kernel=kernel)
    finally:
        os.close(top)


def _kernels(pid: int) -> tuple[int, ...]:
    """The devices of the file systems of the kernel that a process sees."""
    found = {mount.device for mount in read_mounts(str(pid)) if mount.fs_type in MADE_BY_KERNEL}
    return tuple(os.makedev(*map(int, device.split(":"))) for device in found)


def _mounted_in(top: int, pod: Pod, app: str) -> int:
    """The root of an app in that of a pod. Raises Conflict where nothing is mounted there, OSError."""
    root = pod.dir.app_root(app)
    with suppress(FileNotFoundError):
        found = syscalls.openat2(top, root, _PATH, _INSIDE)
        above = syscalls.openat2(top, os.path.dirname(root), _PATH, _INSIDE)
        try:
            # A stage1 of others may leave a copied root where it is.
            if documents.kind_of(pod.dir) != NATIVE or mount_of(found) != mount_of(above):
                return found
        finally:
            os.close(above)
        os.close(found)
    raise Conflict(
        f'app "{app}" has no root in the pod yet: it was not started, or its start has failed',
        "podctl app start it first",
        uuid=pod.uuid,
    )


def _mounted(pod: Pod, app: str) -> OpenedRoot:
    users, place = range_of(pod.dir), pod.dir.app_root(app)
    runtime = documents.read_manifest(pod.dir).app(app)
    if os.path.exists(pod.dir.overlay_prepared):
        from .starter.users import map_space  # few need it

        syscalls.unshare(CLONE_NEWNS)
        syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
        os.makedirs(place, exist_ok=True)
        space = map_space(users.map) if users else -1
        overlay_of(pod.dir, app, users).mount(space)
        if space >= 0:
            os.close(space)
    covered = tuple(mount.path for mount in runtime.mounts) if runtime else ()
    return OpenedRoot(os.open(place, _PATH | os.O_NOFOLLOW), users, covered)
