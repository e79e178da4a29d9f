# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolators that a host consents to without a task's consent: the kind `policy` of the configuration."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..members import fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# The policies for an image's isolators beyond the defaults, the default first.
REFUSE, NARROW, ACCEPT = POLICIES = ("refuse", "narrow", "accept")
MEMBER = "imageIsolators"


def policy_said(members: Mapping[str, object], where: str) -> str:
    """The policy of a document, or "". members: by folded name. where: the file. Raises InvalidSpec."""
    value = members.get(fold(MEMBER), "")
    if value and value not in POLICIES:
        raise InvalidSpec(f'{where}: "{MEMBER}" must be one of {", ".join(POLICIES)}')
    return str(value)
