# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host decides where a task says nothing: the kind `policy` of the configuration.

The isolators that it consents to, and whether pods have their own users.
"""

from __future__ import annotations

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields

# The policies for an image's isolators beyond the defaults, the default first.
REFUSE, NARROW, ACCEPT = POLICIES = ("refuse", "narrow", "accept")
MEMBER, USERS_MEMBER = "imageIsolators", "privateUsers"


def policy_of_fields(fields: Fields) -> str:
    """The policy of a document, or "". Raises InvalidSpec."""
    value = fields.raw(MEMBER) or ""
    if value not in ("", *POLICIES):
        raise InvalidSpec(f'"{MEMBER}" must be one of {", ".join(POLICIES)}')
    return str(value)
