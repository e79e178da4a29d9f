# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry enter of stage1: a command in the namespaces of a pod and the root of an app.

Source: behaviours A45, A46.
"""

from __future__ import annotations

import contextlib
import marshal
import os

from ..errors import Conflict, HostFailure
from ..host import syscalls
from ..host.reading import read_bytes
from ..host.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC
from ..pod import cgroups, documents
from .command import Command
from .program import execute_module
from .stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from ..host.host import Host
    from ..pod.lifecycle import Pod

_PASSED_FDS, _PASSED_PID = "LISTEN_FDS", "LISTEN_PID"


def enter(_host: Host, pod: Pod, app: str, argv: Sequence[str], term: str) -> NoReturn:
    """Become the program that runs argv as root in an app of a running pod, on this process's terminal.

    It ends with the status of the command, or by the signal that killed it. Raises Conflict, HostFailure.
    """
    pid = documents.await_pid(pod)
    if pid is None or not holds(pid, pod):
        raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid)
    command = Command(app, pod.dir.app_root(app), tuple(argv), _environment(pod, app, term), _passed())
    try:
        fds = (os.pidfd_open(pid), *_leaves(pod, app))
        _look_only()
        execute_module("command", marshal.dumps(tuple(vars(command).values())), fds)
    except OSError as err:
        raise HostFailure.of(f'cannot enter app "{app}" of pod "{pod.uuid}"', err) from err


def _environment(pod: Pod, app: str, term: str) -> tuple[tuple[str, str], ...]:
    """The app's, from the file that stage1 wrote for it, and TERM."""
    try:
        lines = (
            read_bytes(pod.dir.app_env(app), beneath=pod.dir.path)
            .decode(errors="surrogateescape")
            .split("\0")
        )
    except OSError as err:
        raise HostFailure.of(f'cannot read the environment of app "{app}"', err) from err
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    found["TERM"] = term
    found.update({name: os.environ[name] for name in (_PASSED_FDS, _PASSED_PID) if name in os.environ})
    return tuple(found.items())


def _passed() -> int:
    """How many sockets of the caller are meant for the command. Source: sd_listen_fds(3)."""
    text = os.environ.get(_PASSED_FDS, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _leaves(pod: Pod, app: str) -> list[int]:
    """What moves a process into the app's groups, so that its limits hold; what is refused is one limit less."""
    found = []
    for group in cgroups.recorded(pod.dir):
        with contextlib.suppress(OSError):
            found.append(cgroups.procs_fd(f"{group}/{app}"))
    return found


def _look_only() -> None:
    """Have all of the host read-only, above all the interpreter: the app's programs can get hold of it by /proc."""
    syscalls.unshare(CLONE_NEWNS)
    syscalls.mount("", "/", "", MS_REC | MS_PRIVATE)
    top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    syscalls.mount_setattr(top, syscalls.AT_RECURSIVE, syscalls.MOUNT_ATTR_RDONLY)
    os.close(top)
