# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Event handlers as processes: bound to the privileges of their app, and the one that runs before the app.

Nothing is imported here once the root is the app's, see app. Source: behaviours C18, attack-F3.
"""

from __future__ import annotations

import os
import sys

from ...host.execution import EXEC_FAILED, complaint, why_not
from ...value import Value
from . import sync
from .process import NotStarted, complain, confine, join_groups, join_users
from .rights import give_up, leave_keyring
from .waiting import PreStart, ask_handler, enter_pids, move_in, serve_handlers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .labels import Labels
    from .wires import ChildWires


class Handler(Value):
    """An event handler, in the bounds of its app; plain values as well."""

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    bounding: int
    no_new_privs: bool
    filter: bytes
    labels: Labels


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
        confine(handler.filter, handler.labels)
        os.execve(path, handler.argv, dict(handler.environment))
    except OSError as err:
        complain(wrong or why_not(path, err))


def pre_start(handler: Handler, wires: ChildWires) -> PreStart:
    """Fork the process of the pre-start handler.

    It is forked while this process is still root: later this process has no more rights than the app, since a handler
    may be able to trace it.
    """
    theirs, ours = sync.channel() if wires.served else os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            enter_pids(wires.pids)
            join_users(wires.users)
            bind_handler(handler)
            os.close(wires.held)
            if wires.served:
                wires.close(wires.exec, wires.go, wires.order)
                if wires.pids >= 0:
                    move_in(-1)
                _serve_handlers(handler, theirs, wires)
            elif os.read(theirs, 1):
                execute_handler(handler)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(EXEC_FAILED)
    os.close(theirs)
    return PreStart(0 if wires.pids >= 0 else pid, ours, wires.served)


def run_pre_start(handler: PreStart, number: int) -> None:
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


def _serve_handlers(handler: Handler, requests: int, wires: ChildWires) -> NoReturn:
    # A process that does not wait is in the leaf of the app already.
    procs = wires.procs if wires.waits else ()

    def run() -> None:
        join_groups(procs)
        wires.close(*procs)
        execute_handler(handler)

    serve_handlers(requests, run)
