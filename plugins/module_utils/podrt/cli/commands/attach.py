# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl attach, behind rkt's variable for it. Source: behaviours A8; rkt attach."""

from __future__ import annotations

from ...errors import Conflict, InvalidSpec
from ...pod import documents, freezer
from ...pod.lifecycle import PodState
from ...pod.runspec import NATIVE
from ...stage1.attached import attached, carry
from ...stage1.plan.stdio import Stdio, stdio_of
from ...stage1.starter.stop import holds
from ..podargs import chosen_app, only_argument, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...pod.lifecycle import Pod
    from ..call import Call

_AUTO, _LIST = "auto", "list"
_TERMINAL = {"tty": ("tty-in", "tty-out")}


def attach(call: Call) -> int:
    """Carry between this process's standard files and those of an app, until the app ends."""
    mode = call.options.text("mode") or _AUTO
    with resolve(call, only_argument(call, "UUID")) as pod:
        if pod.state() is not PodState.RUNNING:
            raise Conflict(f'pod "{pod.uuid}" isn\'t currently running')
        app = chosen_app(call, pod)
        endpoints = _modes(pod, app).endpoints
        if mode == _LIST:
            for name in endpoints:
                call.tell(name)
            return 0
        wanted = _wanted(app, endpoints, mode)
        pid = documents.await_pid(pod)
        if pid is None or not holds(pid, pod):
            raise Conflict(f'pod "{pod.uuid}" isn\'t currently running')
        if freezer.is_paused(pod.dir):
            call.say(f'pod "{pod.uuid}" is paused')
        with attached(pod, app, pid, wanted) as found:
            carry(found)
    return 0


def _modes(pod: Pod, app: str) -> Stdio:
    runtime = documents.read_manifest(pod.dir).app(app)
    if runtime is None or documents.kind_of(pod.dir) != NATIVE:
        return Stdio()
    return stdio_of(runtime.annotations)


def _wanted(app: str, endpoints: tuple[str, ...], mode: str) -> tuple[str, ...]:
    """The endpoints of a mode: all, or those of a list, where tty means both of a terminal. Raises InvalidSpec."""
    if not endpoints:
        raise InvalidSpec(
            f'app "{app}" has nothing to attach to',
            "run it with --stdin, --stdout or --stderr as stream or tty",
        )
    if mode == _AUTO:
        return endpoints
    wanted = tuple(dict.fromkeys(name for word in mode.split(",") for name in _TERMINAL.get(word, (word,))))
    for name in wanted:
        if name not in endpoints:
            raise InvalidSpec(f'app "{app}" has no endpoint "{name}"', f"it has {', '.join(endpoints)}")
    return wanted


ENTRIES: dict[str, Callable[[Call], int]] = {"attach": attach}
