# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to specs, by the table: YAML, argv and JSON all come through here. Pure."""

from __future__ import annotations

from ...image.policy import FetchPolicy
from ...pod.runspec import Dns, HostsFile, LogPolicy, RunSpec
from ..spec import Conduct, PodSpec
from .option import made, members
from .pod import FETCH, POD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...fields import Fields
    from .option import Option

# What nested members become.
_MAKERS: dict[str, Callable[..., object]] = {
    "conduct": Conduct,
    "policy": FetchPolicy,
    "run": RunSpec,
    "run.dns": Dns.said,
    "run.hosts": HostsFile.said,
    "run.log": LogPolicy,
}


def pod_spec(options: Fields) -> PodSpec:
    """A pod as options in their long forms say it. Raises InvalidSpec with the place."""
    found = made(members((*POD, *FETCH), options), _MAKERS)
    found.pop("conduct", None)
    make: Callable[..., PodSpec] = PodSpec
    return make(**{"apps": (), **found})  # whether there has to be one is the front doors' to say


def run_spec(options: Fields, rows: Iterable[Option], given: RunSpec) -> RunSpec:
    """given, with what options say in place of what it said. rows: those that are said. Raises InvalidSpec."""
    said = members(rows, options).get("run")
    return given.replace(**made(said, _MAKERS, "run.")) if isinstance(said, dict) else given


def conduct(options: Fields) -> Conduct:
    """How a task goes about its pod. Raises InvalidSpec with the place."""
    found = made(members(_into("conduct"), options), _MAKERS).get("conduct")
    return found if isinstance(found, Conduct) else Conduct()


def fetch_policy(options: Fields) -> FetchPolicy:
    """What may be fetched, and what is let through unchecked. Raises InvalidSpec with the place."""
    found = made(members(FETCH, options), _MAKERS).get("policy")
    return found if isinstance(found, FetchPolicy) else FetchPolicy()


def _into(member: str) -> Iterable[Option]:
    return (row for row in POD if str(row.into).partition(".")[0] == member)
