# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of the rights of running apps: of the first process of each, by /proc. Source: proc(5)."""

from __future__ import annotations

import os

from ..host.reading import decimal, kernel_lines, kernel_text_or
from ..host.security import labels_of
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FILTERED = "2"
_ENDED = ("Z", "X")


class AppRights(Value):
    """The rights that an app cannot get back: masks of capabilities, whether it has a system call filter and
    no-new-privileges, the ID of the host that is its root, and what security modules have it labelled with, or "".
    """

    app: str
    pid: int
    permitted: int
    bounding: int
    filtered: bool
    no_new_privs: bool
    root: int
    apparmor: str = ""
    selinux: str = ""


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
    maps = kernel_text_or(f"/proc/{pid}/uid_map", "").split()
    if fields.get("PPid") != parent or "CapBnd" not in fields or len(maps) < 3:
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
        decimal(maps[1]) or 0 if maps[0] == "0" else 0,
        *labels_of(int(pid)),
    )


def _is_to_be_executed(pid: str, pid_1: str) -> bool:
    """Whether a process still is the interpreter that the pod's PID 1 is: one that starts its app again."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/exe"), os.stat(f"/proc/{pid_1}/exe"))
    except OSError:
        return True  # it is ending
