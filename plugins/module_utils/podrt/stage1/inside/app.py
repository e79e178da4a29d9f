# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that becomes an app: it enters the app's root, drops its privileges and executes the program.

The future PID 1 forks it, and it executes the interpreter again from a read-only mount: a program of an image that
names /proc/self/exe as its interpreter gets hold of no more than that (CVE-2019-5736). That takes time, so it happens
while the app's root is built, and the process reads its plan afterwards. A rehearsal executes nothing. From then on it
imports nothing: in the app's root the interpreter's library belongs to the image. The order matters throughout; each
place says why.

An app with CAP_SYS_PTRACE can control every process that it sees in the pod's PID namespace. So no program of an image
is executed in the pod before all of these processes have dropped their privileges: see ChildWires.held.
Source: behaviours C12 to C19, C47 to C57.
"""

from __future__ import annotations

import marshal
import os
import sys

from ...errors import HostFailure, PodError
from ...host import syscalls
from ...host.execution import EXEC_FAILED, complaint, why_not
from ...host.syscalls import CLONE_NEWCGROUP
from ...value import Value
from ..pid1 import frames
from ..plan import roots
from . import sync
from .handling import Handler, pre_start, run_pre_start
from .process import (
    NotStarted,
    complain,
    confine,
    default_signals,
    enter_root,
    go_to,
    join_groups,
    join_place,
    join_users,
    keep_only,
    passing_sockets,
    set_oom_score,
)
from .program import execute_module
from .rights import give_up, leave_keyring
from .setters import limits_setter, terminal_taker
from .waiting import enter_pids, move_in, serve
from .wires import ChildWires

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ...host.identity import Identity
    from ..plan.sandbox import Launch
    from .labels import Labels
    from .waiting import PreStart

_UMASK = 0o022
_SETUP_FAILED = 254


class Resolved(Value):
    """The programs with their arguments, and the user that runs them, as looked up in the app's root."""

    argv: tuple[str, ...]
    pre_start: tuple[str, ...]
    post_stop: tuple[str, ...]
    identity: Identity


class AppProcess(Value):
    """The plan of an app's process, in plain values, since another interpreter reads it.

    identity: uid, gid and the supplementary groups. traced, rlimits: see Launch.
    """

    root: str
    argv: tuple[str, ...]
    pre_start: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    working_directory: str
    identity: tuple[int, int, tuple[int, ...]]
    bounding: int
    no_new_privs: bool
    filter: bytes
    oom_score_adj: int | None
    traced: bool
    rlimits: tuple[tuple[str, int, int, int], ...]
    labels: Labels


def plan_of(launch: Launch, resolved: Resolved, root: str) -> bytes:
    """The plan of an app's process as bytes, once its root is there."""
    who = resolved.identity
    process = AppProcess(
        root=root,
        argv=resolved.argv,
        pre_start=resolved.pre_start,
        environment=launch.environment,
        working_directory=launch.working_directory,
        identity=(who.uid, who.gid, who.groups),
        bounding=launch.bounding,
        no_new_privs=launch.no_new_privs,
        filter=launch.filter,
        oom_score_adj=launch.oom_score_adj,
        traced=launch.traced,
        rlimits=launch.rlimits,
        labels=launch.labels,
    )
    return marshal.dumps(process.row())  # type: ignore[arg-type]  # plain values


def become_app(wires: ChildWires, *, born: bool) -> NoReturn:
    """Turn this child into the app of the plan that it will read. Reports a failure and ends the process.

    born: whether it is in its leaf of cgroup v2 already.
    """
    plan = marshal.dumps((len(wires.sockets), born))
    _end_with(wires.exec, lambda: execute_module("app", plan, wires.fds))


def main(plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Become the app. The program of execute_module. plan: how many of the fds are sockets, and whether it is born."""
    sockets, born = marshal.loads(plan)
    become(fds, sockets, born=born)


def become(fds: tuple[int, ...], sockets: int, *, born: bool) -> NoReturn:
    """Become the app. fds: those of ChildWires, of which the first ones are that many sockets. born: see become_app."""
    wires = ChildWires.of(keep_only(fds), sockets)
    _end_with(wires.exec, lambda: _become(wires, born))


def _end_with(exec_fd: int, become: Callable[[], object]) -> NoReturn:
    """Call become, which replaces this process; if it fails, report why and end the process."""
    status = _SETUP_FAILED
    try:
        become()
    except NotStarted as err:
        status = err.status
        complain(err.text)
        sync.send(exec_fd, frames.NOT_EXECUTED, err.text, err.field)
    except PodError as err:
        sync.send_failure(exec_fd, err)
    except OSError as err:
        sync.send_failure(exec_fd, HostFailure.of("cannot set up an app", err))
    except BaseException:
        # A bug keeps its traceback, also in a child that must not unwind; in the app's root it is one line.
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _become(wires: ChildWires, born: bool) -> None:
    take_terminal = terminal_taker(wires.tty)
    process, set_limits = _arrive(wires, born)
    if process.oom_score_adj is not None and wires.pids < 0:
        set_oom_score(process.oom_score_adj)
    set_limits()  # while this process may still raise them
    handler = pre_start(_handler_of(process), wires) if process.pre_start else None
    enter_pids(wires.pids)
    join_users(wires.users)
    # The handler may be what creates the directory.
    misplaced = None if handler or wires.waits else _change_directory(process)
    _lose_privileges(process)
    os.close(wires.held)
    if wires.pids >= 0:
        # In the sight of the pod's apps only now: this process has no more rights than the app.
        move_in(wires.exec)
    # What waits for orders returns from here only in the processes that it forks.
    number = _serve(wires, handler) if wires.waits else 1
    if number == 1:
        _await_go(process, wires, misplaced)
    if handler:
        run_pre_start(handler, number)
    os.setsid()
    take_terminal()
    if handler or wires.waits:
        go_to(process.working_directory)
    _find_program(process)
    environment = passing_sockets(len(wires.sockets), dict(process.environment))
    confine(process.filter, process.labels, passed=len(wires.sockets))
    try:
        os.execve(process.argv[0], process.argv, environment)
    except OSError as err:
        raise NotStarted(why_not(process.argv[0], err), EXEC_FAILED, "exec") from err


def _arrive(wires: ChildWires, born: bool) -> tuple[AppProcess, Callable[[], None]]:
    """Enter the app's cgroups and root, and take its standard files. Returns the plan and a setter of the limits."""
    default_signals()
    # Attaching may wait for the kernel while the other processes work; the cgroup namespace has to come after it.
    join_groups(wires.procs[:-1] if born else wires.procs)
    if wires.procs:
        syscalls.unshare(CLONE_NEWCGROUP)
    # The leaf is killed after each end of the app.
    join_groups(wires.home)
    leave_keyring()
    process = _read_plan(wires.told)
    set_limits = limits_setter(process.rlimits)
    if process.oom_score_adj is not None and wires.pids >= 0:
        set_oom_score(
            process.oom_score_adj
        )  # a process outside of the pod is not in the /proc of the app's root
    join_place(wires.place, wires.pids)
    enter_root(process.root)
    _stdio(wires)
    os.umask(_UMASK)
    # Only what stage1 itself needs stays open, before the image decides which program runs, and where.
    if wires.waits:
        wires.close(wires.told, wires.out, wires.err, wires.tty, wires.stdin, *wires.home)
    else:
        syscalls.close_range(max(wires.held, wires.users, wires.pids) + 1)
    return process, set_limits


def _change_directory(process: AppProcess) -> NotStarted | None:
    """Change to the working directory. Returns the failure, which is raised once the apps may start."""
    try:
        go_to(process.working_directory)
    except NotStarted as err:
        return err
    return None


def _await_go(process: AppProcess, wires: ChildWires, misplaced: NotStarted | None) -> None:
    """Wait until all processes of the pod have dropped their privileges. Raises NotStarted."""
    signal = os.read(wires.go, 1)
    if not signal:
        # To end without a word would look like an app that was executed and has failed, and so could end the pod.
        raise NotStarted("its start was given up", _SETUP_FAILED)
    os.close(wires.go)
    if misplaced:
        raise misplaced
    if signal == sync.REHEARSE:
        _rehearse(process, wires.exec)


def _rehearse(process: AppProcess, exec_fd: int) -> NoReturn:
    """Look for the app's program as its user would, unless a pre-start handler may create it."""
    if not process.pre_start:
        _find_program(process)
    sync.send(exec_fd, frames.REHEARSED)
    os._exit(0)


def _find_program(process: AppProcess) -> None:
    wrong = complaint(process.argv[0])
    if wrong:
        raise NotStarted(wrong, EXEC_FAILED, "exec")


def _lose_privileges(process: AppProcess) -> None:
    give_up(
        process.bounding,
        process.identity,
        no_new_privs=process.no_new_privs,
        filtered=bool(process.filter),
        traced=process.traced,
    )


def _read_plan(plan_fd: int) -> AppProcess:
    with open(plan_fd, "rb", buffering=0, closefd=False) as file:
        plan = file.read()
    if not plan:
        os._exit(1)  # PID 1 has ended
    return AppProcess(*marshal.loads(plan))


def _stdio(wires: ChildWires) -> None:
    """Replace stdio: it is the caller's, or the /dev/null of PID 1, which the app may not change."""
    if wires.out < 0:
        return
    stdin = roots.open_null() if wires.stdin < 0 else wires.stdin
    for fd, number in ((stdin, 0), (wires.out, 1), (wires.err, 2)):
        if fd >= 0:
            os.dup2(fd, number)


def _serve(wires: ChildWires, handler: PreStart | None) -> int:
    """Wait for orders to start the app. Returns in each of its processes, with the number of the start."""

    def join() -> None:
        join_groups(wires.procs)
        wires.close(*wires.procs)

    return serve(wires.exec, wires.order, wires.go, join, handler.pid if handler else 0)


def _handler_of(process: AppProcess) -> Handler:
    rights = (process.bounding, process.no_new_privs, process.filter, process.labels)
    return Handler(process.pre_start, process.environment, *rights)
