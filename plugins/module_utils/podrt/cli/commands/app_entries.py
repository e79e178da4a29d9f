# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl app start, stop and rm, and the entries of stage1 for single apps. Source: behaviours A8; rkt, app_*.go."""

from __future__ import annotations

from ...errors import Conflict, InvalidSpec, NotFound
from ...pod import documents
from ...pod.lifecycle import PodState
from ...stage0.replaced import settle_if_left
from ...stage1.entries import apps_of
from ..podargs import only_argument, resolve, status_of_apps
from ..running import recording_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pod.lifecycle import Pod
    from ..call import Call


def check_mutable(pod: Pod) -> None:
    """Raise Conflict unless the pod runs and its apps may be changed by hand."""
    if pod.state() is not PodState.RUNNING:
        raise Conflict(f'pod "{pod.uuid}" isn\'t currently running', uuid=pod.uuid)
    if not documents.is_mutable(documents.read_manifest(pod.dir)):
        raise Conflict(
            "immutable pod: its apps cannot be changed by hand",
            "podctl app sandbox makes one whose apps can; a named pod is changed by its playbook",
            uuid=pod.uuid,
        )


def start(call: Call) -> int:
    """Start an app, and return once it is up."""
    return _on_app(call, "start", lambda pod, app: _started(call, pod, app))


def _started(call: Call, pod: Pod, app: str) -> None:
    check_mutable(pod)
    settle_if_left(call.host, pod)
    apps_of(call.host, pod).start_app(app)


def stop(call: Call) -> int:
    """Stop an app, and return once it has ended."""
    return _on_app(call, "stop", lambda pod, app: _stopped(call, pod, app))


def _stopped(call: Call, pod: Pod, app: str) -> None:
    if pod.state().has_ended:
        call.tell(f'pod "{pod.uuid}" is already stopped')
        return
    check_mutable(pod)
    apps_of(call.host, pod).stop_app(app, force=False, hold=0)


def remove(call: Call) -> int:
    """Remove an app, and stop it before."""
    return _on_app(call, "remove", lambda pod, app: _removed(call, pod, app))


def _removed(call: Call, pod: Pod, app: str) -> None:
    if pod.state() is PodState.RUNNING:
        check_mutable(pod)
    if not documents.read_manifest(pod.dir).app(app):
        raise NotFound(f'nonexistent app "{app}"', f"podctl app list {pod.uuid} shows those of the pod")
    from ...stage0.apps import remove_app  # no other command needs it

    apps_of(call.host, pod).remove_app(app)
    remove_app(call.host, pod, app)


def _on_app(call: Call, what: str, do: Callable[[Pod, str], None]) -> int:
    """Do something to the app that the words name. Raises PodError, with rkt's status."""
    with status_of_apps():
        if not call.words.arguments:
            raise InvalidSpec("must provide the pod UUID")
        app = call.options.text("app")
        if not app:
            raise InvalidSpec(f"must provide the app to {what}", "say --app=APP")
        with resolve(call, only_argument(call, "UUID")) as pod:
            do(pod, app)
    return 0


def start_entry(call: Call) -> int:
    """The entry start-app of stage1."""
    hold = int(call.options.text("hold", "0"))
    return _entry(call, "start", lambda pod, app: apps_of(call.host, pod).start_app(app, hold=hold))


def stop_entry(call: Call) -> int:
    """The entry stop-app of stage1."""
    force, hold = call.options.on("force"), int(call.options.text("hold", "0"))
    return _entry(
        call, "stop", lambda pod, app: apps_of(call.host, pod).stop_app(app, force=force, hold=hold)
    )


def remove_entry(call: Call) -> int:
    """The entry remove-app of stage1."""
    hold = int(call.options.text("hold", "0"))
    return _entry(call, "stop", lambda pod, app: apps_of(call.host, pod).remove_app(app, hold=hold))


def _entry(call: Call, stage: str, do: Callable[[Pod, str], None]) -> int:
    with resolve(call, only_argument(call, "UUID")) as pod, recording_failure(pod, stage):
        do(pod, call.options.text("app"))
    return 0


ENTRIES: dict[str, Callable[[Call], int]] = {
    "app rm": remove,
    "app start": start,
    "app stop": stop,
    "start-app": start_entry,
    "stop-app": stop_entry,
    "remove-app": remove_entry,
}
