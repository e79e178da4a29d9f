# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much is taken from archives that may be hostile: the kind `limits` of the configuration.

Each member has a bound that no honest image reaches; a host that needs more says so in limits.d.
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..members import fold
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1 << 30


class Limits(Value):
    """Bounds of one fetch, all layers of an image together.

    unpacked_bytes: what an image may come to. unpacked_entries: files, directories and links, those included that
    only names of others speak of. unpacked_ratio: how many times the size that was sent.
    """

    unpacked_bytes: int = 64 * GIB
    unpacked_entries: int = 2_000_000
    unpacked_ratio: int = 200


# The member of a document by the field of Limits.
MEMBERS = {
    "unpacked_bytes": "unpackedBytes",
    "unpacked_entries": "unpackedEntries",
    "unpacked_ratio": "unpackedRatio",
}


def limits_said(members: Mapping[str, object], where: str) -> dict[str, int]:
    """The fields of Limits that a document sets.

    members: by folded name. where: the file, for errors. Raises InvalidSpec.
    """
    found = {}
    for field, member in MEMBERS.items():
        value = members.get(fold(member))
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InvalidSpec(f'{where}: "{member}" must be a whole number of at least 1')
        found[field] = value
    return found


def setting_of(field: str) -> str:
    """How a message names the setting that raises a bound."""
    return f"{MEMBERS[field]} in a document of the kind limits in limits.d"
