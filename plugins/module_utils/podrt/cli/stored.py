# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in the store, by what a command line calls them. Source: behaviours A59."""

from __future__ import annotations

from ..errors import NotFound
from ..image import find
from ..image.reference import AppcName, ImageKey, parse_reference
from ..store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.names import ImageID
    from ..image.reference import ImageReference
    from ..store.index import StoredImage
    from .call import Call


def find_id(call: Call, text: str) -> ImageID:
    """The ID of an image in the store, which may be damaged. Raises NotFound with rkt's words."""
    reference = parse_reference(text)
    if isinstance(reference, ImageKey):
        return index.id_by_key(call.host.paths, reference.prefix)
    found = find.stored_id(call.host, reference)
    if found is None:
        raise _not_stored(reference, text)
    return found


def find_image(call: Call, text: str) -> StoredImage:
    """The image in the store that a key or a name means. Raises NotFound with rkt's words, Corrupt."""
    reference = parse_reference(text)
    if isinstance(reference, ImageKey):
        return index.find_by_key(call.host.paths, reference.prefix)
    stored = find.stored(call.host, reference)
    if stored is None:
        raise _not_stored(reference, text)
    return stored


def _not_stored(reference: ImageReference, text: str) -> NotFound:
    name, pairs = (reference.name, reference.labels.pairs) if isinstance(reference, AppcName) else (text, ())
    labels = ", ".join(f'"{label}":"{value}"' for label, value in pairs)
    return NotFound(f'cannot find aci satisfying name: "{name}" and labels: [{labels}] in the local store')
