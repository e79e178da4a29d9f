# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Specs from options, by the table: of YAML, argv and JSON alike. Pure."""

from __future__ import annotations

from ...image.policy import FetchPolicy
from ...pod.runspec import Dns, HostsFile, LogPolicy, RunSpec
from ..spec import Conduct, PodSpec, Stage1Choice
from .option import made, members
from .pod import FETCH, POD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ...fields import Fields
    from .option import Option

# The types of nested members.
_MAKERS: dict[str, Callable[..., object]] = {
    "conduct": Conduct,
    "policy": FetchPolicy,
    "run": RunSpec,
    "run.dns": Dns.from_options,
    "run.hosts": HostsFile.from_options,
    "run.log": LogPolicy,
    "stage1": Stage1Choice,
}


def pod_spec(options: Fields) -> PodSpec:
    """The spec of a pod from options in their long forms. Raises InvalidSpec with the place."""
    nested = made(members((*POD, *FETCH), options), _MAKERS)
    nested.pop("conduct", None)
    make: Callable[..., PodSpec] = PodSpec
    return make(**{"apps": (), **nested})  # the callers check whether apps are required


def run_spec(options: Fields, rows: Iterable[Option], base: RunSpec) -> RunSpec:
    """The base, overridden by options. rows: of the options that are set. Raises InvalidSpec."""
    tree = members(rows, options).get("run")
    return base.replace(**made(tree, _MAKERS, "run.")) if isinstance(tree, dict) else base


def read_conduct(options: Fields) -> Conduct:
    """The options for a task that are not part of its pod. Raises InvalidSpec with the place."""
    found = made(members(_into("conduct"), options), _MAKERS).get("conduct")
    return found if isinstance(found, Conduct) else Conduct()


def fetch_policy(options: Fields) -> FetchPolicy:
    """The policy for fetches. Raises InvalidSpec with the place."""
    found = made(members(FETCH, options), _MAKERS).get("policy")
    return found if isinstance(found, FetchPolicy) else FetchPolicy()


def _into(member: str) -> Iterable[Option]:
    return (row for row in POD if str(row.into).partition(".")[0] == member)
