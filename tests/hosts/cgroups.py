# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The group of a host in every cgroup hierarchy of the machine, which the host sees as the root."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import partial

from lab import STATE, get, put, wait_for

TOP = "testhost-" + hashlib.sha256(STATE.encode()).hexdigest()[:8]


def groups(name: str = "") -> dict[str, str]:
    """{controllers, "none,name=..." or "unified": the host's group there}; without a name the group above."""
    known = {line.split()[0] for line in get("/proc/cgroups").splitlines()}
    found: dict[str, str] = {}
    for left, right in (line.split(" - ") for line in get("/proc/self/mountinfo").splitlines()):
        if right.startswith("cgroup"):
            options = right.split()[-1].split(",")
            named = ["none," + option for option in options if option.startswith("name=")]
            tree = ",".join(named or [option for option in options if option in known]) or "unified"
            found.setdefault(tree, f"{left.split()[4]}/{TOP}/{name}")
    return found


def make_groups(name: str) -> None:
    """Create them, with every controller that the machine can delegate."""
    for tree, group in groups(name).items():
        os.makedirs(group, exist_ok=True)
        parent = os.path.dirname(group)
        for above, below in ((os.path.dirname(parent), parent), (parent, group)):
            if "cpuset" in tree:  # v1: empty sets take no process
                for key in ("cpuset.cpus", "cpuset.mems"):
                    put(f"{below}/{key}", get(f"{above}/{key}"))
            if tree == "unified":
                for controller in get(above + "/cgroup.controllers").split():
                    put(above + "/cgroup.subtree_control", "+" + controller)


def join_groups(name: str, below: str = "") -> None:
    """Move this process into the host's groups, or into the group below if that exists."""
    for group in groups(name).values():
        inner = f"{group}/{below}"
        put((inner if below and os.path.exists(inner) else group) + "/cgroup.procs", "0")


def drop_groups(name: str = "") -> None:
    """Remove them; the kernel releases dead processes a moment late."""
    for group in groups(name).values():
        wait_for(partial(_removed, group), 5, group + " is busy")


def _removed(group: str) -> bool:
    folders = [folder for folder, _below, _files in os.walk(group, topdown=False)]
    ends = [
        subprocess.run(["rmdir", folder], stderr=subprocess.DEVNULL, check=False).returncode
        for folder in folders
    ]
    return not any(ends)
