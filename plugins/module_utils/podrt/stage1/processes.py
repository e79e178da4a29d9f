# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pods of fly and of stage1 images have in common: a process that becomes the pod, in the pod's control groups.

The native stage1 forks its first process instead. Here the process that is called becomes it by exec, or, detached, a
child of it. All that it starts is in the pod's groups, by which it can be killed whatever it does.
"""

from __future__ import annotations

import _signal
import os
import select
import time

from ..contexts import suppress
from ..errors import HostFailure, PodError
from ..host.files import make_dirs_beneath, path_beneath
from ..pod import cgroups, documents
from ..pod.lifecycle import PodState
from .starter.stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ..host.dirs import PodDir
    from ..pod.lifecycle import Pod

_FAILED = 254
_POLL_SECONDS = 0.02
_LONGEST = 4096
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_LOG_MODE = 0o640


def join_groups(uuid: str, pod: PodDir) -> None:
    """Make the pod's control groups and move this process into them. Raises HostFailure."""
    try:
        planned = cgroups.plan_groups(uuid, in_service=bool(os.environ.get("INVOCATION_ID")))
        cgroups.record(pod, planned)
        for group in cgroups.make_groups(planned):
            cgroups.move(group.supervisor)
    except OSError as err:
        raise HostFailure.of("cannot move into the control groups of the pod", err) from err


def become(become_pod: Callable[[], NoReturn], pod: Pod, log: str) -> int:
    """Have a child of this process become the pod. Returns its PID once it has been executed.

    log: the file that its output is appended to. Raises HostFailure with the reason why it could not be executed.
    """
    make_dirs_beneath(os.path.dirname(log), pod.dir.path)
    with path_beneath(log, pod.dir.path) as path:
        out = os.open(path, _NEW_FILE, _LOG_MODE)
    told, telling = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(become_pod, out, telling)
    os.close(telling)
    os.close(out)
    reason = os.read(told, _LONGEST)
    os.close(told)
    if reason:
        os.waitpid(pid, 0)
        raise HostFailure(reason.decode(errors="replace"), uuid=pod.uuid)
    return pid


def _become(become_pod: Callable[[], NoReturn], out: int, telling: int) -> NoReturn:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, number in ((null, 0), (out, 1), (out, 2)):
            os.dup2(fd, number)
        become_pod()
    except (PodError, OSError) as err:
        known = err if isinstance(err, PodError) else HostFailure.of("cannot become the pod", err)
        os.write(telling, known.message.encode(errors="replace")[:_LONGEST])
    finally:
        os._exit(_FAILED)


def await_started(pod: Pod, pid: int, seconds: float) -> int | None:
    """Wait until a pod has recorded its PID 1, or the child that is its stage1 has ended.

    Returns the status of wait(2) if it has ended, None if it runs. Kills it if neither happens in time, and raises
    HostFailure.
    """
    end = time.monotonic() + seconds
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    try:
        while True:
            if poll.poll(_POLL_SECONDS * 1000):
                return os.waitpid(pid, 0)[1]
            with suppress(PodError, OSError):
                if documents.started_at(pod.dir) is not None and documents.read_pid(pod.dir) is not None:
                    return None
            if time.monotonic() > end:
                break
    finally:
        os.close(process)
    kill(pod)
    with suppress(ProcessLookupError):
        os.kill(pid, _signal.SIGKILL)
    os.waitpid(pid, 0)
    raise HostFailure(
        f"its stage1 has written neither pid nor ppid within {seconds:g} seconds, and was killed",
        "docs/devel/stage1-contract.md says what the entry run must do",
        uuid=pod.uuid,
    )


def kill(pod: Pod) -> None:
    """Kill every process in the pod's groups, and the recorded one if it holds the pod's lock. Raises PodError."""
    cgroups.remove_groups(cgroups.recorded(pod.dir))
    for pid in _recorded(pod):
        with suppress(ProcessLookupError, FileNotFoundError):
            process = os.pidfd_open(pid)
            try:
                if holds(pid, pod):
                    _signal.pidfd_send_signal(process, _signal.SIGKILL)
            finally:
                os.close(process)


def _recorded(pod: Pod) -> tuple[int, ...]:
    try:
        pid = documents.read_pid(pod.dir)
    except (PodError, OSError):
        return ()
    return (pid,) if pid and pod.state() is PodState.RUNNING else ()


def keep_lock(pod: Pod) -> int:
    """Let the next program inherit the pod's lock. Returns the number of the descriptor."""
    os.set_inheritable(pod.fd, True)
    return pod.fd
