# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacement of a pod by another one, and rollback when that does not come up.

The old pod keeps its files until the new one runs. A rollback makes a new pod from the old one's documents, on the
very files that the old one had: its roots, its empty volumes, its logs.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import AppFailed, NotFound, PodError, known
from ..host.files import remove_tree
from ..pod import documents, failure, lookup
from ..pod.lifecycle import PodState, open_pod
from ..pod.logs import last_lines
from ..value import Value
from . import gc, start
from .change import Difference, at_stage
from .entry import call
from .prepare import reprepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..pod.lifecycle import Pod

_TAIL = 20
_LOOK_SECONDS = 0.05


class StartUp(Value):
    """The start of a pod that replaces another one. boot: as in start.start.

    min_uptime: how many seconds it must stay up where the other one runs.
    """

    boot: bool | None
    min_uptime: float = 0.0


def swap(host: Host, name: str, old: Pod, new: str, start_up: StartUp | None) -> None:
    """Stop a pod, give its name to a prepared one, start that if start_up is given, and remove the old one.

    Raises the failure of the new pod, after the rollback to the old one, with rolled_back in its facts.
    """
    was_running = old.state() is PodState.RUNNING
    if start_up and was_running:
        rehearse(host, new)
    try:
        start.stop(host, old)
        lookup.set_name(host.paths, name, new)
        if start_up:
            with open_pod(host.paths, new) as pod:
                start.start(host, pod, boot=start_up.boot)
                if was_running:
                    watch(host, pod, name, start_up.min_uptime)
    except Exception as err:
        reason = known(f'cannot replace pod "{name}"', err)
        _go_back(host, name, old, new, reason, was_running=was_running)
        raise reason from reason.__cause__
    clear(host, old.uuid)


def watch(host: Host, pod: Pod, name: str, seconds: float, alone: tuple[str, ...] = ()) -> None:
    """Check that a pod that was started stays up: no app fails, not even to be started again, and at least one still
    runs after these seconds.

    Raises AppFailed as soon as that is not so. 0 seconds: no check. alone: the apps that it is about, () for all.
    """
    end = host.clock.monotonic() + seconds
    while seconds > 0:
        runs = pod.state() is PodState.RUNNING  # first, since a start moves the pod
        apps = alone or tuple(app.name for app in documents.read_manifest(pod.dir).apps)
        failed = failure.app_failure(pod.dir, name, apps)
        if failed:
            raise failed
        looping = failure.restarted_app(pod.dir, name, apps)
        if looping:
            raise looping
        if not runs:
            raise _ended_early(pod, name, apps, seconds)
        left = end - host.clock.monotonic()
        if left <= 0:
            return
        host.clock.sleep(min(_LOOK_SECONDS, left))


def _ended_early(pod: Pod, name: str, apps: tuple[str, ...], seconds: float) -> AppFailed:
    """The error for a pod that has ended without a failed app, with the lines of its first app."""
    if any(documents.read_ending(pod.dir, app) is None for app in apps):
        return AppFailed(f'pod "{name}" was killed within {seconds:g} seconds of its start', stage="run")
    return AppFailed(
        f'pod "{name}" has ended within {seconds:g} seconds, with status 0',
        "wait: true is for pods that do their work and end",
        stage="run",
        app=apps[0],
        exit_code=0,
        **failure.lines_of(pod.dir, apps[0]),
    )


def rehearse(host: Host, uuid: str) -> None:
    """Find out what would keep a prepared pod from starting, without starting it. Removes it on failure."""
    try:
        with at_stage("rehearse", f'cannot rehearse pod "{uuid}"'), open_pod(host.paths, uuid) as pod:
            call(host, pod, "rehearse")
    except PodError:
        clear(host, uuid)
        raise


def bring_up(host: Host, uuid: str, *, boot: bool) -> None:
    """Start a new pod; one that does not come up is removed."""
    try:
        with open_pod(host.paths, uuid) as pod:
            start.start(host, pod, boot=boot)
    except Exception as err:
        reason = known(f'cannot start pod "{uuid}"', err)
        add_last_lines(host, uuid, reason)
        clear(host, uuid)
        raise reason from reason.__cause__


def clear(host: Host, uuid: str) -> None:
    """Remove a pod in any state. What cannot be removed now is left to the next gc, or to one that runs already."""
    try:
        with open_pod(host.paths, uuid) as pod:
            start.stop(host, pod)
            gc.remove(host, pod)
    except (PodError, OSError):
        return


def remove_others(host: Host, name: str, kept: str) -> None:
    """Remove the leftovers of the pods that had a name before."""
    for uuid in gc.named_leftovers(host, name):
        if uuid != kept:
            clear(host, uuid)


def add_last_lines(host: Host, uuid: str, err: PodError) -> None:
    """Put the last lines and exit codes of a pod's apps into the facts of an error, before the pod is removed."""
    err.facts.setdefault("stage", "start")
    try:
        with open_pod(host.paths, uuid) as pod:
            apps = [
                {
                    "name": app.name,
                    "exit_code": documents.read_status(pod.dir, app.name),
                    **last_lines(pod.dir, app.name, _TAIL),
                }
                for app in documents.read_manifest(pod.dir).apps
            ]
    except (PodError, OSError):
        return
    err.facts["apps"] = apps
    if not err.hint and any(app["stdout_lines"] or app["stderr_lines"] for app in apps):
        err.hint = "facts.apps of the result has the output of the apps"


def _go_back(host: Host, name: str, old: Pod, new: str, err: PodError, *, was_running: bool) -> None:
    """Roll back to the old pod after a failure, with the result in the facts of err."""
    add_last_lines(host, new, err)
    err.facts["rolled_back"] = False
    try:
        # While the name means the new one: it is found by that if this process is killed, and its unit stops it.
        _end(host, new)
        lookup.set_name(host.paths, name, old.uuid)
        clear(host, new)
        if was_running and old.state() is not PodState.RUNNING:
            fresh = run_again(host, name, old)
            path = f"pods.{name}.uuid"
            err.facts["changes"] = [
                Difference(path, old.uuid, fresh, "playbook", "restart").to_json(),
            ]
        err.facts["rolled_back"] = True
    except Exception as second:
        err.message += f"; bringing the old pod back failed as well: {second}"


def _end(host: Host, uuid: str) -> None:
    with suppress(NotFound), open_pod(host.paths, uuid) as pod:
        start.stop(host, pod)


def run_again(host: Host, name: str, old: Pod) -> str:
    """Run a pod that was stopped, as a new one on the same files; returns its UUID.

    The name means it once it has all of them: with only some it could not start.
    """
    with reprepare(host, old) as prepared:
        fresh = prepared.uuid
    with open_pod(host.paths, fresh) as pod:
        for source, target in zip(old.dir.written, pod.dir.written):
            _hand_over(source, target)
        lookup.set_name(host.paths, name, fresh)
        start.start(host, pod, boot=None)
    clear(host, old.uuid)
    return fresh


def _hand_over(source: str, target: str) -> None:
    if os.path.isdir(source):
        remove_tree(target)
        os.rename(source, target)
