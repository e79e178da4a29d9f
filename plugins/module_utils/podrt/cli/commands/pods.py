# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl list, status and cat-manifest, and app list and status. Source: behaviours A8, A31 to A41, A47."""

from __future__ import annotations

import os
import sys
import time

from ...appc.durations import parse_duration
from ...errors import HostFailure, InvalidSpec, NotFound, printable
from ...pod import documents
from ...pod.lifecycle import TERMINAL, PodState, make_state_dirs
from ...stage0.options.texts import parse_bool
from ...stage0.status import list_pods, shown_status
from ..call import write_error
from ..flags import UsageError
from ..output import (
    app_json,
    app_lines,
    has_names,
    list_header,
    list_rows,
    pod_json,
    status_lines,
    table,
)
from ..podargs import only_argument, resolve, status_of_apps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pod.lifecycle import Pod
    from ...stage0.status import AppStatus, PodStatus
    from ..call import Call

_POLL_SECONDS = 0.1


def list_command(call: Call) -> int:
    """List pods."""
    _make_dirs(call)
    pods = list_pods(call.host)
    how, full = call.options.text("format"), call.options.on("full")
    if how:
        call.tell_json([pod_json(pod, call.host.paths) for pod in pods] or None, how)
    else:
        names = has_names(pods)
        rows = [] if call.options.on("no-legend") else [list_header(full=full, names=names)]
        sys.stdout.write(table(rows + list_rows(pods, time.time(), full=full, names=names)))
    problems = [pod for pod in pods if pod.problem]
    if problems:
        write_error(f"{len(problems)} error(s) encountered when listing pods:\n")
        write_error("".join(f"{pod.uuid}: {printable(pod.problem)}\n" for pod in problems))
    return 0


def _make_dirs(call: Call) -> None:
    """Make the directories of the life cycle, as any command that looks at pods does. Source: behaviours D1.

    Nothing is made where even the directory above the data directory is missing: its path is mistyped.
    """
    paths = call.host.paths
    if not call.warn_without_data() and not os.path.isdir(os.path.dirname(paths.data)):
        return
    try:
        make_state_dirs(paths)
    except OSError as err:
        if os.geteuid() == 0:
            raise HostFailure.of("cannot make the directories of pods", err) from err


def status(call: Call) -> int:
    """Print the status of a pod, with --wait or --wait-ready after it has ended or is ready."""
    wait, wait_ready = _limit(call, "wait"), _limit(call, "wait-ready")
    with resolve(call, only_argument(call, "UUID")) as pod:
        if wait_ready is not None:
            _wait(pod, wait_ready, _is_ready, "not ready")
        if wait is not None:
            _wait(pod, wait, _has_ended)
        documents.await_pid(pod)
        found = shown_status(call.host, pod)
    how = call.options.text("format")
    if how:
        call.tell_json(pod_json(found, call.host.paths), how)
    else:
        for line in status_lines(found):
            call.tell(line)
    return 0


def _limit(call: Call, flag: str) -> float | None:
    """The seconds to wait: None not at all, below 0 without limit. Source: behaviours A40, A63."""
    if not call.options.has(flag):
        return None
    text = call.options.text(flag)
    if text == "":
        return -1.0
    try:
        return -1.0 if parse_bool(text) else None
    except InvalidSpec:
        pass
    try:
        seconds = parse_duration(text)
    except InvalidSpec as err:
        raise InvalidSpec(
            f'error parsing --{flag}: "{text}" is neither a boolean nor a duration', err.hint
        ) from err
    return seconds or None


def _wait(pod: Pod, limit: float, is_over: Callable[[Pod], bool], how: str = "") -> None:
    """Wait until it is over. how: what the pod still is after the limit, "" for its state. Raises HostFailure."""
    end = None if limit < 0 else time.monotonic() + limit
    while not is_over(pod):
        if end is not None and time.monotonic() >= end:
            raise HostFailure(
                f'error waiting for pod to finish: after {limit:g} s pod "{pod.uuid}" is still {how or pod.state()}',
                "wait longer; podctl logs UUID shows what its apps do",
                uuid=pod.uuid,
            )
        time.sleep(_POLL_SECONDS)


def _has_ended(pod: Pod) -> bool:
    try:
        return pod.state() in TERMINAL
    except NotFound:
        return True


def _is_ready(pod: Pod) -> bool:
    """Whether every app has been started. Raises HostFailure when the pod has ended."""
    if _has_ended(pod):
        raise HostFailure(f'error waiting for pod to be ready: pod "{pod.uuid}" has ended', uuid=pod.uuid)
    return pod.state() is PodState.RUNNING and documents.has_started(pod.dir)


def cat_manifest(call: Call) -> int:
    """Print the manifest of a pod."""
    pretty = call.options.on("pretty-print", default=True)
    with resolve(call, only_argument(call, "UUID")) as pod:
        try:
            manifest = documents.read_manifest(pod.dir)
        except OSError as err:
            raise HostFailure.of("cannot read the pod manifest", err) from err
    call.tell_json(manifest.to_json(), "json-pretty" if pretty else "json")
    return 0


def list_apps(call: Call) -> int:
    """List the apps of a pod."""
    with status_of_apps(), resolve(call, only_argument(call, "UUID")) as pod:
        found = shown_status(call.host, pod)
    rows = [] if call.options.on("no-legend") else [["NAME", "STATE"]]
    sys.stdout.write(table(rows + [[app.name, app.state] for app in found.apps]))
    return 0


def app_status(call: Call) -> int:
    """Print the status of an app."""
    with status_of_apps():
        with resolve(call, only_argument(call, "UUID")) as pod:
            found = shown_status(call.host, pod)
        app = _found(found, call.options.text("app"))
    how = call.options.text("format")
    if how:
        call.tell_json(app_json(found, app, call.host.paths), how)
    else:
        for line in app_lines(found, app, call.host.paths):
            call.tell(line)
    return 0


def _found(pod: PodStatus, name: str) -> AppStatus:
    if not name:
        raise UsageError("app status takes --app=APP")
    for app in pod.apps:
        if app.name == name:
            return app
    raise NotFound(
        f'cannot find app "{name}" in the pod', f"podctl app list {pod.uuid} shows those that it has"
    )


ENTRIES: dict[str, Callable[[Call], int]] = {
    "app list": list_apps,
    "app status": app_status,
    "list": list_command,
    "status": status,
    "cat-manifest": cat_manifest,
}
