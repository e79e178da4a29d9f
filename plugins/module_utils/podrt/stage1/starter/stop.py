# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry stop of stage1: a signal to a pod's PID 1. Source: behaviours A42, D12."""

from __future__ import annotations

import _signal
import os

from ...errors import Conflict, Corrupt, HostFailure
from ...host.reading import kernel_text_or
from ...pod import documents
from ...pod.lifecycle import PodState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...pod.lifecycle import Pod


def stop(pod: Pod, *, force: bool) -> None:
    """Ask a running pod to stop, or with force kill it; does not wait. It may end meanwhile.

    Raises Conflict when the pod is still without a PID 1, HostFailure.
    """
    pid = supervisor_of(pod)
    if pid is None:
        if pod.state() is PodState.RUNNING:
            raise Conflict(f'pod "{pod.uuid}" is still being started', "try again in a moment", uuid=pod.uuid)
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The pidfd pins the process; whether it is the pod's is checked only now.
        if holds(pid, pod):
            _signal.pidfd_send_signal(process, _signal.SIGKILL if force else _signal.SIGTERM)
    except ProcessLookupError:
        return
    except OSError as err:
        raise HostFailure.of(f'cannot stop pod "{pod.uuid}"', err) from err
    finally:
        os.close(process)


def supervisor_of(pod: Pod) -> int | None:
    """The PID of a running pod's PID 1, waited for while it starts; None when it has ended or takes longer.

    If the document is damaged it is searched for: a PID 1 of a namespace that holds the pod's directory. Raises Corrupt
    if there is no such process.
    """
    try:
        pid = documents.await_pid(pod)
    except Corrupt:
        pid = _search(pod)
        if pid is None:
            raise
        return pid
    return pid if pid is None or holds(pid, pod) else _search(pod) or pid


def _search(pod: Pod) -> int | None:
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return next((pid for pid in pids if _is_first(pid) and holds(pid, pod)), None)


def _is_first(pid: int) -> bool:
    """Whether a process is the PID 1 of another PID namespace."""
    status = kernel_text_or(f"/proc/{pid}/status", "")
    words = status.partition("\nNSpid:")[2].partition("\n")[0].split()
    return len(words) > 1 and words[-1] == "1"


def holds(pid: int, pod: Pod) -> bool:
    """Whether a process holds the pod's directory open, as its supervisor does for the lock."""
    wanted = os.fstat(pod.fd)
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError:
        return False
    for number in numbers:
        try:
            held = os.stat(f"/proc/{pid}/fd/{number}")
        except FileNotFoundError:
            continue
        if (held.st_dev, held.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False
