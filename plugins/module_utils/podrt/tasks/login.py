# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task pod_login: a host has credentials for a registry, which this takes, or it has none of this module."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..fields import checked_text
from ..image.reference import DockerReference, names_of_registry
from ..stage0.change import converge, naming_changes
from ..stage0.login import Account, ensure_login, ensure_no_login, other_sources
from ..stage0.options.reading import fetch_policy
from .results import outcome_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from ..host.host import Host


def pod_login(host: Host, options: Fields, *, check: bool) -> dict[str, object]:
    """Converge the credentials of one registry. Raises PodError."""
    registry = _registry(options.text("registry"))
    if options.text("state", "present") == "absent":
        outcome, _left = converge(host, ensure_no_login(host, registry), apply=not check)
        with naming_changes(outcome.to_json(), "cannot look at the configuration"):
            left = [] if check and outcome.changed else list(other_sources(host, registry))
        warnings = [f"{path} still has credentials for {registry}" for path in left]
        return {**outcome_result(outcome), "warnings": warnings, "login": None}
    account = Account(registry, _secret(options, "username"), _secret(options, "password"))
    if ":" in account.user:
        raise InvalidSpec("a user has no colon in its name", "check the name", where="username")
    policy = fetch_policy(options) if options.boolean("verify", True) else None
    outcome, _done = converge(host, ensure_login(host, account, policy), apply=not check)
    shown = {"registry": registry, "username": account.user, "path": host.paths.login(registry)}
    return {**outcome_result(outcome), "warnings": [*outcome.notes, *outcome.foreseen], "login": shown}


def _registry(text: str) -> str:
    """A registry as references have it: that of Docker Hub has several names. Raises InvalidSpec."""
    name = names_of_registry(text)[0]
    try:
        DockerReference(name, "x", "latest")
    except InvalidSpec as err:
        hint = "write HOST or HOST:PORT, without a scheme and a path"
        raise InvalidSpec(
            f'"{text.rpartition("@")[2]}" is not the name of a registry', hint, where="registry"
        ) from err
    return name


def _secret(options: Fields, name: str) -> str:
    value = options.raw(name)
    if value is None or value == "":
        raise InvalidSpec("missing or empty", f"write {name}", where=name)
    return checked_text(value, name, f"{name}:", secret=True)
