# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host lets images ask for where a task does not say: the kind `policy` of the configuration."""

from __future__ import annotations

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields

# What becomes of isolators of an image that ask for more than the defaults, the default first.
REFUSE, NARROW, ACCEPT = POLICIES = ("refuse", "narrow", "accept")
MEMBER = "imageIsolators"


def policy_said(fields: Fields) -> str:
    """What a document says, "" when it does not. Raises InvalidSpec."""
    value = fields.raw(MEMBER) or ""
    if value not in ("", *POLICIES):
        raise InvalidSpec(f'"{MEMBER}" must be one of {", ".join(POLICIES)}')
    return str(value)
