# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command in a running app: the program that enter becomes, which stays outside, and its child, which goes in.

The interpreter is on a read-only mount by then, and nothing of the caller goes along but standard files that are no
terminals: those are replaced by one that the caller's keys are carried to. Source: behaviours A45, A46.
"""

from __future__ import annotations

import _signal
import fcntl
import marshal
import os
import termios

from ..errors import PodError
from ..host import syscalls
from ..host.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
)
from ..value import Value
from .app import enter_root, join_groups
from .execution import EXEC_FAILED, complaint, pass_on, program_path, why_not
from .terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SPACES = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWCGROUP
_PASSED_ON = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
_FIRST_FD, _LAST_FD = 3, (1 << 32) - 1
# Where a terminal of the caller is, in the order in which one would show what the command says.
_STDIO = (1, 2, 0)


class Command(Value):
    """What is run, and where. passed: how many descriptors from 3 on are the command's."""

    app: str
    root: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    passed: int = 0


def main(plan: bytes, fds: tuple[int, ...]) -> NoReturn:
    """Run the command that plan describes, and end as it does. fds: PID 1, and cgroup.procs of the app's leaves."""
    command = Command(*marshal.loads(plan))
    pid_1, *procs = fds
    terminals = [number for number in _STDIO if os.isatty(number)]
    terminal = Terminal(terminals[0]) if terminals else None
    # What is behind our own /proc entries is nothing to those who share the PID namespace with the child.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    try:
        syscalls.setns(pid_1, CLONE_NEWPID)
        child = os.fork()
    except OSError as err:
        _fail(f'cannot enter app "{command.app}": {err.strerror}')
    if child == 0:
        _become(command, pid_1, tuple(procs), terminal, terminals)
    for number in _PASSED_ON:
        _signal.signal(number, lambda number, _frame: os.kill(child, number))
    if terminal:
        terminal.relay(child)
    os._exit(pass_on(os.waitpid(child, 0)[1]))


def _become(
    command: Command, pid_1: int, procs: tuple[int, ...], terminal: Terminal | None, terminals: list[int]
) -> NoReturn:
    try:
        # Without it /dev/tty would be the caller's terminal, and a process with capabilities could type into it.
        os.setsid()
        if terminal:
            for number in terminals:
                os.dup2(terminal.slave, number)
            fcntl.ioctl(terminal.slave, termios.TIOCSCTTY, 0)
        join_groups(procs)
        syscalls.setns(pid_1, _SPACES)
        if procs:
            syscalls.unshare(CLONE_NEWCGROUP)
        enter_root(command.root)
        syscalls.close_range(_FIRST_FD + command.passed, _LAST_FD)
    except OSError as err:
        _fail(f'cannot enter app "{command.app}": {err.strerror}')
    _execute(command)


def _execute(command: Command) -> NoReturn:
    environment = dict(command.environment)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = program_path(root, command.argv[0], environment.get("PATH"), "/")
    except PodError as err:
        _fail(err.message)
    os.setgroups(())
    try:
        os.execve(path, (path, *command.argv[1:]), environment)
    except OSError as err:
        _fail(complaint(path) or why_not(path, err))


def _fail(text: str) -> NoReturn:
    try:
        os.write(2, f"enter: {text}\n".encode(errors="replace"))
    finally:
        os._exit(EXEC_FAILED)
