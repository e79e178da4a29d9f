# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors opened for a pod before its first process, which has the host read-only and writes by these alone."""

from __future__ import annotations

import _socket
import os
import stat

from ...contexts import suppress
from ...host import syscalls
from ...host.detached import open_detached
from ...host.files import open_beneath
from ...pod import cgroups
from ...pod.restart import RECORD_BYTES
from ..inside.wires import AppWires, AttachEnds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.dirs import PodDir
    from ...pod.cgroups import Group
    from ...pod.runspec import LogPolicy
    from ..plan.sandbox import AppPlan

_JOURNAL_STDOUT = "/run/systemd/journal/stdout"
_PRIORITY_INFO = 6
_LOG_MODE, _STATUS_MODE = 0o640, 0o644
_NOTIFY_MODE, _CONTROL_MODE = 0o777, 0o600
_BACKLOG = 16
_STATUS_BYTES = 16


def open_apps(
    pod: PodDir,
    apps: tuple[AppPlan, ...],
    groups: tuple[Group, ...],
    log: LogPolicy,
    *,
    journal: bool,
    pending: bool = False,
) -> tuple[AppWires, ...]:
    """Open the descriptors for the apps' children and the supervisor. Raises OSError.

    pending: whether the file of the status is to get its name only once the app is supervised.

    The files of logs and statuses are opened in detached mounts, so that they have no parent directories.
    """
    logs, statuses = (_detached(open_beneath(path, pod.path)) for path in (pod.logs, pod.statuses))
    try:
        return tuple(
            _open_app(pod, app, groups, journal=journal).replace(
                logs=_open_logs(logs, app.name, log),
                status=_open_status(statuses, f"{app.name}.new" if pending else app.name),
                end=_open_status(statuses, f"{app.name}.end"),
                restarts=_open_restarts(statuses, app),
                attached=_attached(pod, app),
            )
            for app in apps
        )
    finally:
        os.close(logs)
        os.close(statuses)


def _open_logs(directory: int, app: str, log: LogPolicy) -> tuple[int, ...]:
    newest = _open_file(directory, f"{app}.log", os.O_APPEND, _LOG_MODE)
    older = (f"{app}.log.{number}" for number in range(1, log.max_files))
    return (newest, *(_open_file(directory, name, 0, _LOG_MODE) for name in older))


def _open_restarts(directory: int, app: AppPlan) -> int:
    """An empty file for the restarts of an app with a policy, else -1."""
    return _open_status(directory, f"{app.name}.restarts", RECORD_BYTES) if app.restart else -1


def _open_status(directory: int, name: str, size: int = _STATUS_BYTES) -> int:
    """An empty file for the end of an app, with reserved space: the disk may be full by then."""
    fd = _open_file(directory, name, os.O_TRUNC, _STATUS_MODE)
    with suppress(OSError):  # a file system that cannot reserve
        syscalls.reserve(fd, size)
    return fd


def _open_file(directory: int, name: str, flags: int, mode: int) -> int:
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, mode, dir_fd=directory)
    os.fchmod(fd, mode)  # regardless of the caller's umask
    return fd


def _attached(pod: PodDir, app: AppPlan) -> AttachEnds:
    if not app.stdio.endpoints:
        return AttachEnds(stdio=app.stdio)
    from .attachable import open_attached

    return open_attached(pod, app)


def _open_app(pod: PodDir, app: AppPlan, groups: tuple[Group, ...], *, journal: bool) -> AppWires:
    name = app.name
    unified = cgroups.unified(groups)
    tracking = unified or (groups[0] if groups else None)
    limited = any(limit.controller == "memory" for limit in app.limits)
    return AppWires(
        procs=tuple(cgroups.joining_fd(group.leaf(name)) for group in sorted(groups, key=_version)),
        leaf=os.open(unified.leaf(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if unified else -1,
        home=tuple(cgroups.joining_fd(group.supervisor) for group in groups) if app.restart else (),
        listed=os.open(f"{tracking.leaf(name)}/cgroup.procs", os.O_RDONLY | os.O_CLOEXEC) if tracking else -1,
        kill=_kill_fd(unified.leaf(name)) if unified else -1,
        oom=_oom_fd(groups, name) if limited else -1,
        events=_events_fd(tracking.leaf(name)) if limited and tracking else -1,
        notify=_notify_socket(pod, name) if app.launch.notify else -1,
        journal=_journal_stream(name) if journal else -1,
    )


def _version(group: Group) -> int:
    return group.hierarchy.version


def open_control(pod: PodDir) -> int:
    """The socket that takes orders, in the pod's directory and for root alone. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(pod.control)  # of a start that has failed
    return _bound(pod.control, _socket.SOCK_SEQPACKET, _CONTROL_MODE, listens=True)


def open_console() -> int:
    """A descriptor of stdout whose slow reader cannot block the supervisor.

    Opened again where possible: O_NONBLOCK belongs to the open file, which others share. Regular files never block; to
    others the supervisor writes only as much as poll(2) promises.
    """
    mode = os.fstat(1).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            pass
    return os.dup(1)


def open_dir(path: str, name: str = ".") -> int:
    """A descriptor of a directory of the host, or of one in it, to write beneath it but never above path."""
    return _detached(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), name)


def _detached(directory: int, name: str = ".") -> int:
    """Detach a directory, see open_dir, and close its descriptor."""
    try:
        return open_detached(directory, name)
    finally:
        os.close(directory)


def _kill_fd(leaf: str) -> int:
    try:
        return os.open(f"{leaf}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1  # before Linux 5.14


def _oom_fd(groups: tuple[Group, ...], app: str) -> int:
    """An eventfd that counts the OOM kills in a v1 leaf, or -1; v2 kills the whole leaf by itself."""
    for group in groups:
        if group.hierarchy.version == 1 and "memory" in group.controllers:
            leaf = group.leaf(app)
            counter = syscalls.eventfd(0, os.O_CLOEXEC)
            control = os.open(f"{leaf}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            events = os.open(f"{leaf}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(events, f"{counter} {control}".encode())
            finally:
                os.close(control)
                os.close(events)
            return counter
    return -1


def _events_fd(leaf: str) -> int:
    """The file that counts the OOM kills in a v2 leaf, -1 where v1 has the controller."""
    try:
        return os.open(f"{leaf}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _notify_socket(pod: PodDir, app: str) -> int:
    """The socket to which the app sends READY=1."""
    return _bound(pod.app_socket(app), _socket.SOCK_DGRAM, _NOTIFY_MODE)


def _bound(place: str, kind: int, mode: int, *, listens: bool = False) -> int:
    """A socket in the pod's directory. Bound through a descriptor: its path would be too long."""
    parent, name = os.path.split(place)
    directory = open_dir(parent)
    try:
        receiver = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC)
        path = f"/proc/self/fd/{directory}/{name}"
        receiver.bind(path)
        os.chmod(path, mode)
        if listens:
            receiver.listen(_BACKLOG)
        return receiver.detach()
    finally:
        os.close(directory)


def _journal_stream(app: str) -> int:
    """A connection to the host's journal under the app's name, or -1. Source: sd_journal_stream_fd."""
    stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        stream.connect(_JOURNAL_STDOUT)
        stream.send(f"{app}\n\n{_PRIORITY_INFO}\n0\n0\n0\n0\n".encode())
        stream.setblocking(False)
    except OSError:
        stream.close()
        return -1
    return stream.detach()
