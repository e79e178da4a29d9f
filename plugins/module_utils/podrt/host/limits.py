# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits for archives and servers that may be hostile: the kind `limits` of the configuration.

No honest image or server reaches the default of any member; a host that needs more sets it in limits.d.
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields

GIB = 1 << 30


class Limits(Value):
    """The bounds of one fetch, for all layers of an image together.

    unpacked_bytes: the size of an unpacked image. unpacked_entries: files, directories and links, including those that
    only the names of others imply. unpacked_ratio: the unpacked size, as a multiple of the size that was sent.

    document_seconds: for a document of a server, such as a manifest, from the request to its last byte, redirects
    included. bytes_per_second: the rate at which a server must send anything larger, on average over any rate_seconds
    of waiting for it.
    """

    unpacked_bytes: int = 64 * GIB
    unpacked_entries: int = 2_000_000
    unpacked_ratio: int = 200
    document_seconds: int = 60
    bytes_per_second: int = 1000
    rate_seconds: int = 60


# The members of a document by the fields of Limits.
MEMBERS = {
    "unpacked_bytes": "unpackedBytes",
    "unpacked_entries": "unpackedEntries",
    "unpacked_ratio": "unpackedRatio",
    "document_seconds": "documentSeconds",
    "bytes_per_second": "bytesPerSecond",
    "rate_seconds": "rateSeconds",
}


def limits_of_fields(fields: Fields) -> dict[str, int]:
    """The fields of Limits that a document sets. Raises InvalidSpec."""
    limits = {}
    for field, member in MEMBERS.items():
        value = fields.optional_integer(member)
        if value is None:
            continue
        if value < 1:
            raise InvalidSpec("must be at least 1", where=fields.where_of(member))
        limits[field] = value
    return limits


def setting_of(field: str) -> str:
    """The name of a bound's setting, for messages."""
    return f"{MEMBERS[field]} in a document of the kind limits in limits.d"
