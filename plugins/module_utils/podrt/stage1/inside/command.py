# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command in a running app: the program that enter becomes stays outside, its child joins the app's namespaces, and
a child of that is in the app's PID namespace as well and becomes the command.

The interpreter is on a read-only mount by then. Of the caller, only standard files that are not terminals are passed
on: terminals are replaced by one to which the caller's keys are relayed. The process that the apps can see has dropped
its privileges: an app that may trace it gains nothing. Source: behaviours A45, A46; attack-F2.
"""

from __future__ import annotations

import _signal
import fcntl
import marshal
import os
import resource
import termios

from ...errors import PodError, printable
from ...host import syscalls
from ...host.execution import EXEC_FAILED, complaint, pass_on, program_path, why_no_process, why_not
from ...host.identity import identity_of
from ...host.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
)
from ...value import Value
from ..plan.roots import MountedRoot
from .process import (
    NotStarted,
    confine,
    default_signals,
    enter_root,
    go_to,
    join_groups,
    join_users,
)
from .rights import give_up, leave_keyring
from .terminal import Terminal, standard_terminals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .labels import Labels

    # Number, soft, hard.
    ResourceLimits = tuple[tuple[int, int, int], ...]

_SPACES = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWCGROUP
_PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
_FIRST_FD = 3
_UMASK = 0o022
# Source: getrlimit(2), linux/resource.h.
_LIMITS = range(16)


class EnteredCommand(Value):
    """A command with its app, its user and its bounds.

    docker: see identity_of. rlimits: of the app alone. pid: the pod's PID 1, whose limits the app has otherwise.
    passed: the number of descriptors from 3 on that the command inherits. traced: see Launch. users: the number of the
    pod's own users, 0 if it has the host's.
    """

    app: str
    root: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    working_directory: str
    user: str
    group: str
    groups: tuple[int, ...]
    docker: bool
    bounding: int
    no_new_privs: bool
    filter: bytes
    rlimits: tuple[tuple[str, int, int, int], ...]
    traced: bool
    pid: int
    passed: int
    labels: Labels = ()
    users: int = 0


def main(plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Run the command of the plan, and end as it does.

    fds: PID 1, the namespace of the pod's own users or -1, and those to join the app's leaf cgroups.
    """
    command = EnteredCommand(*marshal.loads(plan))
    terminals = standard_terminals()
    terminal = Terminal(terminals) if terminals else None
    # Closes our /proc entries to processes that share the PID namespace with the command.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    # Blocked until they can be passed on: one that arrives earlier stays pending.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _PASSED_ON)
    child = _fork(command)
    if child == 0:
        try:
            _go_in(command, fds, terminal)
        except BaseException as err:  # a bug; showing a traceback would read files of the app
            _fail(f'cannot enter app "{command.app}": {type(err).__name__}: {err}')
    _end_as(child, terminal)


def _fork(command: EnteredCommand) -> int:
    try:
        return os.fork()
    except OSError as err:
        _fail(f'cannot enter app "{command.app}": {err.strerror}')


def _end_as(child: int, terminal: Terminal | None = None) -> NoReturn:
    """Pass signals on to a child, and end as it does."""
    for number in _PASSED_ON:
        _signal.signal(number, lambda number, _frame: _pass(child, number))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _PASSED_ON)
    if terminal:
        terminal.relay(child)
    os._exit(pass_on(os.waitpid(child, 0)[1]))


def _pass(child: int, number: int) -> None:
    try:  # noqa: SIM105  # this process may be in a root without contextlib
        os.kill(child, number)
    except OSError:
        pass  # it has ended, or has become another user


def _go_in(command: EnteredCommand, fds: tuple[int, ...], terminal: Terminal | None) -> NoReturn:
    """Drop the privileges that the command may not have, then fork the child that becomes it in the pod's sight."""
    pid_1, users, *procs = fds
    try:
        if terminal:
            for number in terminal.replaced:
                os.dup2(terminal.slave, number)
        leave_keyring()
        limits = _raise_limits(command.pid, command.rlimits)
        join_groups(tuple(procs))
        syscalls.setns(pid_1, CLONE_NEWPID)
        syscalls.setns(pid_1, _SPACES)
        if procs:
            syscalls.unshare(CLONE_NEWCGROUP)
        if not os.path.ismount(command.root):
            raise NotStarted(f'cannot enter app "{command.app}": it is not running', EXEC_FAILED)
        enter_root(command.root)
        join_users(users)
        syscalls.close_range(_FIRST_FD + command.passed)
        os.umask(_UMASK)
        path = _settle(command)
        child = os.fork()
    except NotStarted as err:
        _fail(err.text)
    except PodError as err:
        _fail(err.message)
    except OSError as err:
        _fail(f'cannot enter app "{command.app}": {why_no_process(err)}')
    if child == 0:
        _execute(command, path, limits, terminal)
    _end_as(child)


def _settle(command: EnteredCommand) -> str:
    """Become the command's user, in its directory. Returns the path of its program. Raises NotStarted, PodError."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    root = MountedRoot(fd)
    who = identity_of(root, command.user, command.group, command.groups, docker=command.docker)
    search = dict(command.environment).get("PATH")
    path = program_path(root, command.argv[0], search, command.working_directory)
    os.close(fd)
    if command.users:
        who.check_within(command.users)
    go_to(command.working_directory)
    give_up(
        command.bounding,
        (who.uid, who.gid, who.groups),
        no_new_privs=command.no_new_privs,
        filtered=bool(command.filter),
        traced=command.traced,
    )
    return path


def _execute(
    command: EnteredCommand, path: str, limits: ResourceLimits, terminal: Terminal | None
) -> NoReturn:
    try:
        # Otherwise /dev/tty would be the caller's terminal, and a process with capabilities could type into it.
        os.setsid()
        if terminal:
            fcntl.ioctl(terminal.replaced[0], termios.TIOCSCTTY, 0)
        default_signals()
        wrong = complaint(path)
        for number, soft, hard in limits:
            resource.setrlimit(number, (soft, hard))
        confine(command.filter, command.labels, passed=command.passed)
    except OSError as err:
        _fail(f'cannot enter app "{command.app}": {err.strerror}')
    try:
        os.execve(path, (path, *command.argv[1:]), dict(command.environment))
    except OSError as err:
        _fail(wrong or why_not(path, err))


def _raise_limits(pid: int, own: tuple[tuple[str, int, int, int], ...]) -> ResourceLimits:
    """Raise this process's limits to those that the app was started with. Returns the app's, which may be lower.

    own: the app's limits in place of those of PID 1. Lower ones are for the command alone: an app that is root and has
    no filter may have set those of PID 1 too low for any work.
    """
    lower = []
    limits = {number: (soft, hard) for _name, number, soft, hard in own}
    for number in _LIMITS:
        soft, hard = limits.get(number) or resource.prlimit(pid, number)
        own_soft, own_hard = resource.getrlimit(number)
        if _is_more(hard, own_hard) or _is_more(soft, own_soft):
            own_hard = _raise(number, _higher(soft, own_soft), _higher(hard, own_hard))
        hard = own_hard if _is_more(hard, own_hard) else hard
        lower.append((number, hard if _is_more(soft, hard) else soft, hard))
    return tuple(lower)


def _raise(number: int, soft: int, hard: int) -> int:
    """Set a limit as far as this process may. Returns the hard limit that it has then."""
    try:
        resource.setrlimit(number, (soft, hard))
    except ValueError:
        hard = resource.getrlimit(number)[1]
        resource.setrlimit(number, (hard if _is_more(soft, hard) else soft, hard))
    return hard


def _higher(one: int, other: int) -> int:
    return one if _is_more(one, other) else other


def _is_more(one: int, other: int) -> bool:
    """Whether a limit is above another. Source: setrlimit(2), where infinity is a special number."""
    if resource.RLIM_INFINITY in (one, other):
        return one == resource.RLIM_INFINITY != other
    return one > other


def _fail(text: str) -> NoReturn:
    try:
        os.write(2, f"enter: {printable(text)}\n".encode(errors="replace"))
    finally:
        os._exit(EXEC_FAILED)
