# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of JSON objects by name in any case, as in Go's decoder, which read every document before us.

Source: Go's encoding/json, Unmarshal; behaviours E6.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def fold(name: str) -> str:
    """The folded name of a member."""
    # The one letter beside the Kelvin sign that Go folds to an ASCII letter.
    return name.lower().replace("\u017f", "s")


def by_folded_name(members: Mapping[str, object]) -> dict[str, object]:
    """The members of an object by folded name. Of two that differ in case the last wins, unless it is null."""
    return {
        fold(name): value for name, value in members.items() if value is not None and isinstance(name, str)
    }
