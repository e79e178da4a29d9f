# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in the store, by what a command line calls them. Source: behaviours A59."""

from __future__ import annotations

from ..errors import NotFound
from ..image import find
from ..image.reference import AppcName, ImageKey, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from ..appc.names import ImageID
    from ..host.host import Host
    from ..image.reference import ImageReference
    from ..store.index import StoredImage
    from .call import Call

    T = TypeVar("T")


def find_id(call: Call, text: str) -> ImageID:
    """The ID of an image in the store, which may be damaged. Raises NotFound with rkt's words."""
    return _found(call, text, find.stored_id)


def find_image(call: Call, text: str) -> StoredImage:
    """The image in the store that a key or a name means. Raises NotFound with rkt's words, Corrupt."""
    return _found(call, text, find.stored)


def _found(call: Call, text: str, look: Callable[[Host, ImageReference], T | None]) -> T:
    reference = parse_reference(text)
    found = look(call.host, reference)
    if found is not None:
        return found
    if isinstance(reference, ImageKey):
        raise find.source_of(call.host, reference).absent()
    name, pairs = (reference.name, reference.labels.pairs) if isinstance(reference, AppcName) else (text, ())
    labels = ", ".join(f'"{label}":"{value}"' for label, value in pairs)
    raise NotFound(f'cannot find aci satisfying name: "{name}" and labels: [{labels}] in the local store')
