# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors that a pod's first process and its children begin with, opened outside by starter.wiring."""

from __future__ import annotations

from ...value import Value


class AppWires(Value):
    """What was opened for an app outside the pod. procs: to move into its leaves, which a post-stop handler does once
    more; the others as the supervisor knows them, -1 for none.
    """

    procs: tuple[int, ...] = ()
    listed: int = -1
    kill: int = -1
    oom: int = -1
    events: int = -1
    notify: int = -1
    journal: int = -1
    logs: tuple[int, ...] = ()
    status: int = -1
    end: int = -1


class PodWires(Value):
    """What was opened for the pod outside of it.

    starter: the starter's end of the conversation, to be closed here. lock: keeps the pod's lock as long as PID 1 is.
    held: what each process of the pod closes when it has no more rights than it shall have. tty: the slave of the app's
    terminal, -1 without. captured: whether the apps' output goes through the supervisor.
    """

    sync: int
    starter: int
    lock: int
    held: int
    console: int
    apps: tuple[AppWires, ...]
    tty: int = -1
    captured: bool = True
