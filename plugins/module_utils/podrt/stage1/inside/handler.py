# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A post-stop handler: a program that the supervisor starts after an app has ended.

It joins the app's cgroups first, so that the handler has the app's limits. It stays in the mount namespace of the
supervisor, which may not create another: chroot(2) is enough, as that namespace has only the roots of the pod's apps
and the interpreter. Source: behaviours C18.
"""

from __future__ import annotations

import _socket
import marshal
import os
import sys

from ...host import syscalls
from ...host.files import write_all
from . import sync
from .handling import Handler, bind_handler, execute_handler
from .interpreter import read_no_code
from .process import default_signals, join_groups, join_users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..plan.sandbox import Launch

_PROGRAM = """import sys; sys.path.insert(0, sys.argv[1])
from podrt.stage1.inside.handler import main
main(int(sys.argv[2]))"""
_FAILED = 203
# More than the hierarchies of any host. Source: unix(7), SCM_MAX_FD.
_MOST_FDS = 250
_FIRST_FD = 3


def argv_of(python: str, runtime: str) -> list[str]:
    """The argv by which the supervisor starts this program, without the last word: the descriptor to read."""
    return [python, "-I", "-S", "-c", _PROGRAM, runtime]


def wire(launch: Launch, argv: tuple[str, ...], root: str, procs: tuple[int, ...], users: int) -> int:
    """A socket for main to read, with the plan and copies of procs, by which the handler joins the cgroups.

    users: the namespace of the pod's own users, or -1.

    So the supervisor keeps one descriptor for each handler, and no other process can read its content.
    """
    rights = (launch.bounding, launch.no_new_privs, launch.filter, launch.labels)
    handler = Handler(argv, launch.environment, *rights)
    plan = os.memfd_create("post-stop", os.MFD_CLOEXEC)
    joined = (*procs, users) if users >= 0 else procs
    write_all(plan, marshal.dumps((root, users >= 0, handler.row())))  # type: ignore[arg-type]  # plain values
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    ours.sendmsg([b"\0"], [sync.passing((plan, *joined))])
    ours.close()
    os.close(plan)
    return theirs.detach()


def main(wire_fd: int) -> None:
    """Enter the app's cgroups and root and become the handler. Does not return."""
    try:
        plan, *procs = _receive(wire_fd)
        root, own_users, row = marshal.loads(os.pread(plan, os.fstat(plan).st_size, 0))
        users = procs.pop() if own_users else -1
        default_signals()
        join_groups(tuple(procs))
        join_users(users)
        # Nothing of the host may be open in the app's root, where /proc/self/fd would name it.
        syscalls.close_range(_FIRST_FD)
        read_no_code()
        os.chroot(root)
        os.chdir("/")
        handler = Handler(*row)
        bind_handler(handler)
        execute_handler(handler)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(_FAILED)


def _receive(fd: int) -> tuple[int, ...]:
    # It stays there, with its descriptors, for the handler of the app's next end.
    peek = _socket.MSG_PEEK
    ancillary = _socket.socket(fileno=fd).recvmsg(1, _socket.CMSG_SPACE(sync.FD_BYTES * _MOST_FDS), peek)[1]
    return sync.passed(ancillary[0][2])
