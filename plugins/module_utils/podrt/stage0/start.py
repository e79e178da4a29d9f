# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and stop of pods that outlive the process that asks for it."""

from __future__ import annotations

import os

from ..errors import Conflict, Corrupt, HostFailure, PodError
from ..host.files import make_dirs
from ..host.paths import unit_name
from ..host.reading import read_number
from ..pod import documents, failure, lookup
from ..pod.lifecycle import PodState, open_pod
from . import units
from .change import at_stage
from .entry import call, left_error
from .prepare import give_name, reprepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from ..pod.runspec import RunSpec

_POLL_SECONDS = 0.02
_KILL_SECONDS = 15.0


def start(host: Host, pod: Pod, *, boot: bool | None = True) -> None:
    """Start a prepared pod: as a unit where systemd is PID 1 and the pod has a name, detached elsewhere.

    boot: whether its unit starts it after a boot; None leaves that as it is. Returns once its apps have been started,
    even if they have ended by then. Raises the errors of stage1.
    """
    runspec = documents.read_runspec(pod.dir)
    if not (runspec.name and host.runs_systemd):
        call(host, pod, "run")
        return
    make_dirs(host.paths.pid_files, 0o755)
    units.install(host, pod, boot=boot)
    failure.forget(pod.dir)
    try:
        units.start(host, runspec.name)
    except HostFailure as err:
        # To systemd, a service whose process ended before it looked for it has failed; its apps did run.
        if not _has_run(pod):
            raise left_error(pod) or err from None
    if pod.state() is PodState.PREPARED:
        raise Conflict(
            f'{unit_name(runspec.name)} runs, and not as pod "{pod.uuid}"',
            "systemctl stop it",
            uuid=pod.uuid,
        )


def start_again(host: Host, name: str, seen: str = "") -> Pod:
    """Get the pod of that name ready to run: itself when it is prepared, else a new one from its documents.

    `podctl start` calls this before it runs the pod. seen: the UUID that the name meant to a plan. Raises NotFound, and
    Conflict when the pod runs or is not the one that was seen.
    """
    with lookup.lock_start(host.paths, name) as lock, _meant(host, name, seen) as pod:
        ready = _ready(host, name, pod)
        lock.remove()
        return ready


def _meant(host: Host, name: str, seen: str) -> Pod:
    return lookup.expect(host.paths, name, seen) if seen else lookup.by_name(host.paths, name)


def runs_meanwhile(host: Host, name: str, seen: str) -> bool:
    """Whether a pod that a plan has seen runs by now: itself, or the pod that its unit made from its documents."""
    try:
        with lookup.by_name(host.paths, name) as now, open_pod(host.paths, seen) as before:
            return now.state() is PodState.RUNNING and (
                now.uuid == seen or _described(now) == _described(before)
            )
    except (PodError, OSError):
        return False


def _described(pod: Pod) -> tuple[PodManifest, RunSpec]:
    return documents.read_manifest(pod.dir), documents.read_runspec(pod.dir)


def _ready(host: Host, name: str, pod: Pod) -> Pod:
    state = pod.state()
    if state is PodState.PREPARED:
        return open_pod(host.paths, pod.uuid)
    check_startable(pod, name)
    new = reprepare(host, pod)
    give_name(host, name, new.uuid)
    retire(host, pod)
    return open_pod(host.paths, new.uuid)


def check_startable(pod: Pod, name: str) -> None:
    """Raise Conflict when the pod of a name runs."""
    if pod.state() is PodState.RUNNING:
        raise Conflict(f'pod "{name}" is running', "podctl stop it first", uuid=pod.uuid)


def retire(host: Host, pod: Pod) -> None:
    """Mark a pod that has ended, so that gc removes it after the grace period."""
    if pod.state() is PodState.EXITED and pod.lock():
        pod.move("exited-garbage")


def stop(host: Host, pod: Pod) -> None:
    """Stop a running pod and wait until it has ended; kill it when it does not end in time.

    Returns at once when it does not run. Raises PodError, of stage "stop".
    """
    with at_stage("stop", f'cannot stop pod "{pod.uuid}"'):
        if pod.state() is PodState.RUNNING:
            _stop(host, pod)


def _stop(host: Host, pod: Pod) -> None:
    outline = documents.read_outline(pod.dir)
    try:
        if not stop_unit(host, pod, outline.name):
            call(host, pod, "stop")
    except PodError:
        if pod.state() is PodState.RUNNING:
            raise  # else it has ended, although the call failed
    if not wait(host, pod, outline.stop_timeout + _KILL_SECONDS):
        call(host, pod, "stop", "--force")
        if not wait(host, pod, _KILL_SECONDS):
            raise HostFailure(
                f'cannot stop pod "{pod.uuid}": it does not end even when killed', uuid=pod.uuid
            )


def wait(host: Host, pod: Pod, timeout: float | None) -> bool:
    """Wait until a pod has ended; returns whether it did within timeout seconds. None: without limit."""
    clock = host.clock
    end = None if timeout is None else clock.monotonic() + timeout
    while pod.state() is PodState.RUNNING:
        if end is not None and clock.monotonic() > end:
            return False
        clock.sleep(_POLL_SECONDS)
    return True


def _has_run(pod: Pod) -> bool:
    """Whether a pod has ended after all its apps were started."""
    return pod.state() is PodState.EXITED and documents.has_started(pod.dir)


def is_unit(host: Host, pod: Pod, name: str) -> bool:
    """Whether the unit of that name, with which the pod was made, runs this very pod."""
    if not (name and host.runs_systemd and units.is_installed(host, name)):
        return False
    return lookup.uuid_of_name(host.paths, name) == pod.uuid and _unit_pid(host, name) == _own_pid(pod)


def stop_unit(host: Host, pod: Pod, name: str, *, wait: bool = True) -> bool:
    """Have systemd stop a running pod that is a unit, so that it knows of it; whether the pod is one."""
    if not is_unit(host, pod, name):
        return False
    units.stop(host, name, wait=wait)
    return True


def _own_pid(pod: Pod) -> int | None:
    try:
        return documents.read_pid(pod.dir)
    except (OSError, Corrupt):
        return None


def _unit_pid(host: Host, name: str) -> int | None:
    try:
        return read_number(host.paths.pid_file(name))
    except (OSError, Corrupt):
        return None


def write_pid_file(host: Host, name: str, pid: int) -> None:
    """Write the pod's PID for the service manager. Source: systemd.service(5), PIDFile=."""
    make_dirs(host.paths.pid_files, 0o755)
    path = host.paths.pid_file(name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(fd, f"{pid}\n".encode())
    finally:
        os.close(fd)
