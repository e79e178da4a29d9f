# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is opened for a pod before it is born: PID 1 sees the host read-only, and only descriptors lead out of that."""

from __future__ import annotations

import _socket
import os
import stat

from ...contexts import suppress
from ...host import syscalls
from ...host.detached import open_detached
from ...host.files import open_beneath
from ...pod.cgroups import procs_fd
from ..inside.wires import AppWires

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.dirs import PodDir
    from ...pod.cgroups import Group
    from ...pod.runspec import LogPolicy
    from ..plan.sandbox import AppPlan

_JOURNAL_STDOUT = "/run/systemd/journal/stdout"
_PRIORITY_INFO = 6
_LOG_MODE, _STATUS_MODE = 0o640, 0o644
_STATUS_BYTES = 16


def open_apps(
    pod: PodDir, apps: tuple[AppPlan, ...], groups: tuple[Group, ...], log: LogPolicy, *, journal: bool
) -> tuple[AppWires, ...]:
    """Open what the apps' children and their supervision need. Raises OSError.

    The files of logs and statuses are opened in copies of their mounts, so that nothing is above them.
    """
    logs, statuses = (_detached(open_beneath(path, pod.path)) for path in (pod.logs, pod.statuses))
    try:
        return tuple(
            _open_app(pod, app, groups, journal=journal).replace(
                logs=_open_logs(logs, app.name, log),
                status=_open_status(statuses, app.name),
                end=_open_status(statuses, f"{app.name}.end"),
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


def _open_status(directory: int, name: str) -> int:
    """A file for how an app ends, empty, with room reserved: the disk may be full when the app ends."""
    fd = _open_file(directory, name, os.O_TRUNC, _STATUS_MODE)
    with suppress(OSError):  # a file system that cannot promise it
        syscalls.reserve(fd, _STATUS_BYTES)
    return fd


def _open_file(directory: int, name: str, flags: int, mode: int) -> int:
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, mode, dir_fd=directory)
    os.fchmod(fd, mode)  # whatever the umask of the caller
    return fd


def _open_app(pod: PodDir, app: AppPlan, groups: tuple[Group, ...], *, journal: bool) -> AppWires:
    name = app.name
    tracking = next(
        (group for group in groups if group.hierarchy.version == 2), groups[0] if groups else None
    )
    limited = any(limit.controller == "memory" for limit in app.limits)
    return AppWires(
        procs=tuple(procs_fd(group.leaf(name)) for group in groups),
        listed=os.open(f"{tracking.leaf(name)}/cgroup.procs", os.O_RDONLY | os.O_CLOEXEC) if tracking else -1,
        kill=_kill_fd(tracking.leaf(name)) if tracking and tracking.hierarchy.version == 2 else -1,
        oom=_oom_fd(groups, name) if limited else -1,
        events=_events_fd(tracking.leaf(name)) if limited and tracking else -1,
        notify=_notify_socket(pod, name) if app.launch.notify else -1,
        journal=_journal_stream(name) if journal else -1,
    )


def open_console() -> int:
    """A descriptor of standard output that a slow reader of it cannot hold up.

    Opened anew where that can be: O_NONBLOCK belongs to the open file, and that is also of others. What a regular file
    is asked for it does at once; of the rest the supervisor writes only as much as poll(2) promises.
    """
    mode = os.fstat(1).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            return os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            pass
    return os.dup(1)


def open_dir(path: str, name: str = ".") -> int:
    """A descriptor of a directory of the host, or of one in it, that can be written beneath, and nowhere above path."""
    return _detached(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), name)


def _detached(found: int, name: str = ".") -> int:
    """The same for a descriptor, which is closed."""
    try:
        return open_detached(found, name)
    finally:
        os.close(found)


def _kill_fd(leaf: str) -> int:
    try:
        return os.open(f"{leaf}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1  # before Linux 5.14


def _oom_fd(groups: tuple[Group, ...], app: str) -> int:
    """Counts what the kernel kills for memory in a v1 leaf; v2 kills the whole leaf by itself."""
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
    """What tells in a v2 leaf whether the kernel has killed for memory, -1 where v1 has the controller."""
    try:
        return os.open(f"{leaf}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _notify_socket(pod: PodDir, app: str) -> int:
    """The socket that the app says READY=1 to. Bound through a descriptor: the path would be too long for one."""
    parent, name = os.path.split(pod.app_socket(app))
    directory = open_dir(parent)
    try:
        found = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        path = f"/proc/self/fd/{directory}/{name}"
        found.bind(path)
        os.chmod(path, 0o777)
        return found.detach()
    finally:
        os.close(directory)


def _journal_stream(app: str) -> int:
    """A connection to the host's journal under the app's name, -1 where there is none. Source: sd_journal_stream_fd."""
    found = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        found.connect(_JOURNAL_STDOUT)
        found.send(f"{app}\n\n{_PRIORITY_INFO}\n0\n0\n0\n0\n".encode())
        found.setblocking(False)
    except OSError:
        found.close()
        return -1
    return found.detach()
