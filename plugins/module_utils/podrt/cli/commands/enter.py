# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl enter. Source: behaviours A45, A46."""

from __future__ import annotations

import os
import sys

from ...errors import Conflict
from ...pod import freezer
from ...pod.lifecycle import PodState
from ...stage1.entries import entries_of
from ...stage1.request import EnterRequest
from .. import values
from ..flags import UsageError
from ..podargs import chosen_app, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..call import Call
    from ..flags import FlagValues

_SHELL = "/bin/bash"
_TERM = "vt100"
_GIDS = "supplementary-gids"


def enter(call: Call) -> int:
    """Run a command in the namespaces and the root of an app; returns its exit status."""
    if not call.words.arguments:
        raise UsageError("enter takes a UUID")
    text, *argv = call.words.arguments
    with resolve(call, text) as pod:
        if pod.state() is not PodState.RUNNING:
            raise Conflict(f'pod "{pod.uuid}" isn\'t currently running')
        if freezer.is_paused(pod.dir):
            raise Conflict(
                f'pod "{pod.uuid}" is paused, and so would be the command', "podctl unpause it first"
            )
        app = chosen_app(call, pod)
        if not argv:
            call.say(f'no command specified, assuming "{_SHELL}"')
            argv = [_SHELL]
        elif argv[0].startswith("--"):
            call.say(f"hint: flags of enter go before the UUID: podctl enter {argv[0]} {text}")
        sys.stdout.flush()
        return entries_of(call.host, pod, debug=call.debug).enter(_entry(call.options, app, tuple(argv)))


def _entry(options: FlagValues, app: str, argv: tuple[str, ...]) -> EnterRequest:
    return EnterRequest(
        app=app,
        argv=argv,
        term=os.environ.get("TERM", _TERM),
        user=options.text("user"),
        group=options.text("group"),
        groups=values.parse_gids(options.text(_GIDS)) if options.has(_GIDS) else None,
        working_directory=options.text("workdir", "/"),
        environment=tuple(values.parse_variable(text) for text in options.all("env")),
        privileged=options.on("privileged"),
    )


ENTRIES: dict[str, Callable[[Call], int]] = {"enter": enter}
