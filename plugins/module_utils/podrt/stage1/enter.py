# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry enter of stage1: a command in the namespaces of a pod and the root of an app.

Source: behaviours A45, A46.
"""

from __future__ import annotations

import contextlib
import os

from ..errors import Conflict, HostFailure, PodError
from ..host import syscalls
from ..host.files import read_bytes
from ..host.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
)
from ..pod import documents
from . import cgroups
from .execution import EXEC_FAILED, complaint, pass_on, program_path, why_not
from .stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from ..host.host import Host
    from ..pod.lifecycle import Pod

_SPACES = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWCGROUP
_PASSED_ON = ("LISTEN_FDS", "LISTEN_PID")


def enter(_host: Host, pod: Pod, app: str, argv: Sequence[str], term: str) -> int:
    """Run argv as root in an app of a running pod, on this process's terminal; its exit status.

    A command that is killed by a signal ends this process by the same one. Raises Conflict, NotFound, HostFailure.
    """
    pid = documents.await_pid(pod)
    if pid is None or not holds(pid, pod):
        raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid)
    environment = _environment(pod, app, term)
    root = pod.dir.app_root(app)
    _join_cgroups(pod, app)
    try:
        # What is behind our own /proc entries is nothing to those who share the PID namespace from now on.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        process = os.pidfd_open(pid)
        syscalls.setns(process, _SPACES)
        os.close(process)
        os.chroot(root)
        os.chdir("/")
    except OSError as err:
        raise HostFailure.of(f'cannot enter app "{app}" of pod "{pod.uuid}"', err) from err
    child = os.fork()
    if child == 0:
        _execute(argv, environment)
    return pass_on(os.waitpid(child, 0)[1])


def _environment(pod: Pod, app: str, term: str) -> dict[str, str]:
    """The app's, from the file that stage1 wrote for it, and TERM."""
    try:
        lines = read_bytes(pod.dir.app_env(app)).decode(errors="surrogateescape").split("\0")
    except OSError as err:
        raise HostFailure.of(f'cannot read the environment of app "{app}"', err) from err
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    found["TERM"] = term
    found.update({name: os.environ[name] for name in _PASSED_ON if name in os.environ})
    return found


def _join_cgroups(pod: Pod, app: str) -> None:
    """Count as the app's, so that its limits hold; a hierarchy that refuses is one limit less, not an error."""
    for group in cgroups.recorded(pod.dir):
        with contextlib.suppress(OSError):
            fd = cgroups.procs_fd(f"{group}/{app}")
            try:
                cgroups.attach((fd,), 0)
            finally:
                os.close(fd)


def _execute(argv: Sequence[str], environment: dict[str, str]) -> NoReturn:
    try:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        path = program_path(root, argv[0], environment.get("PATH"), "/")
        os.setgroups(())
        try:
            os.execve(path, (path, *argv[1:]), environment)
        except OSError as err:
            _say(complaint(path) or why_not(path, err))
    except PodError as err:
        _say(err.message)
    finally:
        os._exit(EXEC_FAILED)


def _say(text: str) -> None:
    os.write(2, f"enter: {text}\n".encode(errors="replace"))
