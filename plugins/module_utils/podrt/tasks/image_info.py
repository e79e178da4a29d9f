# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image_info: the images of a host, and where they come from. Reads only."""

from __future__ import annotations

from ..errors import Corrupt, InvalidSpec
from ..image import find
from ..image.reference import parse_reference
from ..stage0.references import in_use
from ..store import index, pins
from .results import image_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..fields import Fields
    from ..host.host import Host
    from ..store.index import Remote, StoredImage


def gather_images(host: Host, options: Fields) -> dict[str, object]:
    """The result of pod_image_info: the images that are asked for, all by default."""
    remotes = index.list_remotes(host.paths)
    _trees, used = in_use(host)
    pinned = set(pins.pinned(host.paths).values())
    return {
        "images": [
            {
                **provenance(image, remotes),
                "complete": find.is_whole(host, image),
                "in_use": str(image.id) in used,
                "pinned": image.id in pinned,
                "manifest": image.manifest.to_json(),
            }
            for image in _wanted(host, options)
        ]
    }


def provenance(image: StoredImage, remotes: Sequence[Remote]) -> dict[str, object]:
    """An image as results show it, with the sources that gave it when they were last asked."""
    given = sorted(
        (remote for remote in remotes if remote.image_id == image.id), key=lambda remote: remote.download_time
    )
    return {
        **image_result(image),
        "sources": [
            {
                "name": _shown(remote.source),
                "digest": remote.manifest_digest or None,
                "time": remote.download_time,
            }
            for remote in reversed(given)
        ],
    }


def _shown(source: str) -> str:
    """The reference of a record, without secrets."""
    try:
        return str(parse_reference(source))
    except InvalidSpec:
        return source


def _wanted(host: Host, options: Fields) -> tuple[StoredImage, ...]:
    """The images of the names, each once; one that is not in the store is left out."""
    names = options.strings("name")
    if not options.has("name"):
        return index.list_images(host.paths)
    found: dict[str, StoredImage] = {}
    for number, name in enumerate(names):
        reference = parse_reference(name, f"name[{number}]", relative=False)
        try:
            image = find.stored(host, reference)
        except Corrupt:
            continue
        if image:
            found[str(image.id)] = image
    return tuple(found.values())
