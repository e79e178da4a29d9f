# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that forks the processes of several apps: an interpreter is executed once for all of them.

It is a child of PID 1, and ends before any of them does more than wait: so they become the children of PID 1. None has
a descriptor of another by then, see app.keep_only.
"""

from __future__ import annotations

import marshal
import os
import sys

from . import app
from .process import fork_in_leaf
from .program import execute_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from .wires import ChildWires


def become_nursery(wires: Sequence[ChildWires], leaves: Sequence[int], report: int) -> NoReturn:
    """Turn this child into the process. leaves: those of AppWires. report: it writes the PIDs there, or nothing if it
    fails.
    """
    try:
        counts = [(len(each.fds), len(each.sockets)) for each in wires]
        fds = (report, *leaves, *(fd for each in wires for fd in each.fds))
        execute_module("nursery", marshal.dumps(counts), fds)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(1)


def main(plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Fork the children. The program of execute_module. plan: how many descriptors and sockets each has."""
    counts = marshal.loads(plan)
    report, *rest = fds
    leaves, rest = rest[: len(counts)], rest[len(counts) :]
    pids = []
    try:
        for leaf, (count, sockets) in zip(leaves, counts):
            own, rest = tuple(rest[:count]), rest[count:]
            pid, born = fork_in_leaf(leaf)
            if pid == 0:
                app.become(own, sockets, born=born)
            pids.append(pid)
        os.write(report, marshal.dumps(pids))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)
