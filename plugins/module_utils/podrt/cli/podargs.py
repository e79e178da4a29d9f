# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as arguments: by UUID, by the beginning of one, or by name. Source: behaviours A64, D5."""

from __future__ import annotations

from ..errors import InvalidSpec, NotFound
from ..pod import lookup
from .flags import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..pod.lifecycle import Pod
    from .call import Call


def only_argument(call: Call, what: str) -> str:
    """The one argument of the command, or what --uuid-file holds. Raises UsageError."""
    found = call.pod_arguments()
    if len(found) != 1:
        raise UsageError(f"{call.prefix} takes one {what}, not {len(found)}")
    return found[0]


def some_arguments(call: Call) -> tuple[str, ...]:
    """At least one argument, or what --uuid-file holds. Raises UsageError."""
    found = call.pod_arguments()
    if not found:
        raise UsageError(f"{call.prefix} takes at least one UUID")
    return found


def resolve(call: Call, text: str) -> Pod:
    """The pod that an argument means. Raises NotFound, InvalidSpec with rkt's words."""
    try:
        return lookup.resolve(call.host.paths, text)
    except NotFound as err:
        raise NotFound(f"problem retrieving pod: {err.message}", err.hint) from err
    except InvalidSpec as err:
        raise InvalidSpec(f"problem retrieving pod: {err.message}", err.hint) from err
