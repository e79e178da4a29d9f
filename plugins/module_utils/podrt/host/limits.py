# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much is taken from archives and servers that may be hostile: the kind `limits` of the configuration.

Each member has a bound that no honest image or server reaches; a host that needs more says so in limits.d.
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields

GIB = 1 << 30


class Limits(Value):
    """Bounds of one fetch, all layers of an image together.

    unpacked_bytes: what an image may come to. unpacked_entries: files, directories and links, those included that
    only names of others speak of. unpacked_ratio: how many times the size that was sent.

    document_seconds: for a document of a server, such as a manifest, from the request to its last byte, redirects
    included. bytes_per_second: what a server must send of anything larger, on average over any rate_seconds that are
    spent waiting for it.
    """

    unpacked_bytes: int = 64 * GIB
    unpacked_entries: int = 2_000_000
    unpacked_ratio: int = 200
    document_seconds: int = 60
    bytes_per_second: int = 1000
    rate_seconds: int = 60


# The member of a document by the field of Limits.
MEMBERS = {
    "unpacked_bytes": "unpackedBytes",
    "unpacked_entries": "unpackedEntries",
    "unpacked_ratio": "unpackedRatio",
    "document_seconds": "documentSeconds",
    "bytes_per_second": "bytesPerSecond",
    "rate_seconds": "rateSeconds",
}


def limits_said(fields: Fields) -> dict[str, int]:
    """The fields of Limits that a document sets. Raises InvalidSpec."""
    found = {}
    for field, member in MEMBERS.items():
        value = fields.optional_integer(member)
        if value is None:
            continue
        if value < 1:
            raise InvalidSpec("must be at least 1", where=fields.where_of(member))
        found[field] = value
    return found


def setting_of(field: str) -> str:
    """How a message names the setting that raises a bound."""
    return f"{MEMBERS[field]} in a document of the kind limits in limits.d"
