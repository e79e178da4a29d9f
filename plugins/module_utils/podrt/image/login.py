# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a registry takes a user and a password. Source: OCI distribution specification, "Determining Support"."""

from __future__ import annotations

from ..errors import Unreachable
from ..host.config import configured_limits
from .credentials import basic
from .registry import API, FORBIDDEN, UNAUTHORIZED, RegistrySession
from .transport import Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from .policy import FetchPolicy


def is_asked(host: Host, registry: str, policy: FetchPolicy, user: str, password: str) -> bool:
    """Try credentials; False for a registry that asks for none, so that they could not be tried.

    Raises Unreachable when it does not take them, or cannot be reached; Untrusted, InvalidSpec.
    """
    session = RegistrySession(
        Transport(policy, configured_limits(host.paths)),
        registry,
        policy,
        lambda: {"Authorization": basic(user, password)},
        doing=f'cannot log in to {registry} as "{user}"',
    )
    answer = session.ask("GET", API)
    if answer.status in (UNAUTHORIZED, FORBIDDEN):
        raise session.refusal(answer)
    if not 200 <= answer.status < 300:
        raise Unreachable(
            f"{registry} is not a registry: it answers {API} with status {answer.status}",
            "check the name: HOST or HOST:PORT",
            status=answer.status,
        )
    return session.asks_who
