# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of configurations and answers that go into messages to the kernel, which have so many bits. Pure."""

from __future__ import annotations

from ..errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields

MOST_U8, MOST_U16, MOST_S32, MOST_U32 = (1 << 8) - 1, (1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1


def number_up_to(most: int, fields: Fields, name: str, default: int = 0, *, least: int = 0) -> int:
    """A whole number within these bounds. Raises InvalidSpec with the place."""
    number = fields.integer(name, default)
    if not least <= number <= most:
        raise InvalidSpec(f"{number} is out of range", f"use {least} to {most}", where=fields.where_of(name))
    return number
