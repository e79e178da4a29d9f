# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the entries of the stage1 that a pod was prepared with, so that an upgrade never changes a running pod.

The entries of stage1 are processes: stage0 and stage1 share the pod's directory and nothing else.
"""

from __future__ import annotations

from ..errors import HostFailure, NotFound
from ..pod.documents import read_outline, stage1_of
from ..pod.runspec import START_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..errors import PodError
    from ..host.host import Host
    from ..pod.lifecycle import Pod


# The most that is shown of the output of an entry that leaves no document: of release 0.1.0. Then the time limits. A
# start has its own, and reports why it ended; one of release 0.1.0 has no limit.
_LONGEST = 8192
_TO_START = START_SECONDS + 30.0
_SECONDS = {
    "run": _TO_START,
    "rehearse": _TO_START,
    "gc": 180.0,
    "mend": 60.0,
    "stop": 60.0,
    "start-app": _TO_START,
}
# They leave processes behind: the pod, and one that waits for its end.
_LEAVING = ("run", "stop")
# Of the end of an app, beside the stop timeout of its pod.
_TO_END = 60.0


def call(host: Host, pod: Pod, entry: str, *flags: str) -> bytes:
    """Run an entry of the pod's stage1; returns its output. Raises the error that it left (pod.failure)."""
    from ..pod import failure  # a task that calls nothing does not need it

    stage1 = stage1_of(host, pod)
    argv = stage1.argv(entry, *flags)
    failure.forget(pod.dir)
    try:
        seconds = _SECONDS.get(entry) or read_outline(pod.dir).stop_timeout + _TO_END
        done = host.programs(
            argv, seconds=seconds, called=stage1.command(entry), forked=entry not in _LEAVING
        )
    except OSError as err:
        raise HostFailure.of(f"cannot start {argv[0]}", err) from err
    if done.status != 0:
        printed = done.stderr.decode(errors="replace").strip()
        raise left_error(pod) or HostFailure(
            printed[-_LONGEST:] or f"{stage1.command(entry)} ended with status {done.status}",
            uuid=pod.uuid,
            exit_status=done.status,
        )
    if entry == "gc" and done.stderr:
        from ..host import journal

        # Only what a stage1 image could not clean up by itself: the pod goes all the same.
        journal.note(host.paths, f"pod {pod.uuid}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def left_error(pod: Pod) -> PodError | None:
    """The error that an entry left in the pod's directory, even if that has moved."""
    try:
        pod.state()
    except NotFound:
        return None
    from ..pod import failure

    return failure.read(pod.dir)
