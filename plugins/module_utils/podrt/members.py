# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of JSON objects by name as Go's decoder finds them, which read every document before us: in any case.

Source: Go's encoding/json, Unmarshal; behaviours E6.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def fold(name: str) -> str:
    """The spelling under which a member is found."""
    # The one letter beside the Kelvin sign that Go takes for one of ASCII.
    return name.lower().replace("\u017f", "s")


def by_folded_name(held: Mapping[str, object]) -> dict[str, object]:
    """The members of an object by folded name. Of two that differ in case the last wins, unless it is null."""
    return {fold(name): value for name, value in held.items() if value is not None and isinstance(name, str)}
