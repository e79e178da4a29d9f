# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors that a pod's first process and its children inherit, opened outside by starter.wiring."""

from __future__ import annotations

from ...value import Value
from ..plan.stdio import Stdio


class AttachEnds(Value):
    """The descriptors by which others attach to an app, -1 for none, and the modes of its standard files.

    stdin, keeper: the app's end of the pipe of its input, and the other one. master, slave: of its terminal.
    taps: where its stdout, its stderr and what its terminal shows are repeated.
    """

    stdio: Stdio = Stdio()
    stdin: int = -1
    keeper: int = -1
    master: int = -1
    slave: int = -1
    taps: tuple[int, int, int] = (-1, -1, -1)

    @property
    def fds(self) -> tuple[int, ...]:
        """All of them."""
        return (self.stdin, self.keeper, self.master, self.slave, *self.taps)


class AppWires(Value):
    """The descriptors opened for an app outside the pod. procs: to join its leaf cgroups, as a post-stop handler does
    as well. home: to join the supervisor's groups, as the waiting process of an app with a restart policy does;
    restarts: the record of its restarts. attached: those by which others attach to it. sockets: those that it
    inherits, and their names, separated by colons. The others: see AppRecord, -1 for none.
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
    attached: AttachEnds = AttachEnds()
    sockets: tuple[int, ...] = ()
    socket_names: str = ""


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
