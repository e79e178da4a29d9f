# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolators that a host consents to without a task's consent: the kind `policy` of the configuration."""

from __future__ import annotations

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields

# The policies for an image's isolators beyond the defaults, the default first.
REFUSE, NARROW, ACCEPT = POLICIES = ("refuse", "narrow", "accept")
MEMBER = "imageIsolators"


def policy_of_fields(fields: Fields) -> str:
    """The policy of a document, or "". Raises InvalidSpec."""
    value = fields.raw(MEMBER) or ""
    if value not in ("", *POLICIES):
        raise InvalidSpec(f'"{MEMBER}" must be one of {", ".join(POLICIES)}')
    return str(value)
