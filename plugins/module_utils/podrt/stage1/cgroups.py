# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's control groups: one group in every hierarchy, one leaf beneath it for each app.

    v1   <where podctl is>/machine-rkt\x2d<uuid>.scope/<app>       the supervisor sits in the pod's group
    v2   /pods/machine-rkt\x2d<uuid>.scope/{supervisor,<app>}      groups with controllers cannot hold processes
    in a systemd service (v2)   <its own cgroup>/{supervisor,<app>}

Nothing is assumed of the names and places of hierarchies: they are read from /proc. Directories are made before the
pod's first process, and processes are moved by descriptors, since the pod sees the host's mounts read-only.
Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst, linux.md 3, behaviours D35.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from ..errors import HostFailure
from ..host.files import read_text, read_text_or, write_new
from ..host.mountinfo import read_mounts
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.mountinfo import MountEntry
    from ..host.paths import PodDir

SUPERVISOR = "supervisor"
_V2_PARENT = "/pods"
_V2_WANTED = ("cpu", "memory", "pids", "io")
_NO_PLACE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.005


class Hierarchy(Value):
    """A mounted hierarchy. version: 1 or 2. path: where this process is, as a directory of the host."""

    version: int
    controllers: tuple[str, ...]
    mount: str
    path: str


class Group(Value):
    """The pod's group in one hierarchy. owned: this pod made it, and so removes it."""

    hierarchy: Hierarchy
    path: str
    owned: bool = True

    @property
    def controllers(self) -> tuple[str, ...]:
        """The controllers that act in the group's leaves."""
        return self.hierarchy.controllers

    def leaf(self, name: str) -> str:
        """The directory of an app's leaf, or of the supervisor's."""
        return f"{self.path}/{name}"

    @property
    def supervisor(self) -> str:
        """Where the supervisor sits."""
        return self.leaf(SUPERVISOR) if self.hierarchy.version == 2 else self.path

    @property
    def view(self) -> str:
        """The name of the hierarchy in an app's /sys/fs/cgroup; "" for the only one of a v2 host."""
        return os.path.basename(self.hierarchy.mount)


def group_name(uuid: str) -> str:
    """The name of a pod's group, a systemd scope's."""
    return "machine-rkt\\x2d" + uuid.replace("-", "\\x2d") + ".scope"


def parse_hierarchies(memberships: str, mounts: tuple[MountEntry, ...]) -> tuple[Hierarchy, ...]:
    """The hierarchies that are mounted, from the text of /proc/PID/cgroup and the mounts. Pure."""
    found = []
    for line in memberships.splitlines():
        _number, names, path = line.split(":", 2)
        controllers = tuple(names.split(",")) if names else ()
        mount = _mount_of(controllers, path, mounts)
        if mount is not None:
            below = os.path.relpath(path, mount.root) if path != mount.root else "."
            place = mount.target if below == "." else f"{mount.target}/{below}"
            found.append(Hierarchy(1 if controllers else 2, controllers, mount.target, place))
    return tuple(found)


def hierarchies() -> tuple[Hierarchy, ...]:
    """The hierarchies of this host, and where this process is in each. Raises OSError."""
    return parse_hierarchies(read_text("/proc/self/cgroup"), read_mounts())


def make_groups(uuid: str, apps: tuple[str, ...], *, in_service: bool) -> tuple[Group, ...]:
    """Make the pod's group and its leaves wherever this process may. in_service: systemd has started this process.

    Raises HostFailure.
    """
    made: list[Group] = []
    for hierarchy in hierarchies():
        try:
            group = (
                _make_v2(hierarchy, uuid, in_service) if hierarchy.version == 2 else _make_v1(hierarchy, uuid)
            )
            for app in apps:
                _make_leaf(group, app)
        except OSError as err:
            if err.errno in _NO_PLACE:
                continue
            remove_groups(tuple(group.path for group in made if group.owned))
            raise HostFailure.of(f"cannot make a control group in {hierarchy.path}", err) from err
        made.append(group)
    return tuple(made)


def record(pod: PodDir, groups: tuple[Group, ...]) -> None:
    """Write down where the groups are, for gc and for people."""
    if groups:
        first = groups[0]
        write_new(pod.subcgroup, os.path.relpath(first.path, first.hierarchy.mount).encode())
    lines = "".join(f"{group.path}\n" for group in groups if group.owned)
    write_new(_record_of(pod), lines.encode())


def recorded(pod: PodDir) -> tuple[str, ...]:
    """The groups that record() wrote down. Those of a systemd service are not the pod's own, but systemd's."""
    return tuple(line for line in read_text_or(_record_of(pod), "").splitlines() if "/machine-rkt" in line)


def procs_fd(directory: str) -> int:
    """A descriptor to move processes into a group by, good in any mount namespace."""
    return os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def attach(fds: tuple[int, ...], pid: int) -> None:
    """Move a process, 0 for this one. Raises OSError."""
    for fd in fds:
        os.write(fd, str(pid).encode())


def remove_groups(directories: tuple[str, ...]) -> None:
    """Kill what is left in groups and remove them; what is missing is fine. Raises HostFailure when one stays."""
    for directory in directories:
        _remove(directory)


def _record_of(pod: PodDir) -> str:
    return f"{pod.path}/cgroups"


def _mount_of(controllers: tuple[str, ...], path: str, mounts: tuple[MountEntry, ...]) -> MountEntry | None:
    wanted = set(controllers)
    for mount in mounts:
        if mount.fs_type != ("cgroup" if controllers else "cgroup2") or not wanted <= set(
            mount.super_options
        ):
            continue
        if "/.." not in mount.root and (path == mount.root or path.startswith(mount.root.rstrip("/") + "/")):
            return mount
    return None


def _make_v1(hierarchy: Hierarchy, uuid: str) -> Group:
    group = Group(hierarchy, f"{hierarchy.path}/{group_name(uuid)}")
    _mkdir(group.path)
    if "cpuset" in hierarchy.controllers:
        _copy_cpuset(hierarchy.path, group.path)
    return group


def _make_v2(hierarchy: Hierarchy, uuid: str, in_service: bool) -> Group:
    """In a service the supervisor's leaf must take this process along before controllers can be handed on."""
    if in_service and hierarchy.path.endswith(".service"):
        group = Group(hierarchy, hierarchy.path, owned=False)
        _mkdir(group.supervisor)
        fd = procs_fd(group.supervisor)
        try:
            attach((fd,), 0)
        finally:
            os.close(fd)
    else:
        parent = hierarchy.mount + _V2_PARENT
        _mkdir(parent)
        group = Group(hierarchy, f"{parent}/{group_name(uuid)}")
        _mkdir(group.path)
        _mkdir(group.supervisor)
        _enable(hierarchy.mount)
        _enable(parent)
    return group.replace(hierarchy=hierarchy.replace(controllers=_enable(group.path)))


def _enable(directory: str) -> tuple[str, ...]:
    """Hand the wanted controllers on to the children of a v2 group; those that they have now."""
    offered = read_text(f"{directory}/cgroup.controllers").split()
    for name in _V2_WANTED:
        if name in offered:
            with contextlib.suppress(OSError):  # what cannot be handed on is missed when a limit needs it
                _write(f"{directory}/cgroup.subtree_control", f"+{name}")
    return tuple(read_text(f"{directory}/cgroup.subtree_control").split())


def _make_leaf(group: Group, app: str) -> None:
    _mkdir(group.leaf(app))
    if group.hierarchy.version == 1 and "cpuset" in group.controllers:
        _copy_cpuset(group.path, group.leaf(app))


def _copy_cpuset(parent: str, child: str) -> None:
    # A new cpuset is empty, and nothing can be moved into an empty one.
    for name in ("cpuset.cpus", "cpuset.mems"):
        with contextlib.suppress(FileNotFoundError):
            _write(f"{child}/{name}", read_text(f"{parent}/{name}"))


def _mkdir(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o755)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _children(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _remove(directory: str) -> None:
    """rmdir, once its processes have been killed and have gone. Sub-groups that an app made go first."""
    for name in _children(directory):
        _remove(f"{directory}/{name}")
    end = time.monotonic() + _KILL_SECONDS
    while True:
        try:
            os.rmdir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as err:
            if err.errno != errno.EBUSY or time.monotonic() > end:
                raise HostFailure.of("cannot remove a control group", err) from err
        else:
            return
        _kill_all(directory)
        time.sleep(_POLL_SECONDS)


def _kill_all(directory: str) -> None:
    for pid in read_text_or(f"{directory}/cgroup.procs", "").split():
        with contextlib.suppress(ProcessLookupError):
            if int(pid) > 0 and int(pid) != os.getpid():
                os.kill(int(pid), 9)
