# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The children of PID 1 that become its apps: forked first of all, sent their plans once these are known."""

from __future__ import annotations

import marshal
import os

from ...errors import HostFailure
from ...host.files import write_all
from ...value import Value
from ..pid1 import frames
from ..plan.roots import own_null
from ..plan.stdio import NULL, TTY
from . import sync
from .app import become, become_app, plan_of
from .handler import wire
from .process import fork_in_leaf
from .wires import AttachEnds, ChildWires

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..pid1.record import AppRecord, RestartRecord
    from ..plan.sandbox import AppPlan, Launch
    from .ahead import Ahead
    from .app import Resolved
    from .wires import AppWires, PodWires


# The capacity of a pipe. Source: pipe(7).
_MOST = 65536


class Child(Value):
    """The child of an app, and this side's ends of its pipes, or -1. ends: the child's, for it to own.

    order: of a child that waits for orders.
    """

    pid: int
    out: int
    err: int
    exec: int
    tell: int
    ends: tuple[int, ...]
    order: int = -1


class Children:
    """The children of a pod's apps while they prepare themselves. nursery: the process that forks them, or -1."""

    def __init__(self, forked: list[Child], nursery: int, pids: int) -> None:
        self._forked = forked
        self._nursery = nursery
        self._pids = pids

    def settled(self) -> list[Child]:
        """The children, all of them children of this process by now. Raises HostFailure, OSError."""
        if self._nursery < 0:
            return self._forked
        # It writes them at once: a pipe takes more than any pod has, and the other end closes with it.
        data = os.read(self._pids, _MOST)
        os.close(self._pids)
        os.waitpid(self._nursery, 0)
        if not data:
            raise HostFailure(
                "cannot fork the processes of the apps",
                "they are more processes than root, or a control group above the pod, may have",
            )
        return [child.replace(pid=pid) for child, pid in zip(self._forked, marshal.loads(data))]


def fork_children(wires: PodWires, go: int, *, rehearsal: bool) -> Children:
    """Fork the children of the apps, which prepare themselves and wait for their plans. Raises OSError.

    An interpreter that is executed takes more than all the rest of a child. So several are forked by one process, the
    nursery, after that: they become the children of this process, the first of its PID namespace, by its end. In a
    rehearsal none is executed, since no program of an image is, which could see or change anything of this one.
    """
    made = [_wired(given, wires, go) for given in wires.apps]
    forked, all_wires = [child for child, _wires in made], [each for _child, each in made]
    if not made or rehearsal:  # without any it is a sandbox, for apps that are added
        forked = [_forked(child, theirs, given.leaf) for (child, theirs), given in zip(made, wires.apps)]
        _close_ends(all_wires)
        return Children(forked, -1, -1)
    nursery = pids = report = -1
    if len(made) > 1:
        pids, report = os.pipe2(os.O_CLOEXEC)
    pid, born = fork_in_leaf(wires.apps[0].leaf if len(made) == 1 else -1)
    if pid == 0:
        if len(made) > 1:
            from .nursery import become_nursery  # most pods have one app

            become_nursery(all_wires, [given.leaf for given in wires.apps], report)
        become_app(all_wires[0], born=born)
    _close_ends(all_wires, report)
    if len(made) > 1:
        nursery = pid
    else:
        forked = [forked[0].replace(pid=pid)]
    return Children(forked, nursery, pids)


def _forked(child: Child, theirs: ChildWires, leaf: int) -> Child:
    """Fork a child that goes on in this interpreter."""
    pid, born = fork_in_leaf(leaf)
    if pid == 0:
        become(theirs.fds, len(theirs.sockets), born=born)
    return child.replace(pid=pid)


def make_child(given: AppWires, wires: PodWires, go: int, ahead: Ahead) -> Child:
    """The child of one app more, out of a process that is there. Raises OSError, HostFailure."""
    child, theirs = _wired(given, wires, go)
    place = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    ahead.become(theirs.replace(place=place), given.leaf)
    os.close(place)
    _close_ends([theirs])
    return child


def _close_ends(wires: list[ChildWires], report: int = -1) -> None:
    """Close what belongs to children, so that the end of a child's copy can be seen."""
    for fd in (report, *(fd for each in wires for fd in (each.exec, each.told, each.order))):
        if fd >= 0:
            os.close(fd)


def _wired(given: AppWires, wires: PodWires, go: int) -> tuple[Child, ChildWires]:
    """The two sides of a child that is yet to be forked."""
    exec_fd, child_exec_fd = sync.channel()
    child_plan_fd, plan_fd = os.pipe2(os.O_CLOEXEC)
    attached = given.attached if wires.captured else AttachEnds()
    out, out_end = _output(attached.stdio.stdout, attached.slave) if wires.captured else (-1, -1)
    err, err_end = _output(attached.stdio.stderr, attached.slave) if wires.captured else (-1, -1)
    child_order, order = os.pipe2(os.O_CLOEXEC) if given.restarts >= 0 else (-1, -1)
    theirs = ChildWires(
        exec=child_exec_fd,
        go=go,
        held=wires.held,
        users=wires.spaces.user,
        pids=wires.pids,
        place=-1,
        order=child_order,
        told=child_plan_fd,
        out=out_end,
        err=err_end,
        tty=wires.tty if attached.slave < 0 else attached.slave,
        stdin=attached.slave if attached.stdio.stdin == TTY else attached.stdin,
        procs=given.procs,
        home=given.home,
        sockets=given.sockets,
    )
    return Child(0, out, err, exec_fd, plan_fd, (out_end, err_end), order), theirs


def tell_child(
    child: Child, app: AppPlan, resolved: Resolved, given: AppWires, wires: PodWires, first: int = 0
) -> AppRecord:
    """Send the child its plan. Returns the supervisor's record of the app. Raises OSError, PodError.

    first: the ID of the host that is root in the pod.
    """
    attached, stdio = given.attached, given.attached.stdio
    owned = [end for end, mode in zip(child.ends, stdio.row()[1:]) if mode != NULL]
    for fd in (*owned, wires.tty, *attached.of_app):
        if fd >= 0:
            # A program that opens /dev/stdout again needs to own the file behind it.
            os.fchown(fd, first + resolved.identity.uid, first + resolved.identity.gid)
    try:
        write_all(child.tell, plan_of(_launch(app, given), resolved, app.root.target))
    except BrokenPipeError:
        message = sync.receive(child.exec)
        if message and message[0] == frames.FAILED:
            raise sync.error_of(message) from None
        raise sync.app_has_died() from None
    post_stop = -1
    if resolved.post_stop:
        post_stop = wire(app.launch, resolved.post_stop, app.root.target, given.procs, wires.spaces.user)
    theirs = (*child.ends, *given.procs, given.leaf, *given.home, *given.sockets, *attached.of_app)
    for fd in (child.tell, *theirs):
        if fd >= 0:
            os.close(fd)
    return {
        "name": str(app.name),
        "pid": 0 if app.restart else child.pid,
        "pre_start": bool(resolved.pre_start),
        "out": child.out,
        "err": child.err,
        "exec": child.exec,
        "procs": given.listed,
        "kill": given.kill,
        "oom": given.oom,
        "events": given.events,
        "notify": given.notify,
        "journal": given.journal,
        "stop_signal": app.stop_signal,
        "post_stop": post_stop,
        "logs": list(given.logs),
        "status": given.status,
        "end": given.end,
        "restart": _restart_record(app, child, given),
        "stdin": attached.keeper,
        "tty": attached.master,
        "tap_out": attached.taps[0],
        "tap_err": attached.taps[1],
        "tap_tty": attached.taps[2],
    }


def _launch(app: AppPlan, given: AppWires) -> Launch:
    """The parameters of the app, with the names of the sockets that it inherits."""
    if not given.sockets:
        return app.launch
    return app.launch.replace(environment=(*app.launch.environment, ("LISTEN_FDNAMES", given.socket_names)))


def _output(mode: str, slave: int) -> tuple[int, int]:
    """This side's end of an output, or -1, and the app's. Raises OSError."""
    if mode == NULL:
        return -1, own_null()
    if mode == TTY:
        return -1, os.dup(slave)
    return os.pipe2(os.O_CLOEXEC)


def _restart_record(app: AppPlan, child: Child, given: AppWires) -> RestartRecord | None:
    restart = app.restart
    if restart is None:
        return None
    return {
        "policy": restart.policy,
        "max_retries": restart.max_retries,
        "backoff": restart.backoff,
        "max_backoff": restart.max_backoff,
        "waiting": child.pid,
        "order": child.order,
        "counts": given.restarts,
    }
