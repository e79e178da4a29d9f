# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that becomes an app: goes into its root, gives up what the app may not have, executes it.

It is forked by what becomes PID 1 and executes the interpreter anew from a read-only mount: a program of an image that
names /proc/self/exe as its interpreter gets hold of no more than that (CVE-2019-5736). That takes its time, so it is
done while the app's root is built, and the process is told afterwards what it shall be. From then on it imports
nothing: in the app's root the interpreter's library is the image's. Order matters throughout; each place says why.

An app with CAP_SYS_PTRACE can be whatever it sees in the pod's PID namespace. So nothing of an image is executed in the
pod before all of these processes have given up what they may not keep: see ChildWires.held.
Source: behaviours C12 to C19, C47 to C57.
"""

from __future__ import annotations

import _signal
import fcntl
import marshal
import os
import sys

from ...errors import HostFailure, PodError, printable
from ...host import syscalls
from ...host.execution import CHDIR_FAILED, EXEC_FAILED, complaint, why_not
from ...host.syscalls import CLONE_NEWCGROUP, CLONE_NEWNS, MS_REC, MS_SHARED, MS_SLAVE
from ...value import Value
from ..pid1 import frames
from ..plan import roots
from . import sync
from .interpreter import read_no_code
from .program import execute_module
from .rights import give_up, leave_keyring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ...host.identity import Identity
    from ..plan.sandbox import Launch

_UMASK = 0o022
_SETUP_FAILED = 254
_STDIO = (0, 1, 2)
_FIRST_FD, _LAST_FD = 3, (1 << 32) - 1
# The C library keeps these two for its threads; whoever started us may still have had them ignored.
_RESERVED_SIGNALS = (32, 33)


class ChildWires(Value):
    """The descriptors of an app's child.

    exec: tells how the start went and ends with it. go: a byte from it is the leave to start. held: an end of a pipe
    that each process of the pod closes when it has no more rights than it shall have; the starter gives no leave before
    the last one has. told: what the process shall be. out and err: -1 leaves what this process has. tty: the app's
    terminal, which is among its standard files, -1 without. procs: cgroup.procs of the app's leaves.
    """

    exec: int
    go: int
    held: int
    told: int
    out: int
    err: int
    tty: int = -1
    procs: tuple[int, ...] = ()


class Resolved(Value):
    """What was looked up in the app's root: programs with their arguments, and who runs them."""

    argv: tuple[str, ...]
    pre_start: tuple[str, ...]
    post_stop: tuple[str, ...]
    identity: Identity


class AppProcess(Value):
    """All that the process of an app is told: plain values, since another interpreter reads them.

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
    """An event handler, in the bounds of its app: plain values as well."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    bounding: int
    no_new_privs: bool
    filter: bytes


class NotStarted(Exception):
    """The app itself cannot be started; the pod goes on without it, or ends with this status.

    field: what of the app's description does not fit its image, "" for something else.
    """

    def __init__(self, text: str, status: int, field: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.field = field


def plan_of(launch: Launch, resolved: Resolved, root: str) -> bytes:
    """What the process of an app is told, once its root is there."""
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
    """Turn this child into an app, whichever it is told. Ends the process when that fails, and says why."""
    fds = (wires.exec, wires.go, wires.held, wires.told, wires.out, wires.err, wires.tty, *wires.procs)
    _end_with(wires.exec, lambda: execute_module("app", b"", fds))


def main(_plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Become the app that the wires tell of. The program of execute_module."""
    said, go, held, told, out, err, tty, *procs = keep_only(fds)
    _end_with(said, lambda: _become(ChildWires(said, go, held, told, out, err, tty, tuple(procs))))


def keep_only(fds: tuple[int, ...]) -> tuple[int, ...]:
    """Close every descriptor but stdio and these, and have these closed at exec; their numbers from now on.

    Whatever else is open could be named by /proc/self/fd, also by the working directory and by the program of an app
    (CVE-2024-21626). They are the lowest numbers, -1 stays.
    """
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD + len(fds)) for fd in fds if fd >= 0]
    for number, fd in enumerate(aside, _FIRST_FD):
        os.dup2(fd, number, inheritable=False)
    syscalls.close_range(_FIRST_FD + len(aside), _LAST_FD)
    numbers = iter(range(_FIRST_FD, _FIRST_FD + len(aside)))
    return tuple(next(numbers) if fd >= 0 else -1 for fd in fds)


def enter_root(root: str) -> None:
    """Make root the root of a mount namespace of this process's own, and forget the rest."""
    read_no_code()
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_SLAVE)
    os.chdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
    syscalls.mount("", "/", "", MS_REC | MS_SHARED)


def join_groups(procs: tuple[int, ...]) -> None:
    """Move this process into the groups of these descriptors."""
    for fd in procs:
        os.write(fd, b"0")


def limits_setter(rlimits: tuple[tuple[str, int, int, int], ...]) -> Callable[[], None]:
    """What sets resource limits of this process. Its import, for which there is no library later, is done here."""
    if not rlimits:
        return lambda: None
    import resource

    def set_all() -> None:
        for name, number, soft, hard in rlimits:
            try:
                resource.setrlimit(number, (soft, hard))
            except (ValueError, OSError) as err:
                raise HostFailure(
                    f"cannot set the resource limit {name} to {soft}, and at most {hard}: {err}",
                    "take less in ulimits; the kernel has limits of its own, such as fs.nr_open for nofile",
                ) from err

    return set_all


def terminal_taker(tty: int) -> Callable[[], None]:
    """What makes the terminal among the standard files that of this session; tty: -1 without. Imported here as well."""
    if tty < 0:
        return lambda: None
    import termios

    def take() -> None:
        fcntl.ioctl(next(filter(os.isatty, _STDIO)), termios.TIOCSCTTY, 0)

    return take


def set_oom_score(score: int) -> None:
    """How readily the kernel ends this process for memory, -1000 to 1000. Raises HostFailure."""
    try:
        # Were it not what it is meant to be, it could be a pipe that lets us wait.
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.write(fd, str(score).encode())
        os.close(fd)
    except OSError as err:
        raise HostFailure.of(f"cannot set the OOM score to {score}", err) from err


def default_signals() -> None:
    """Every signal as a new program expects it, but SIGPIPE ignored, and none blocked."""
    for number in range(1, _signal.NSIG):
        if number in _RESERVED_SIGNALS:
            syscalls.default_signal(number)
        elif number not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def bind_handler(handler: Handler) -> None:
    """Have the rights of an event handler, which is root within the app's bounds."""
    # A process group reaches beyond a PID namespace, and /dev/tty is the terminal of the session.
    os.setsid()
    leave_keyring()
    # It may have no capability that would load a filter otherwise.
    strict = handler.no_new_privs or bool(handler.filter)
    give_up(handler.bounding, (0, 0, ()), no_new_privs=strict, filtered=bool(handler.filter), traced=True)


def execute_handler(handler: Handler) -> None:
    """Become an event handler, in the root that this process is in. Returns when that cannot be, and has said why."""
    path = handler.argv[0]
    wrong = complaint(path)
    try:
        confine(handler.filter)
        os.execve(path, handler.argv, dict(handler.environment))
    except OSError as err:
        complain(wrong or why_not(path, err))


def confine(filtered: bytes, *, passed: int = 0) -> None:
    """The last things before an exec, after which only the exec itself may be relied upon.

    passed: how many descriptors behind stdio are the program's.
    """
    syscalls.close_range(_FIRST_FD + passed, _LAST_FD, syscalls.CLOSE_RANGE_CLOEXEC)
    if filtered:
        # Last of all: the filter knows what the app may call, not what we do.
        syscalls.load_seccomp(filtered)


def go_to(path: str) -> None:
    """Change directory, unless that is not in the app's root: a link of /proc leads anywhere, as PID 1's own root.

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
    """Tell on standard error, be it as it may."""
    try:  # noqa: SIM105  # contextlib takes 3 ms of each start
        os.write(2, b"Error: %s\n" % frames.bounded(printable(text)))
    except OSError:
        pass


def _end_with(said: int, become: Callable[[], object]) -> NoReturn:
    """Do what replaces this process, or end it, having said why not."""
    status = _SETUP_FAILED
    try:
        become()
    except NotStarted as err:
        status = err.status
        complain(err.text)
        sync.send(said, frames.NOT_EXECUTED, err.text, err.field)
    except PodError as err:
        sync.send_failure(said, err)
    except OSError as err:
        sync.send_failure(said, HostFailure.of("cannot set up an app", err))
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
    handler = _await_leave_to_handle(process, wires.held) if process.pre_start else None
    # A handler may be what makes the directory.
    misplaced = None if handler else _go_where_it_works(process)
    _lose_privileges(process)
    os.close(wires.held)
    _await_leave(process, wires.go, misplaced)
    if handler:
        _pre_start(*handler)
    os.setsid()
    take_terminal()
    if handler:
        go_to(process.working_directory)
    _find_program(process)
    confine(process.filter)
    try:
        os.execve(process.argv[0], process.argv, dict(process.environment))
    except OSError as err:
        raise NotStarted(why_not(process.argv[0], err), EXEC_FAILED, "exec") from err


def _arrive(wires: ChildWires) -> tuple[AppProcess, Callable[[], None]]:
    """Go where the app is: into its groups, its root and its standard files; what this process shall be.

    And what sets its limits.
    """
    default_signals()
    # The attach waits for the kernel, all others meanwhile do something else; the namespace shows what comes after.
    join_groups(wires.procs)
    if wires.procs:
        syscalls.unshare(CLONE_NEWCGROUP)
    leave_keyring()
    process = _hear(wires.told)
    set_limits = limits_setter(process.rlimits)
    enter_root(process.root)
    _stdio(wires)
    os.umask(_UMASK)
    # Only what stage1 itself needs stays open: before the image decides what is run, and where.
    syscalls.close_range(wires.held + 1, _LAST_FD)
    return process, set_limits


def _go_where_it_works(process: AppProcess) -> NotStarted | None:
    """Change into the working directory; why that cannot be, which is no matter before the others may start."""
    try:
        go_to(process.working_directory)
    except NotStarted as err:
        return err
    return None


def _await_leave(process: AppProcess, go: int, misplaced: NotStarted | None) -> None:
    """Wait until all processes of the pod have given up their rights. Raises NotStarted."""
    leave = os.read(go, 1)
    if not leave:
        os._exit(1)
    os.close(go)
    if misplaced:
        raise misplaced
    if leave == sync.REHEARSE:
        _rehearse(process)


def _rehearse(process: AppProcess) -> NoReturn:
    """Look for the app's program as its user would. A pre-start handler may be what makes it."""
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


def _hear(told: int) -> AppProcess:
    with open(told, "rb", buffering=0, closefd=False) as file:
        plan = file.read()
    if not plan:
        os._exit(1)  # PID 1 has gone
    return AppProcess(*marshal.loads(plan))


def _stdio(wires: ChildWires) -> None:
    """What this process has are the caller's files, or /dev/null as PID 1 has it, which the app may not change."""
    if wires.out < 0:
        return
    for fd, number in ((roots.open_null(), 0), (wires.out, 1), (wires.err, 2)):
        if fd >= 0:
            os.dup2(fd, number)


def _await_leave_to_handle(process: AppProcess, held: int) -> tuple[int, int]:
    """Fork the pre-start handler, which gives up its rights and waits; its PID, and what its leave is written to.

    It is forked while there still is a root to be: what waits for it will have no more rights than the app, since a
    handler may be able to trace. Source: behaviours C18, attack-F3.
    """
    leave, given = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(given)
            handler = _handler_of(process)
            bind_handler(handler)
            os.close(held)
            if os.read(leave, 1):
                execute_handler(handler)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(EXEC_FAILED)
    os.close(leave)
    return pid, given


def _pre_start(pid: int, given: int) -> None:
    """Have the handler run as root in the app's root, however long it takes. Raises NotStarted."""
    os.write(given, b"g")
    os.close(given)
    _pid, status = os.waitpid(pid, 0)
    code = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    if code:
        raise NotStarted(f"the pre-start handler ended with status {code}", code)


def _handler_of(process: AppProcess) -> Handler:
    return Handler(
        process.pre_start, process.environment, process.bounding, process.no_new_privs, process.filter
    )
