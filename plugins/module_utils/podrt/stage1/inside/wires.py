# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors that a pod's first process and its children inherit, opened outside by starter.wiring."""

from __future__ import annotations

from ...value import Value


class AppWires(Value):
    """The descriptors opened for an app outside the pod. procs: to join its leaf cgroups, as a post-stop handler does
    as well. home: to join the supervisor's groups, as the waiting process of an app with a restart policy does;
    restarts: the record of its restarts. The others: see AppRecord, -1 for none.
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
    home: tuple[int, ...] = ()
    restarts: int = -1


class Spaces(Value):
    """Namespaces that the starter has made for a pod with its own users.

    user: that of its users, -1 if it has the host's. others: those of the pod that belong to it, with their kinds.
    """

    user: int = -1
    others: tuple[tuple[int, int], ...] = ()


class PodWires(Value):
    """The descriptors opened for the pod outside of it.

    starter: the starter's end of the channel, to be closed here. lock: keeps the pod locked for the life of PID 1.
    held: closed by each process of the pod once it has dropped its privileges. tty: the slave of the app's terminal,
    or -1. captured: whether the apps' output goes through the supervisor. maps: user namespaces with the maps of
    mounts.
    """

    sync: int
    starter: int
    lock: int
    held: int
    console: int
    apps: tuple[AppWires, ...]
    tty: int = -1
    captured: bool = True
    spaces: Spaces = Spaces()
    maps: tuple[int, ...] = ()
