# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl run-prepared, start, reap and stage1-gc: from a prepared pod to a running one, and the cleanup after it.

Source: behaviours A25 to A28, D18.
"""

from __future__ import annotations

import _signal
import os

from ...errors import Conflict, Corrupt, InvalidSpec, PodError
from ...fields import canonical_json
from ...host.files import path_beneath, write_atomically
from ...pod import documents, lookup
from ...pod.lifecycle import PodState, open_pod
from ...pod.names import is_uuid
from ...pod.restart import stays_stopped
from ...seccomp import files as filter_files
from ...stage1.entries import entries_of
from ..flags import UsageError
from ..podargs import NAME_SECONDS, only_argument, resolve
from ..running import check_service, recording_failure, rehearse_pod, run_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pod.lifecycle import Pod
    from ..call import Call


def run_prepared(call: Call) -> int:
    """Run a prepared pod; returns its exit status, or with --detach 0 once its apps have been started."""
    interactive, detach = call.options.on("interactive"), call.options.on("detach")
    if interactive and detach:
        raise UsageError("--interactive and --detach exclude each other")
    with resolve(call, only_argument(call, "UUID")) as pod, recording_failure(pod, "start"):
        _claim(pod)
        if interactive and len(documents.read_manifest(pod.dir).apps) > 1:
            raise InvalidSpec("interactive option only supports pods with one app")
        _apply_flags(call, pod)
        name = _unit_of(call, pod)
        if name and detach:
            pod.close()
            from ...stage0.start import start_again

            with start_again(call.host, name) as ready:
                return _start(call, name, ready)
        if name:
            raise Conflict(
                f'pod "{pod.uuid}" is the unit of "{name}"', "use --detach, or podctl start", uuid=pod.uuid
            )
        check_service(call, documents.read_runspec(pod.dir))
        pod.move("run")
        return run_pod(call, pod, detach=detach, interactive=interactive)


def _unit_of(call: Call, pod: Pod) -> str:
    """The name of a pod whose unit would start it, "" for a pod without a unit."""
    if not call.host.runs_systemd:
        return ""
    from ...stage0 import units
    from ...stage0.gc import current_name

    name = current_name(call.host, pod)
    return name if name and units.is_installed(call.host, name) else ""


def rehearse(call: Call) -> int:
    """Find out what would keep a prepared pod from starting, while another one runs in its place."""
    with resolve(call, only_argument(call, "UUID")) as pod, recording_failure(pod, "rehearse"):
        _claim(pod)
        check_service(call, documents.read_runspec(pod.dir))
        return rehearse_pod(call, pod)


def start(call: Call) -> int:
    """Start the pod of a name, a new one from its documents when it has ended, and return when its apps run.

    Where systemd is PID 1, it is always started by its unit.
    """
    from ...stage0.units import is_own_process

    name = only_argument(call, "NAME")
    if call.dry_run:
        _ready(call, name)
        return 0
    if is_own_process(name):
        from ...stage0.start import start_again

        with start_again(call.host, name) as pod:
            return _start_here(call, name, pod)
    with lookup.lock_name(call.host.paths, name, NAME_SECONDS) as lock:
        status = 0
        for pod in _ready(call, name):
            with pod:
                status = _start(call, name, pod)
        lock.remove()
        return status


def _ready(call: Call, name: str) -> list[Pod]:
    """The pod of a name, ready to be run; none in a dry run."""
    from ...stage0.operations import ensure_started
    from ..plans import carry_out

    made: list[Pod] = []
    carry_out(call, ensure_started(call.host, name, made.append))
    return made


def _start(call: Call, name: str, pod: Pod) -> int:
    if not call.host.runs_systemd:
        return _start_here(call, name, pod)
    from ...stage0.start import start as start_by_unit

    # A boot starts it again, as before the stop that it was to survive.
    again = stays_stopped(documents.read_manifest(pod.dir))
    start_by_unit(call.host, pod, boot=True if again else None)
    return 0


def _start_here(call: Call, name: str, pod: Pod) -> int:
    """Start a pod by this process, for units: the file with the PID is there before it ends."""
    from ...stage0.start import write_pid_file

    with recording_failure(pod, "start"):
        _claim(pod)
        check_service(call, documents.read_runspec(pod.dir))
        pod.move("run")
        status = run_pod(call, pod, detach=True)
        pid = documents.read_pid(pod.dir)
        if status == 0 and pid:
            write_pid_file(call.host, name, pid)
        return status


def reap(call: Call) -> int:
    """Take down the network and the cgroups of a pod that has ended. Never fails: a unit would fail with it."""
    from ...stage0.units import is_own_process

    text = only_argument(call, "NAME")
    try:
        if is_uuid(text) or is_own_process(text):
            _reap(call, text)
        else:
            with lookup.lock_name(call.host.paths, text, NAME_SECONDS) as lock:
                _reap(call, text)
                lock.remove()
    except PodError as err:
        call.complain(err)
    except OSError as err:
        call.say(str(err))
    return 0


def _reap(call: Call, text: str) -> None:
    paths = call.host.paths
    with open_pod(paths, text) if is_uuid(text) else lookup.by_name(paths, text) as pod:
        if pod.state() is PodState.EXITED and pod.lock():
            entries_of(call.host, pod, debug=call.debug).release()


def stage1_gc(call: Call) -> int:
    """Take down the network and the cgroups of a pod. The caller holds the pod's lock, and this ends with it."""
    from ...host.syscalls import PR_SET_PDEATHSIG, prctl

    prctl(PR_SET_PDEATHSIG, _signal.SIGKILL)
    with open_pod(call.host.paths, only_argument(call, "UUID")) as pod, recording_failure(pod, "gc"):
        entries_of(call.host, pod, debug=call.debug).gc()
    return 0


def mend(call: Call) -> int:
    """Restore what a running pod has lost of its networks and limits."""
    with open_pod(call.host.paths, only_argument(call, "UUID")) as pod:
        entries_of(call.host, pod, debug=call.debug).mend()
    return 0


def _claim(pod: Pod) -> None:
    """Take the lock of a prepared pod.

    Raises Conflict when it is not prepared or another process starts it, Corrupt when its manifest is missing.
    """
    pod.detach()
    if pod.state() is not PodState.PREPARED or not pod.lock():
        raise Conflict(f'pod "{pod.uuid}" is not prepared', "podctl status tells how it is", uuid=pod.uuid)
    if not os.path.lexists(pod.dir.manifest):
        raise Corrupt(
            f'the manifest of pod "{pod.uuid}" is missing: {pod.dir.manifest}',
            f"podctl rm {pod.uuid} removes what is left of it",
            uuid=pod.uuid,
        )


def _apply_flags(call: Call, pod: Pod) -> None:
    """Write the flags into the documents of a pod whose lock is held; without flags these stay as they are.

    A crash midway may leave filters that are not needed any more, but never lacks one that the run spec promises.
    """
    if not call.words.given:
        return
    from ..grammar import run_spec

    given = documents.read_runspec(pod.dir)
    wanted = run_spec(call.options, given)
    if wanted == given:
        return
    if wanted.networks != given.networks:
        from ...stage0.preflight import check_start

        for warning in check_start(call.host, documents.read_manifest(pod.dir), wanted):
            call.say(warning)
    secure = "seccomp" not in wanted.insecure
    if secure and "seccomp" in given.insecure:
        _write_filters(call, pod)
    write_atomically(pod.dir.runspec, canonical_json(wanted.to_json()))
    if not secure:
        for app in documents.read_manifest(pod.dir).apps:
            with path_beneath(pod.dir.app_filter(app.name), pod.dir.path) as path:
                filter_files.remove(path)


def _write_filters(call: Call, pod: Pod) -> None:
    from ...seccomp.filters import compile_filter

    for app in documents.read_manifest(pod.dir).apps:
        lifted = "seccomp" in app.waived(())
        compiled = app.app and compile_filter(call.host.paths, app.app, insecure=lifted, arch=call.host.arch)
        if compiled:
            with path_beneath(pod.dir.app_filter(app.name), pod.dir.path) as path:
                filter_files.replace(path, compiled)


ENTRIES: dict[str, Callable[[Call], int]] = {
    "run-prepared": run_prepared,
    "mend": mend,
    "rehearse": rehearse,
    "start": start,
    "reap": reap,
    "stage1-gc": stage1_gc,
}
