# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptors that a pod's first process and its children inherit, opened outside by starter.wiring."""

from __future__ import annotations

import os

from ...value import Value
from ..plan.stdio import Stdio

# The descriptors that every child of an app has a place for.
_SINGLE = 12


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
        return (*self.of_app, self.keeper, self.master, *self.taps)

    @property
    def of_app(self) -> tuple[int, int]:
        """Those that the app has."""
        return self.stdin, self.slave


class AppWires(Value):
    """The descriptors opened for an app outside the pod. procs: to join its leaf cgroups, as a post-stop handler does
    as well, that of v2 last. leaf: the directory of that, in which its process is born; or -1. home: to join the
    supervisor's groups, as the waiting process of an app with a restart policy does; restarts: the record of its
    restarts. attached: those by which others attach to it. sockets: those that it inherits, and their names, separated
    by colons. The others: see AppRecord, -1 for none.
    """

    procs: tuple[int, ...] = ()
    leaf: int = -1
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
    held: closed by each process of the pod once it has dropped its privileges. tty: the slave of the app's terminal, or
    -1. captured: whether the apps' output goes through the supervisor. maps: user namespaces with the maps of mounts.
    control: the socket that takes orders of the host, -1 in a rehearsal. groups: to join those of cgroup v1, for PID 1.
    pids: of a process outside of the pod's PID namespace that is to start an app in it: the pod's first process; else
    -1.
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
    control: int = -1
    groups: tuple[int, ...] = ()
    pids: int = -1


class ChildWires(Value):
    """The descriptors of an app's child.

    exec: carries the failure of the start and is closed by the exec. go: a byte from it permits the start. held: an end
    of a pipe that each process of the pod closes once it has dropped its privileges; the starter permits the start
    after the last one. users: the namespace of the pod's own users, or -1. pids: of a process outside of the pod, a
    process in the PID namespace that the app is to be in; else -1. place: of the same, the mount namespace of the
    process that builds the root; else -1. order: of an app with a restart policy, whose process waits and forks: a byte
    from it orders another start; else -1. told: the plan of the process. out and err: -1 keeps those of this process.
    tty: the app's terminal, which is among its standard files, or -1. stdin: -1 for /dev/null. procs: tasks, and last
    the cgroup.procs of v2, of the app's leaf cgroups. home: as procs, of the groups where a process that waits is.
    sockets: those that the app inherits.
    """

    exec: int
    go: int
    held: int
    users: int
    pids: int
    place: int
    order: int
    told: int
    out: int
    err: int
    tty: int = -1
    stdin: int = -1
    procs: tuple[int, ...] = ()
    home: tuple[int, ...] = ()
    sockets: tuple[int, ...] = ()

    @property
    def fds(self) -> tuple[int, ...]:
        """All of them in order, as app.main reads them: the sockets first, which an app expects from 3 on."""
        of_start = (self.exec, self.go, self.held, self.users, self.pids, self.place, self.order, self.told)
        streams = (self.out, self.err, self.tty, self.stdin)
        return (*self.sockets, *of_start, *streams, *self.procs, *self.home)

    @classmethod
    def of(cls, fds: tuple[int, ...], sockets: int) -> ChildWires:
        """Those of fds, whose first ones are that many sockets."""
        single, groups = fds[sockets : sockets + _SINGLE], fds[sockets + _SINGLE :]
        wires = cls(*single)  # type: ignore[arg-type]  # as many as come before procs
        count = len(groups) // 2 if wires.waits else len(groups)
        return wires.replace(procs=groups[:count], home=groups[count:], sockets=fds[:sockets])

    @property
    def waits(self) -> bool:
        """Whether the process waits for orders to start the app."""
        return self.order >= 0

    @property
    def served(self) -> bool:
        """Whether the process of the pre-start handler is not this one's child, or has several starts to serve."""
        return self.waits or self.pids >= 0

    def close(self, *fds: int) -> None:
        """Close some of them, as far as there are any."""
        for fd in fds:
            if fd >= 0:
                os.close(fd)
