# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a running pod that were moved out of its control groups, beyond its limits.

A process is the pod's if it is in the PID namespace of the pod's first process. Its app is known by a hierarchy in
which it still is in its leaf, else by its root. Source: cgroups(7), pid_namespaces(7).
"""

from __future__ import annotations

import os

from ..contexts import suppress
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
# A process of the host may be inaccessible to root, by a security module or in a guest; one of a pod is not.
_NOT_OURS = (*_GONE, PermissionError)
_DEAD = "ZX"  # these stay in their group, and use no resources


class Stray(Value):
    """A process outside of its groups. leaf: its app, or "" for the pod. groups: those of the pod that it is not in."""

    pid: int
    leaf: str
    groups: tuple[str, ...]


def find_strays(pod: PodDir, pid: int, apps: Sequence[str]) -> tuple[Stray, ...]:
    """The strays of a pod, whose first process is pid. Reads one file for each process of the pod. Raises OSError."""
    groups = tuple(group for group in cgroups.recorded(pod) if os.path.isdir(group))
    mounts = read_mounts()
    known: dict[str, tuple[Hierarchy, ...]] = {}
    found = []
    for process in _processes(pid):
        with suppress(*_GONE):
            text = kernel_text(f"/proc/{process}/cgroup")
            if text not in known:
                known[text] = cgroups.parse_hierarchies(text, mounts)
            missing = missing_in(groups, known[text])
            if missing and _state(process) not in _DEAD:
                leaf = leaf_of(groups, known[text], apps) or _app_by_root(pod, pid, process, apps)
                found.append(Stray(process, leaf, missing))
    return tuple(found)


def missing_in(groups: Sequence[str], memberships: Sequence[Hierarchy]) -> tuple[str, ...]:
    """The groups of a pod that a process is neither in nor beneath. memberships: its own groups. Pure."""
    return tuple(group for group, place in _pairs(groups, memberships) if not _is_within(place, group))


def leaf_of(groups: Sequence[str], memberships: Sequence[Hierarchy], apps: Sequence[str]) -> str:
    """The app in whose leaf a process still is, in any hierarchy, or "". Pure."""
    for group, place in _pairs(groups, memberships):
        for app in apps:
            if _is_within(place, f"{group}/{app}"):
                return app
    return ""


def bring_back(strays: Sequence[Stray]) -> None:
    """Move strays back to their groups; they may end meanwhile. Raises HostFailure."""
    for stray in strays:
        for group in stray.groups:
            place = f"{group}/{stray.leaf}" if stray.leaf else cgroups.supervisor_place(group)
            try:
                with suppress(ProcessLookupError):
                    cgroups.move(place if os.path.isdir(place) else group, stray.pid)
            except OSError as err:
                raise HostFailure.of(f"cannot move process {stray.pid} to its control group", err) from err


def _pairs(groups: Sequence[str], memberships: Sequence[Hierarchy]) -> Iterator[tuple[str, str]]:
    """Each group with the process's group in the same hierarchy, the one whose mount is the nearest above."""
    for group in groups:
        above = [hierarchy for hierarchy in memberships if _is_within(group, hierarchy.mount)]
        if above:
            yield group, max(above, key=lambda hierarchy: len(hierarchy.mount)).path


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _processes(pid: int) -> Iterator[int]:
    """The processes in the PID namespace of a process."""
    space = os.readlink(f"/proc/{pid}/ns/pid")
    for name in os.listdir("/proc/"):
        if name.isdigit():
            with suppress(*_NOT_OURS):
                if os.readlink(f"/proc/{name}/ns/pid") == space:
                    yield int(name)


def _state(process: int) -> str:
    """The state of a process, one letter. Source: proc_pid_stat(5); a name in parentheses comes before."""
    return kernel_text(f"/proc/{process}/stat").rpartition(")")[2].split()[0]


def _app_by_root(pod: PodDir, pid: int, process: int, apps: Sequence[str]) -> str:
    """The app whose root is that of a process, as the pod's first process sees it; "" for other roots."""
    with suppress(*_GONE, NotADirectoryError):
        root = os.stat(f"/proc/{process}/root/")
        for app in apps:
            with suppress(*_GONE, NotADirectoryError):
                if os.path.samestat(root, os.stat(f"/proc/{pid}/root{pod.app_root(app)}")):
                    return app
    return ""
