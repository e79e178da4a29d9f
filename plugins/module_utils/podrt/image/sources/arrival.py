# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that have arrived, with what is to be recorded and said of them."""

from __future__ import annotations

import time

from ...errors import InvalidSpec
from ...store.index import Remote
from ..policy import Note
from ..reference import AppcName, parse_reference
from .source import Received

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...store.blobs import Incoming
    from ..reference import ImageReference


def received(reference: ImageReference, incoming: Incoming, *, etag: str = "", max_age: int = 0) -> Received:
    """An ACI as its source has sent it now. etag, max_age: see Remote."""
    remote = Remote(reference.source, incoming.id, etag, max_age, download_time=time.time())
    return Received(incoming, remote, _notes_on_name(incoming))


def _notes_on_name(incoming: Incoming) -> tuple[Note, ...]:
    """A warning when the name that an image gives itself is read as another kind of reference."""
    name = str(incoming.manifest.name)
    try:
        is_name = isinstance(parse_reference(name, relative=False), AppcName)
    except InvalidSpec:
        is_name = False
    if is_name:
        return ()
    text = f'the image calls itself "{name}", which as a name means something else: use its ID {incoming.id}'
    return (Note(text),)
