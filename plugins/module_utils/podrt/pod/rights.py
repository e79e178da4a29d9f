# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of the rights of running apps: of the first process of each, by /proc. Source: proc(5)."""

from __future__ import annotations

import os

from ..host.mountinfo import read_mounts
from ..host.reading import kernel_lines, kernel_text_or
from ..host.security import labels_of
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..host.mountinfo import MountEntry

_FILTERED = "2"
_ENDED = ("Z", "X")
_OF_ALL = ("/proc/", "/sys/", "/dev/")


class AppRights(Value):
    """The rights that an app cannot get back: masks of capabilities, whether it has a system call filter and
    no-new-privileges, the maps of its users and groups, its OOM score adjustment, and what security modules have it
    labelled with, or "".

    uids, gids: rows of the first ID inside, the first one outside, and how many.
    """

    app: str
    pid: int
    permitted: int
    bounding: int
    filtered: bool
    no_new_privs: bool
    uids: tuple[tuple[int, ...], ...]
    gids: tuple[tuple[int, ...], ...]
    oom_score_adj: int
    apparmor: str = ""
    selinux: str = ""

    @property
    def root(self) -> int:
        """The user of the host that is root in it; 0 where none is."""
        return next((row[1] for row in self.uids if row[0] == 0), 0)


def rights_of(pid_1: int, leaves: Sequence[tuple[str, str]]) -> Iterator[AppRights]:
    """The rights of the apps of a pod that have a process. leaves: each app with the directory of its control group."""
    for app, leaf in leaves:
        for line in kernel_text_or(f"{leaf}/cgroup.procs", "").splitlines():
            found = _read(app, line, str(pid_1))
            if found:
                yield found
                break


def _read(app: str, pid: str, parent: str) -> AppRights | None:
    """The rights of a process; None if it has ended, is yet to be executed, or is not the child of the pod's PID 1."""
    lines = kernel_lines(kernel_text_or(f"/proc/{pid}/status", ""))
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    uids = id_map("uid", pid)
    if fields.get("PPid") != parent or "CapBnd" not in fields or not uids:
        return None
    if fields.get("State", "").startswith(_ENDED) or _is_to_be_executed(pid, parent):
        return None
    return AppRights(
        app,
        int(pid),
        int(fields["CapPrm"], 16),
        int(fields["CapBnd"], 16),
        fields.get("Seccomp") == _FILTERED,
        fields.get("NoNewPrivs") == "1",
        uids,
        id_map("gid", pid),
        int(kernel_text_or(f"/proc/{pid}/oom_score_adj", "0")),
        *labels_of(int(pid)),
    )


def id_map(kind: str, pid: str = "self") -> tuple[tuple[int, ...], ...]:
    """The map of the users or groups of a process, kind uid or gid; () if it has ended. Source: user_namespaces(7)."""
    lines = kernel_lines(kernel_text_or(f"/proc/{pid}/{kind}_map", ""))
    return tuple(tuple(map(int, line.split())) for line in lines)


def mounts_in(pid: int) -> tuple[MountEntry, ...]:
    """What an app has mounted by the mounts of its first process, without what all apps have. () if it has ended."""
    try:
        found = read_mounts(str(pid))
    except OSError:
        return ()
    return tuple(mount for mount in found if not f"{mount.target}/".startswith(_OF_ALL))


def _is_to_be_executed(pid: str, pid_1: str) -> bool:
    """Whether a process still is the interpreter that the pod's PID 1 is: one that starts its app again."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/exe"), os.stat(f"/proc/{pid_1}/exe"))
    except OSError:
        return True  # it is ending
