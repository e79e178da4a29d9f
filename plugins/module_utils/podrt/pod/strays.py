# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a running pod that something has moved out of its control groups, where no limit holds them.

A process is the pod's when it is in the PID namespace of the pod's first process. Where it belongs is told by a
hierarchy that it was left in, else by its root. Source: cgroups(7), pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import os

from ..errors import HostFailure
from ..host.mountinfo import read_mounts
from ..host.reading import kernel_text
from ..value import Value
from . import cgroups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..host.dirs import PodDir
    from .cgroups import Hierarchy

_GONE = (FileNotFoundError, ProcessLookupError)
# A process of the host may be closed to root as well, by a security module or to a guest; one of a pod is not.
_NOT_OURS = (*_GONE, PermissionError)
_DEAD = "ZX"  # they are where they died, and use nothing


class Stray(Value):
    """A process outside of its groups. leaf: its app, or "" for the pod. groups: of the pod, where it is missing."""

    pid: int
    leaf: str
    groups: tuple[str, ...]


def find_strays(pod: PodDir, pid: int, apps: Sequence[str]) -> tuple[Stray, ...]:
    """Every one of a pod, whose first process is pid. Reads one file for each process of the pod. Raises OSError."""
    groups = tuple(group for group in cgroups.recorded(pod) if os.path.isdir(group))
    mounts = read_mounts()
    known: dict[str, tuple[Hierarchy, ...]] = {}
    found = []
    for process in _processes(pid):
        with contextlib.suppress(*_GONE):
            text = kernel_text(f"/proc/{process}/cgroup")
            if text not in known:
                known[text] = cgroups.parse_hierarchies(text, mounts)
            missing = missing_in(groups, known[text])
            if missing and _state(process) not in _DEAD:
                leaf = leaf_of(groups, known[text], apps) or _app_by_root(pod, pid, process, apps)
                found.append(Stray(process, leaf, missing))
    return tuple(found)


def missing_in(groups: Sequence[str], memberships: Sequence[Hierarchy]) -> tuple[str, ...]:
    """The groups of a pod that a process is not in, nor in one beneath. memberships: where it is. Pure."""
    return tuple(group for group, place in _pairs(groups, memberships) if not _is_within(place, group))


def leaf_of(groups: Sequence[str], memberships: Sequence[Hierarchy], apps: Sequence[str]) -> str:
    """The app in whose leaf a process still is, in any hierarchy, or "". Pure."""
    for group, place in _pairs(groups, memberships):
        for app in apps:
            if _is_within(place, f"{group}/{app}"):
                return app
    return ""


def bring_back(strays: Sequence[Stray]) -> None:
    """Move processes to where they belong; one that has ended meanwhile is fine. Raises HostFailure."""
    for stray in strays:
        for group in stray.groups:
            place = f"{group}/{stray.leaf or cgroups.SUPERVISOR}"
            try:
                fd = cgroups.procs_fd(place if os.path.isdir(place) else group)
                try:
                    with contextlib.suppress(ProcessLookupError):
                        cgroups.attach((fd,), stray.pid)
                finally:
                    os.close(fd)
            except OSError as err:
                raise HostFailure.of(f"cannot move process {stray.pid} to its control group", err) from err


def _pairs(groups: Sequence[str], memberships: Sequence[Hierarchy]) -> Iterator[tuple[str, str]]:
    """Each group with the place of the process in the same hierarchy, whose mount is the nearest above the group."""
    for group in groups:
        above = [hierarchy for hierarchy in memberships if _is_within(group, hierarchy.mount)]
        if above:
            yield group, max(above, key=lambda hierarchy: len(hierarchy.mount)).path


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _processes(pid: int) -> Iterator[int]:
    """Every process in the PID namespace of one."""
    space = os.readlink(f"/proc/{pid}/ns/pid")
    for name in os.listdir("/proc/"):
        if name.isdigit():
            with contextlib.suppress(*_NOT_OURS):
                if os.readlink(f"/proc/{name}/ns/pid") == space:
                    yield int(name)


def _state(process: int) -> str:
    """One letter. Source: proc_pid_stat(5); a name in parentheses comes before."""
    return kernel_text(f"/proc/{process}/stat").rpartition(")")[2].split()[0]


def _app_by_root(pod: PodDir, pid: int, process: int, apps: Sequence[str]) -> str:
    """The app that a process has the root of, as the pod's first process sees it; "" for none, as the first one."""
    with contextlib.suppress(*_GONE, NotADirectoryError):
        root = os.stat(f"/proc/{process}/root/")
        for app in apps:
            with contextlib.suppress(*_GONE, NotADirectoryError):
                if os.path.samestat(root, os.stat(f"/proc/{pid}/root{pod.app_root(app)}")):
                    return app
    return ""
