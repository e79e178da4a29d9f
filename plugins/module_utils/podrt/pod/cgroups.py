# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod's control groups: one group in every hierarchy, one leaf beneath it for each app.

    v1   <group of podctl>/machine-rkt\x2d<uuid>.scope/<app>       the supervisor is in the pod's group
    v2   <parent>/machine-rkt\x2d<uuid>.scope/{_supervisor,<app>}  groups with controllers cannot hold processes

On v2 the parent is podctl's systemd service if podctl is its only process, such as a pod's own unit, else /pods. No
names and mounts of hierarchies are assumed: they are read from /proc. The paths of the groups are recorded before the
groups are created, so that none outlives a kill unnoticed. They are created before the pod's first process, and
processes are moved by descriptors, since the pod has the host's mounts read-only.
Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst, linux.md 3, behaviours D35.
"""

from __future__ import annotations

import errno
import os
import time

from ..contexts import suppress
from ..errors import Corrupt, HostFailure
from ..host.files import write_kernel, write_new
from ..host.mountinfo import read_mounts
from ..host.reading import kernel_lines, kernel_text, kernel_text_or, read_text_or
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir
    from ..host.mountinfo import MountEntry

# A name that no app can have: what is in the leaf of an app is paused and killed with it.
SUPERVISOR = "_supervisor"
# The name in pods that a release up to 0.6 has started.
_FORMER_SUPERVISOR = "supervisor"
# The file of the v1 controller that holds processes still.
FREEZER = "freezer.state"
_STARTER = "starter"
_V2_PARENT = "/pods"
_V2_FILE = "cgroup.controllers"
_V2_WANTED = ("cpu", "cpuset", "memory", "pids", "io")
_NO_PLACE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT)
_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.005


class Hierarchy(Value):
    """A mounted hierarchy. version: 1 or 2. path: the group of this process, as a directory of the host."""

    version: int
    controllers: tuple[str, ...]
    mount: str
    path: str


class Group(Value):
    """The pod's group in one hierarchy."""

    hierarchy: Hierarchy
    path: str

    @property
    def controllers(self) -> tuple[str, ...]:
        """The controllers that act in the group's leaves."""
        return self.hierarchy.controllers

    def leaf(self, name: str) -> str:
        """The directory of an app's leaf, or of the supervisor's; with "" that of the pod itself."""
        return f"{self.path}/{name}" if name else self.path

    @property
    def supervisor(self) -> str:
        """The directory of the supervisor's group."""
        return self.leaf(SUPERVISOR) if self.hierarchy.version == 2 else self.path

    @property
    def view(self) -> str:
        """The name of the hierarchy in an app's /sys/fs/cgroup; "" for the only one of a v2 host."""
        return os.path.basename(self.hierarchy.mount)


def supervisor_place(group: str) -> str:
    """The group of the supervisor of a pod, whose group this is and which any release may have started."""
    if not os.path.exists(f"{group}/{_V2_FILE}"):
        return group
    own, former = f"{group}/{SUPERVISOR}", f"{group}/{_FORMER_SUPERVISOR}"
    return former if os.path.isdir(former) and not os.path.isdir(own) else own


def app_leaves(group: str) -> list[str]:
    """The leaves of apps in a pod's group. Raises OSError."""
    other = supervisor_place(group)
    with os.scandir(group) as entries:
        return sorted(entry.path for entry in entries if entry.is_dir() and entry.path != other)


def group_name(uuid: str) -> str:
    """The name of a pod's group, that of a systemd scope."""
    return "machine-rkt\\x2d" + uuid.replace("-", "\\x2d") + ".scope"


def parse_hierarchies(memberships: str, mounts: tuple[MountEntry, ...]) -> tuple[Hierarchy, ...]:
    """The mounted hierarchies, from the text of /proc/PID/cgroup and the mounts. Pure."""
    found = []
    for line in kernel_lines(memberships):
        _number, names, path = line.split(":", 2)
        controllers = tuple(names.split(",")) if names else ()
        mount = _mount_of(controllers, path, mounts)
        if mount is not None:
            below = os.path.relpath(path, mount.root) if path != mount.root else "."
            place = mount.target if below == "." else f"{mount.target}/{below}"
            found.append(Hierarchy(1 if controllers else 2, controllers, mount.target, place))
    return tuple(found)


def hierarchies() -> tuple[Hierarchy, ...]:
    """The hierarchies of this host, and the group of this process in each. Raises OSError."""
    return parse_hierarchies(kernel_text("/proc/self/cgroup"), read_mounts())


def plan_groups(uuid: str, *, in_service: bool) -> tuple[Group, ...]:
    """The groups that the pod will have. in_service: systemd has started this process. Raises OSError."""
    return tuple(
        Group(hierarchy, f"{_parent_of(hierarchy, in_service=in_service)}/{group_name(uuid)}")
        for hierarchy in hierarchies()
    )


def record(pod: PodDir, groups: tuple[Group, ...]) -> None:
    """Record the paths of the groups, for gc and for people, before the groups are created."""
    write_new(pod.cgroups, "".join(f"{group.path}\n" for group in groups).encode())
    if groups:
        first = groups[0]
        write_new(pod.subcgroup, os.path.relpath(first.path, first.hierarchy.mount).encode())


def recorded(pod: PodDir) -> tuple[str, ...]:
    """The groups of the record; () when it is missing or incomplete."""
    name = group_name(os.path.basename(pod.path))
    try:
        lines = read_text_or(pod.cgroups, "", beneath=pod.path).splitlines()
    except Corrupt:
        return ()
    return tuple(line for line in lines if os.path.basename(line) == name)


def groups_of(pod: PodDir) -> tuple[Group, ...]:
    """The groups of a running pod that exist, with the controllers of their leaves. Raises OSError."""
    found = []
    known = hierarchies()
    for directory in filter(os.path.isdir, recorded(pod)):
        above = [each for each in known if directory.startswith(f"{each.mount}/")]
        if above:
            hierarchy = max(above, key=lambda each: len(each.mount))
            if hierarchy.version == 2:
                acting = tuple(kernel_text(f"{directory}/cgroup.subtree_control").split())
                hierarchy = hierarchy.replace(controllers=acting)
            found.append(Group(hierarchy, directory))
    return tuple(found)


def find_groups(uuid: str) -> tuple[str, ...]:
    """Every group with the pod's name, by a walk through all hierarchies, if no record exists. Raises OSError."""
    name = group_name(uuid)
    mounts = dict.fromkeys(hierarchy.mount for hierarchy in hierarchies())
    return tuple(
        f"{place}/{name}" for mount in mounts for place, below, _files in os.walk(mount) if name in below
    )


def make_groups(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    """Create the pod's group wherever this process may. Returns those that exist now. Raises HostFailure."""
    made = []
    for group in groups:
        try:
            made.append(_make_v2(group) if group.hierarchy.version == 2 else _make_v1(group))
        except OSError as err:
            if err.errno not in _NO_PLACE:
                raise HostFailure.of(f"cannot create a control group in {group.hierarchy.path}", err) from err
    return tuple(made)


def make_leaves(groups: tuple[Group, ...], apps: tuple[str, ...]) -> None:
    """Create the leaves of apps. The device rules of a v1 group must be set before. Raises HostFailure."""
    for group in groups:
        for app in apps:
            try:
                _mkdir(group.leaf(app))
                if group.hierarchy.version == 1 and "cpuset" in group.controllers:
                    _copy_cpuset(group.path, group.leaf(app))
            except OSError as err:
                raise HostFailure.of(f"cannot create a control group in {group.path}", err) from err


def procs_fd(directory: str) -> int:
    """A descriptor that moves processes into a group, in any mount namespace."""
    return os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def joining_fd(directory: str) -> int:
    """A descriptor by which a process of one thread moves itself into a group, when it writes 0.

    In v1 it moves that thread. The kernel moves processes only after a grace period of RCU, see syscalls.fork_into.
    """
    try:
        return os.open(f"{directory}/tasks", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return procs_fd(directory)


def move(directory: str, pid: int = 0) -> None:
    """Move a process into a group, 0 for this one. Raises OSError."""
    fd = procs_fd(directory)
    try:
        os.write(fd, str(pid).encode())
    finally:
        os.close(fd)


def unified(groups: tuple[Group, ...]) -> Group | None:
    """The group in the hierarchy of cgroup v2, None on a host without it."""
    return next((group for group in groups if group.hierarchy.version == 2), None)


def remove_groups(directories: tuple[str, ...]) -> None:
    """Kill the processes left in groups and remove the groups, if they exist.

    Tries all, then raises the first error: HostFailure for a group that stays.
    """
    left, failed = _without_empty(directories), []
    for directory in left:
        _thaw(directory)
    for directory in left:
        try:
            _remove(directory)
        except HostFailure as err:
            failed.append(err)
    if failed:
        raise failed[0]


def _without_empty(directories: tuple[str, ...]) -> list[str]:
    """Remove those in which no process is left, and return the others.

    A pod has the same groups in all hierarchies. To list each of them would take half of the time.
    """
    names = next(filter(None, map(_children, directories)), [])
    left = []
    for directory in directories:
        try:
            for name in names:
                with suppress(FileNotFoundError):
                    os.rmdir(f"{directory}/{name}")
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError:
            left.append(directory)
    return left


def _thaw(directory: str) -> None:
    """Let the processes in a group of the v1 freezer go on: one that is frozen would not end, in any hierarchy."""
    if os.path.exists(f"{directory}/{FREEZER}"):
        for place in (directory, *(f"{directory}/{name}" for name in _children(directory))):
            with suppress(OSError):
                write_kernel(f"{place}/{FREEZER}", "THAWED")


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


def _parent_of(hierarchy: Hierarchy, *, in_service: bool) -> str:
    """The parent of the pod's group. A unit with podctl alone ends with the pod, and its limits are the pod's."""
    if hierarchy.version == 1:
        return hierarchy.path
    if in_service and hierarchy.path.endswith(".service") and _processes(hierarchy.path) == [os.getpid()]:
        return hierarchy.path
    return hierarchy.mount + _V2_PARENT


def _make_v1(group: Group) -> Group:
    _mkdir(group.path)
    if "cpuset" in group.controllers:
        _copy_cpuset(group.hierarchy.path, group.path)
    return group


def _make_v2(group: Group) -> Group:
    parent = os.path.dirname(group.path)
    _mkdir(parent)
    if parent == group.hierarchy.path:
        _step_aside(parent)
    else:
        _enable(group.hierarchy.mount)
    _mkdir(group.path)
    _mkdir(group.supervisor)
    _enable(parent)
    return group.replace(hierarchy=group.hierarchy.replace(controllers=_enable(group.path)))


def _step_aside(service: str) -> None:
    """Move from a service's group to a leaf of it: only a group without processes can delegate controllers."""
    _mkdir(f"{service}/{_STARTER}")
    move(f"{service}/{_STARTER}")


def _enable(directory: str) -> tuple[str, ...]:
    """Delegate the wanted controllers to the children of a v2 group. Returns those that they have now."""
    offered = kernel_text(f"{directory}/{_V2_FILE}").split()
    for name in _V2_WANTED:
        if name in offered:
            with suppress(OSError):  # a missing controller is reported when a limit needs it
                write_kernel(f"{directory}/cgroup.subtree_control", f"+{name}")
    return tuple(kernel_text(f"{directory}/cgroup.subtree_control").split())


def _copy_cpuset(parent: str, child: str) -> None:
    # A new cpuset is empty, and no process can be moved into an empty one.
    for name in ("cpuset.cpus", "cpuset.mems"):
        with suppress(FileNotFoundError):
            write_kernel(f"{child}/{name}", kernel_text(f"{parent}/{name}"))


def _mkdir(path: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)


def _children(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _remove(directory: str) -> None:
    """Remove a group once its processes are killed and gone. Child groups that an app created go first.

    Those of threads can only be emptied from above.
    """
    _kill_all(directory)
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


def _processes(directory: str) -> list[int]:
    return [int(pid) for pid in kernel_text_or(f"{directory}/cgroup.procs", "").split()]


def _kill_all(directory: str) -> None:
    try:
        found = _processes(directory)
    except OSError as err:
        if err.errno != errno.EOPNOTSUPP:
            raise
        return  # a group of threads: the one above lists their processes. Source: cgroup-v2.rst, "Threads"
    for pid in found:
        with suppress(ProcessLookupError):
            if pid > 0 and pid != os.getpid():
                os.kill(pid, 9)
