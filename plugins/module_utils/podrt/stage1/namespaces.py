# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The child that becomes PID 1 of a pod: makes its namespaces, builds the apps' roots, forks the apps, and executes
the supervisor.

The apps' children are forked before that, while the system calls are at hand; they wait for the supervisor's leave.
Until then the end of the starter is the end of all: its socket ends, and the supervisor reads that.
"""

from __future__ import annotations

import _signal
import _socket
import fcntl
import marshal
import os
import sys

from ..errors import HostFailure, PodError
from ..host import syscalls
from ..host.files import write_all
from ..host.syscalls import MS_REC, MS_SLAVE
from ..value import Value
from . import sync
from .app import Resolved, Wires, become_app
from .execution import program_path
from .handler import plan_of
from .identity import Identity, group_id, user_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .mounts import Step
    from .sandbox import AppPlan, Launch, SandboxPlan
    from .supervisor import AppRecord, Plan

_STOPS = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT)
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class AppWires(Value):
    """What was opened for an app outside the pod. procs: to move into its leaves; the others as the supervisor knows
    them, -1 for none.
    """

    procs: tuple[int, ...] = ()
    listed: int = -1
    kill: int = -1
    oom: int = -1
    notify: int = -1
    journal: int = -1


class PodWires(Value):
    """What was opened for the pod outside of it.

    starter: the starter's end of the conversation, to be closed here. lock: keeps the pod's lock as long as PID 1 is.
    tty: the slave of the app's terminal, -1 without. captured: whether the apps' output goes through the supervisor.
    """

    sync: int
    starter: int
    lock: int
    console: int
    logs: int
    statuses: int
    apps: tuple[AppWires, ...]
    tty: int = -1
    captured: bool = True


class Supervision(Value):
    """How the supervisor is started, and what it is told beside the wires."""

    argv: tuple[str, ...]
    handler: tuple[str, ...]
    stop_timeout: int
    max_bytes: int
    max_files: int
    dies_with_starter: bool
    waits_for_resolv: bool


def become_pid_1(plan: SandboxPlan, wires: PodWires, how: Supervision) -> NoReturn:
    """Turn this child, PID 1 of its namespace, into the pod's supervisor. Tells the starter when that fails."""
    try:
        _become(plan, wires, how)
    except PodError as err:
        sync.send_failure(wires.sync, err)
    except OSError as err:
        sync.send_failure(wires.sync, HostFailure.of("cannot set up the pod", err))
    except BaseException:
        sys.excepthook(*sys.exc_info())  # a bug keeps its traceback, also in a child that must not unwind
    finally:
        os._exit(1)


def _become(plan: SandboxPlan, wires: PodWires, how: Supervision) -> None:
    os.close(wires.starter)
    # Blocked until the supervisor handles them: PID 1 would lose them, while blocked ones stay pending.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _STOPS)
    if how.dies_with_starter:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, _signal.SIGKILL)
    os.umask(0o022)
    syscalls.unshare(plan.namespaces)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    sync.send(wires.sync, sync.NAMESPACES)
    _socket.sethostname(plan.hostname)
    _set_sysctls(plan)
    for app in plan.apps:
        _build(app)
    if how.waits_for_resolv and not sync.receive(wires.sync):
        os._exit(1)
    resolved = [_finish(app) for app in plan.apps]
    _protect_host(plan)
    go, gone = os.pipe2(os.O_CLOEXEC)
    records = [
        _fork_app(app, found, given, wires, go) for app, found, given in zip(plan.apps, resolved, wires.apps)
    ]
    _supervise(records, wires, how, gone)


def _set_sysctls(plan: SandboxPlan) -> None:
    for name, value in plan.sysctls:
        path = "/proc/sys/" + name.replace(".", "/")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
        except OSError as err:
            raise HostFailure.of(f"cannot set the sysctl {name} to {value}", err) from err


def _build(app: AppPlan) -> None:
    try:
        app.root.mount()
    except OSError as err:
        raise HostFailure.of(f'cannot set up app "{app.name}": {app.root}', err) from err
    root = _open_root(app)
    try:
        for step in app.steps:
            _apply(app, step, root)
    finally:
        os.close(root)


def _finish(app: AppPlan) -> Resolved:
    """The steps that come last, and everything that must be looked up in the finished root."""
    root = _open_root(app)
    try:
        for step in app.last_steps:
            _apply(app, step, root)
        launch = app.launch
        return Resolved(
            argv=_argv(root, launch, launch.argv),
            pre_start=_argv(root, launch, launch.pre_start),
            post_stop=_argv(root, launch, launch.post_stop),
            identity=_identity(root, launch),
        )
    finally:
        os.close(root)


def _apply(app: AppPlan, step: Step, root: int) -> None:
    try:
        step.apply(root)
    except OSError as err:
        raise HostFailure.of(f'cannot set up app "{app.name}": {step}', err) from err


def _open_root(app: AppPlan) -> int:
    return os.open(app.root.target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _argv(root: int, launch: Launch, argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv:
        return ()
    return (program_path(root, argv[0], launch.search, launch.working_directory), *argv[1:])


def _identity(root: int, launch: Launch) -> Identity:
    uid = user_id(root, launch.user)
    try:
        gid = group_id(root, launch.group)
    except PodError:
        # What docker calls a user without a group: behaviours C15.
        if not (launch.docker and launch.user == launch.group):
            raise
        gid = uid
    return Identity(uid, gid, launch.groups)


def _protect_host(plan: SandboxPlan) -> None:
    """Make the host's whole tree read-only for PID 1, but for the apps' roots: copies of them are kept aside.

    So nobody who gets hold of PID 1's executable or root can write to them.
    """
    clone = syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC | syscalls.AT_RECURSIVE
    kept = [
        (syscalls.open_tree(syscalls.AT_FDCWD, app.root.target, clone), app.root.target) for app in plan.apps
    ]
    host = os.open("/", os.O_PATH | os.O_CLOEXEC)
    syscalls.mount_setattr(host, syscalls.AT_RECURSIVE, syscalls.MOUNT_ATTR_RDONLY)
    os.close(host)
    for tree, target in kept:
        syscalls.umount(target, syscalls.MNT_DETACH)
        syscalls.move_mount(tree, syscalls.AT_FDCWD, target)
        os.close(tree)


def _fork_app(app: AppPlan, resolved: Resolved, given: AppWires, wires: PodWires, go: int) -> AppRecord:
    """Fork the child of an app. What it writes is closed here at once, so that its end can be seen."""
    heard, said = os.pipe2(os.O_CLOEXEC)
    out, out_end = os.pipe2(os.O_CLOEXEC) if wires.captured else (-1, -1)
    err, err_end = os.pipe2(os.O_CLOEXEC) if wires.captured else (-1, -1)
    for fd in (out_end, err_end, wires.tty):
        if fd >= 0:
            # A program that opens /dev/stdout anew needs to own what it leads to.
            os.fchown(fd, resolved.identity.uid, resolved.identity.gid)
    pid = os.fork()
    if pid == 0:
        os.close(wires.sync)
        become_app(
            app.launch, resolved, app.root.target, Wires(out_end, err_end, said, go, given.procs, wires.tty)
        )
    for fd in (said, out_end, err_end, *given.procs):
        if fd >= 0:
            os.close(fd)
    post_stop = -1
    if resolved.post_stop:
        post_stop = _sealed("post-stop", plan_of(app.launch, resolved.post_stop, app.root.target))
    return {
        "name": str(app.name),
        "pid": pid,
        "out": out,
        "err": err,
        "exec": heard,
        "procs": given.listed,
        "kill": given.kill,
        "oom": given.oom,
        "notify": given.notify,
        "journal": given.journal,
        "post_stop": post_stop,
    }


def _supervise(records: list[AppRecord], wires: PodWires, how: Supervision, go: int) -> None:
    plan: Plan = {
        "apps": records,
        "sync": wires.sync,
        "go": go,
        "console": wires.console,
        "logs": wires.logs,
        "statuses": wires.statuses,
        "stop_timeout": how.stop_timeout,
        "max_bytes": how.max_bytes,
        "max_files": how.max_files,
        "handler": list(how.handler),
    }
    plan_fd = _sealed("plan", marshal.dumps(plan))  # type: ignore[arg-type]  # typed dicts are dicts
    kept = [wires.sync, wires.lock, go, wires.console, wires.logs, wires.statuses, plan_fd]
    for record in records:
        kept += [value for key, value in record.items() if isinstance(value, int) and key != "pid"]
    if not how.dies_with_starter:
        _let_go_of_stdio()
    _keep_only(kept)
    os.execve(how.argv[0], (*how.argv, str(plan_fd)), {"LC_CTYPE": "C.UTF-8"})


def _let_go_of_stdio() -> None:
    """A pod that outlives its starter must not hold a pipe open that somebody reads to its end."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)


def _keep_only(fds: list[int]) -> None:
    """Close every descriptor at exec but stdio and these."""
    syscalls.close_range(3, (1 << 32) - 1, syscalls.CLOSE_RANGE_CLOEXEC)
    for fd in fds:
        if fd >= 0:
            os.set_inheritable(fd, True)


def _sealed(name: str, data: bytes) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    write_all(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
