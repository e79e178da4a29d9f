# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that becomes an app: it enters the app's root, drops its privileges and executes the program.

The future PID 1 forks it, and it executes the interpreter again from a read-only mount: a program of an image that
names /proc/self/exe as its interpreter gets hold of no more than that (CVE-2019-5736). That takes time, so it happens
while the app's root is built, and the process reads its plan afterwards. From then on it imports nothing: in the app's
root the interpreter's library belongs to the image. The order matters throughout; each place says why.

An app with CAP_SYS_PTRACE can control every process that it sees in the pod's PID namespace. So no program of an image
is executed in the pod before all of these processes have dropped their privileges: see ChildWires.held.
Source: behaviours C12 to C19, C47 to C57.
"""

from __future__ import annotations

import _signal
import marshal
import os
import sys

from ...errors import HostFailure, PodError, printable
from ...host import syscalls
from ...host.execution import CHDIR_FAILED, EXEC_FAILED, complaint, why_not
from ...host.syscalls import CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_SHARED, MS_SLAVE
from ...value import Value
from ..pid1 import frames
from ..plan import roots
from . import sync
from .interpreter import read_no_code
from .kept import keep_only, passing_sockets
from .program import execute_module
from .rights import give_up, leave_keyring
from .setters import limits_setter, terminal_taker
from .waiting import PreStart, ask_handler, serve, serve_handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ...host.identity import Identity
    from ..plan.sandbox import Launch

_UMASK = 0o022
_SETUP_FAILED = 254
_FIRST_FD, _LAST_FD = 3, (1 << 32) - 1
# The C library reserves these two for its threads; the process that started us may still have ignored them.
_RESERVED_SIGNALS = (32, 33)


class ChildWires(Value):
    """The descriptors of an app's child.

    exec: carries the failure of the start and is closed by the exec. go: a byte from it permits the start. held: an end
    of a pipe that each process of the pod closes once it has dropped its privileges; the starter permits the start
    after the last one. users: the namespace of the pod's own users, or -1. order: of an app with a restart policy,
    whose process waits and forks: a byte from it orders another start; else -1. told: the plan of the process. out and
    err: -1 keeps those of this process. tty: the app's terminal, which is among its standard files, or -1. stdin: -1
    for /dev/null. procs: cgroup.procs of the app's leaf cgroups. home: as procs, of the groups where a process that
    waits is. sockets: those that the app inherits.
    """

    exec: int
    go: int
    held: int
    users: int
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
    def waits(self) -> bool:
        """Whether the process waits for orders to start the app."""
        return self.order >= 0


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


class Handler(Value):
    """An event handler, in the bounds of its app; plain values as well."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    bounding: int
    no_new_privs: bool
    filter: bytes


class NotStarted(Exception):
    """The app itself cannot be started; the pod goes on without it, or ends with this status.

    field: the field of the spec that does not fit the image, "" for another reason.
    """

    def __init__(self, text: str, status: int, field: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.field = field


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
    )
    return marshal.dumps(process.row())  # type: ignore[arg-type]  # plain values


def become_app(wires: ChildWires) -> NoReturn:
    """Turn this child into the app of the plan that it will read. Reports a failure and ends the process."""
    of_start = (wires.exec, wires.go, wires.held, wires.users, wires.order, wires.told)
    streams = (wires.out, wires.err, wires.tty, wires.stdin)
    # First, so that they get the numbers under which the app expects them.
    fds = (*wires.sockets, *of_start, *streams, *wires.procs, *wires.home)
    _end_with(wires.exec, lambda: execute_module("app", bytes((len(wires.sockets),)), fds))


def main(plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Become the app. The program of execute_module. plan: how many of the fds, those of ChildWires, are sockets."""
    kept = keep_only(fds)
    sockets = kept[: plan[0]]
    exec_fd, go, held, users, order, told, out, err, tty, stdin, *groups = kept[plan[0] :]
    count = len(groups) // 2 if order >= 0 else len(groups)
    procs, home = tuple(groups[:count]), tuple(groups[count:])
    wires = ChildWires(exec_fd, go, held, users, order, told, out, err, tty, stdin, procs, home, sockets)
    _end_with(exec_fd, lambda: _become(wires))


def enter_root(root: str) -> None:
    """Make root the root of a new mount namespace of this process, and detach the rest."""
    read_no_code()
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
    syscalls.mount("", "/", "", MS_REC | MS_SHARED)


def join_users(users: int) -> None:
    """Join the namespace of the pod's own users, in which this process has all rights until it drops them.

    All that takes the rights of the host's root comes before. Source: user_namespaces(7).
    """
    if users >= 0:
        syscalls.setns(users, CLONE_NEWUSER)
        os.close(users)


def join_groups(procs: tuple[int, ...]) -> None:
    """Move this process into the cgroups of these descriptors."""
    for fd in procs:
        os.write(fd, b"0")


def set_oom_score(score: int) -> None:
    """Set the OOM score of this process, -1000 to 1000. Raises HostFailure."""
    try:
        # An image could have put a FIFO there, which would block us.
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.write(fd, str(score).encode())
        os.close(fd)
    except OSError as err:
        raise HostFailure.of(f"cannot set the OOM score to {score}", err) from err


def default_signals() -> None:
    """Reset every signal to its default, but ignore SIGPIPE, and unblock all."""
    for number in range(1, _signal.NSIG):
        if number in _RESERVED_SIGNALS:
            syscalls.default_signal(number)
        elif number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def bind_handler(handler: Handler) -> None:
    """Drop to the privileges of an event handler, which is root within the app's bounds."""
    # A process group reaches beyond a PID namespace, and /dev/tty is the terminal of the session.
    os.setsid()
    leave_keyring()
    # It may lack the capability that loads a filter otherwise.
    strict = handler.no_new_privs or bool(handler.filter)
    give_up(handler.bounding, (0, 0, ()), no_new_privs=strict, filtered=bool(handler.filter), traced=True)


def execute_handler(handler: Handler) -> None:
    """Become an event handler, in this process's root. Reports a failure and returns."""
    path = handler.argv[0]
    wrong = complaint(path)
    try:
        confine(handler.filter)
        os.execve(path, handler.argv, dict(handler.environment))
    except OSError as err:
        complain(wrong or why_not(path, err))


def confine(filtered: bytes, *, passed: int = 0) -> None:
    """Close descriptors at exec and load the filter, after which no call but the exec may be relied upon.

    passed: the number of descriptors after stdio that the program inherits.
    """
    syscalls.close_range(_FIRST_FD + passed, _LAST_FD, syscalls.CLOSE_RANGE_CLOEXEC)
    if filtered:
        # Last of all: the filter is made for the app's calls, not for ours.
        syscalls.load_seccomp(filtered)


def go_to(path: str) -> None:
    """Change directory, within the app's root: a link of /proc could lead anywhere, such as to the root of PID 1.

    Raises NotStarted.
    """
    shown = printable(path)
    try:
        os.chdir(path)
        inside = os.getcwd().startswith("/")
    except OSError as err:
        raise NotStarted(
            f'cannot use the working directory "{shown}": {err.strerror}', CHDIR_FAILED, "working_dir"
        ) from err
    if not inside:
        raise NotStarted(
            f'cannot use the working directory "{shown}": it is outside of the app',
            CHDIR_FAILED,
            "working_dir",
        )


def complain(text: str) -> None:
    """Write an error to stderr, ignoring a failure to do so."""
    try:  # noqa: SIM105  # contextlib takes 3 ms of each start
        os.write(2, b"Error: %s\n" % frames.bounded(printable(text)))
    except OSError:
        pass


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


def _become(wires: ChildWires) -> None:
    take_terminal = terminal_taker(wires.tty)
    process, set_limits = _arrive(wires)
    if process.oom_score_adj is not None:
        set_oom_score(process.oom_score_adj)
    set_limits()  # while this process may still raise them
    join_users(wires.users)
    handler = _pre_start(process, wires) if process.pre_start else None
    # The handler may be what creates the directory.
    misplaced = None if handler or wires.waits else _change_directory(process)
    _lose_privileges(process)
    os.close(wires.held)
    # What waits for orders returns from here only in the processes that it forks.
    number = _serve(wires, handler) if wires.waits else 1
    if number == 1:
        _await_go(process, wires.go, misplaced)
    if handler:
        _run_pre_start(handler, number)
    os.setsid()
    take_terminal()
    if handler or wires.waits:
        go_to(process.working_directory)
    _find_program(process)
    environment = passing_sockets(len(wires.sockets), dict(process.environment))
    confine(process.filter, passed=len(wires.sockets))
    try:
        os.execve(process.argv[0], process.argv, environment)
    except OSError as err:
        raise NotStarted(why_not(process.argv[0], err), EXEC_FAILED, "exec") from err


def _arrive(wires: ChildWires) -> tuple[AppProcess, Callable[[], None]]:
    """Enter the app's cgroups and root, and take its standard files. Returns the plan and a setter of the limits."""
    default_signals()
    # Attaching waits for the kernel while the other processes work; the cgroup namespace has to come after it.
    join_groups(wires.procs)
    if wires.procs:
        syscalls.unshare(CLONE_NEWCGROUP)
    # The leaf is killed after each end of the app.
    join_groups(wires.home)
    leave_keyring()
    process = _read_plan(wires.told)
    set_limits = limits_setter(process.rlimits)
    enter_root(process.root)
    _stdio(wires)
    os.umask(_UMASK)
    # Only what stage1 itself needs stays open, before the image decides which program runs, and where.
    if wires.waits:
        _close_all((wires.told, wires.out, wires.err, wires.tty, wires.stdin, *wires.home))
    else:
        syscalls.close_range(max(wires.held, wires.users) + 1, _LAST_FD)
    return process, set_limits


def _change_directory(process: AppProcess) -> NotStarted | None:
    """Change to the working directory. Returns the failure, which is raised once the apps may start."""
    try:
        go_to(process.working_directory)
    except NotStarted as err:
        return err
    return None


def _await_go(process: AppProcess, go: int, misplaced: NotStarted | None) -> None:
    """Wait until all processes of the pod have dropped their privileges. Raises NotStarted."""
    signal = os.read(go, 1)
    if not signal:
        os._exit(1)
    os.close(go)
    if misplaced:
        raise misplaced
    if signal == sync.REHEARSE:
        _rehearse(process)


def _rehearse(process: AppProcess) -> NoReturn:
    """Look for the app's program as its user would, unless a pre-start handler may create it."""
    if not process.pre_start:
        _find_program(process)
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


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def _serve(wires: ChildWires, handler: PreStart | None) -> int:
    """Wait for orders to start the app. Returns in each of its processes, with the number of the start."""

    def join() -> None:
        join_groups(wires.procs)
        _close_all(wires.procs)

    return serve(wires.exec, wires.order, wires.go, join, handler.pid if handler else 0)


def _pre_start(process: AppProcess, wires: ChildWires) -> PreStart:
    """Fork the process of the pre-start handler.

    It is forked while this process is still root: later this process has no more rights than the app, since a handler
    may be able to trace it. Source: behaviours C18, attack-F3.
    """
    theirs, ours = sync.channel() if wires.waits else os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            handler = _handler_of(process)
            bind_handler(handler)
            os.close(wires.held)
            if wires.waits:
                _close_all((wires.exec, wires.go, wires.order))
                _serve_handlers(handler, theirs, wires.procs)
            elif os.read(theirs, 1):
                execute_handler(handler)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(EXEC_FAILED)
    os.close(theirs)
    return PreStart(pid, ours, wires.waits)


def _serve_handlers(handler: Handler, requests: int, procs: tuple[int, ...]) -> NoReturn:
    def run() -> None:
        join_groups(procs)
        _close_all(procs)
        execute_handler(handler)

    serve_handlers(requests, run)


def _run_pre_start(handler: PreStart, number: int) -> None:
    """Run the handler as root in the app's root, however long it takes. Raises NotStarted."""
    if handler.again:
        status = ask_handler(handler.fd, number)
        os.close(handler.fd)
    else:
        os.write(handler.fd, b"g")
        os.close(handler.fd)
        _pid, status = os.waitpid(handler.pid, 0)
    code = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if code:
        raise NotStarted(f"the pre-start handler ended with status {code}", code)


def _handler_of(process: AppProcess) -> Handler:
    return Handler(
        process.pre_start, process.environment, process.bounding, process.no_new_privs, process.filter
    )
