# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""podctl fetch and podctl image list, rm, gc, cat-manifest. Source: behaviours A53 to A57, A59, A65."""

from __future__ import annotations

import sys
import time

from ...appc.durations import parse_duration
from ...errors import InvalidSpec, NotFound, PodError
from ...host.reading import decimal
from ...image.reference import parse_reference
from ...store import index
from ..durations import format_age, format_time
from ..flags import UsageError
from ..output import format_size, table
from ..stored import find_id, find_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...appc.names import ImageID
    from ...store.bounds import Bounds
    from ...store.index import StoredImage
    from ..call import Call

    Cell = Callable[[StoredImage, bool], str]

_SHORT, _FULL = len("sha512-") + 32, len("sha512-") + 64
_LIST_SHORT = len("sha512-") + 12
_GRACE_SECONDS = 24 * 3600.0
_HEADERS = {"id": "ID", "name": "NAME", "size": "SIZE", "importtime": "IMPORT TIME", "lastused": "LAST USED"}


def fetch(call: Call) -> int:
    """Get images into the store and print their keys."""
    from ..grammar import fetch_policy, policy_of_image
    from ..plans import carry_out, ensure_image

    if not call.words.apps:
        raise InvalidSpec("must provide at least one image")
    policy = fetch_policy(call.options, default="update")
    foreseen: set[str] = set()
    for app in call.words.apps:
        image = app.image
        if call.dry_run and image in foreseen:
            continue
        foreseen.add(image)
        reference = parse_reference(image, keys=False)
        wanted = ensure_image(call, reference, policy_of_image(policy, call.options, app), names=True)
        _outcome, stored = carry_out(call, wanted)
        if call.dry_run:
            continue
        if stored is None:
            raise NotFound(f'image "{image}" is gone already')
        call.tell(stored.id[: _FULL if call.options.on("full") else _SHORT])
    return 0


def image_list(call: Call) -> int:
    """List the images in the store."""
    options, full = call.options, call.options.on("full")
    fields = _fields(options.text("fields", ",".join(_HEADERS)))
    images = list(index.list_images(call.host.paths))
    order = options.text("order", "asc")
    if order not in ("asc", "desc"):
        raise InvalidSpec(f'wrong sort order "{order}"', "use asc or desc")
    for field in reversed(_fields(options.text("sort", "importtime"))):
        images.sort(key=_SORT_KEYS[field], reverse=order == "desc")
    call.warn_without_data()
    if options.text("format"):
        call.tell_json([_image_json(image) for image in images] or None, options.text("format"))
        return 0
    rows = [] if options.on("no-legend") else [[_HEADERS[field] for field in fields]]
    sys.stdout.write(table(rows + [[_cell(image, field, full) for field in fields] for image in images]))
    return 0


def _fields(text: str) -> list[str]:
    fields = [field.strip() for field in text.split(",") if field.strip()]
    if not fields:
        raise InvalidSpec("no field is given", f"use some of {', '.join(_HEADERS)}")
    for field in fields:
        if field not in _HEADERS:
            raise InvalidSpec(f'unknown field "{field}"', f"use some of {', '.join(_HEADERS)}")
    return fields


_SORT_KEYS: dict[str, Callable[[StoredImage], tuple[float, str]]] = {
    "id": lambda image: (0, image.id),
    "name": lambda image: (0, image.manifest.full_name),
    "size": lambda image: (image.size, ""),
    "importtime": lambda image: (image.import_time, ""),
    "lastused": lambda image: (image.last_used, ""),
}


def _cell(image: StoredImage, field: str, full: bool) -> str:
    if field == "id":
        return image.id[: _FULL if full else _LIST_SHORT]
    if field == "name":
        return image.manifest.full_name
    if field == "size":
        return str(image.size) if full else format_size(image.size)
    then = image.import_time if field == "importtime" else image.last_used
    return format_time(then) if full else format_age(then, time.time())


def _image_json(image: StoredImage) -> dict[str, object]:
    return {
        "id": str(image.id),
        "name": image.manifest.full_name,
        "import_time": int(image.import_time * 1e9),
        "last_used_time": int(image.last_used * 1e9),
        "size": image.size,
    }


def image_rm(call: Call) -> int:
    """Remove images from the store. Pods that were prepared from them keep working."""
    from ...stage0.images import RemoveImage, ensure_removed
    from ..plans import ToldRemoval, carry_out, in_words

    if not call.words.arguments:
        raise UsageError("image rm takes at least one image")
    found: dict[ImageID, str] = {}
    for text in call.words.arguments:
        try:
            found.setdefault(find_id(call, text), str(parse_reference(text)))
        except PodError as err:
            call.complain(err)
    carry_out(call, in_words(ensure_removed(call.host, found), {RemoveImage: ToldRemoval}))
    if found and not call.dry_run:
        call.say(f"{len(found)} image(s) successfully removed")
    return 0


def image_gc(call: Call) -> int:
    """Remove trees that no pod uses and images that have not been used for a while. Source: behaviours A56."""
    from ...stage0.references import in_use
    from ...store.gc import collect

    text = call.options.text("grace-period")
    grace = parse_duration(text) if text else _GRACE_SECONDS
    removed = collect(call.host.paths, lambda: in_use(call.host), time.time() - grace, _bounds(call))
    for tree in removed.trees:
        call.say(f'removed treestore "{tree}"')
    for image_id in removed.images:
        call.say(f'successfully removed aci for image: "{image_id}"')
    return 0


def _bounds(call: Call) -> Bounds:
    """What may stay in the store. Raises InvalidSpec."""
    from ...appc.quantity import parse_size
    from ...store.bounds import Bounds

    most, size = call.options.text("max-images"), call.options.text("max-bytes")
    count = decimal(most) if most else None
    if most and count is None:
        raise InvalidSpec(
            f'--max-images: "{most}" is not a number', "give the number of images that may stay"
        )
    return Bounds(count, parse_size(size, "--max-bytes") if size else None)


def image_cat_manifest(call: Call) -> int:
    """Print the manifest of an image."""
    if len(call.words.arguments) != 1:
        raise UsageError("image cat-manifest takes one image")
    from ...store.blobs import manifest_as_sent

    image = find_image(call, call.words.arguments[0])
    pretty = call.options.on("pretty-print", default=True)
    call.tell_json(manifest_as_sent(call.host.paths, image.id), "json-pretty" if pretty else "json")
    return 0


ENTRIES: dict[str, Callable[[Call], int]] = {
    "fetch": fetch,
    "image list": image_list,
    "image rm": image_rm,
    "image cat-manifest": image_cat_manifest,
    "image gc": image_gc,
}
