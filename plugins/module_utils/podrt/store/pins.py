# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that a collection leaves alone, whether pods need them or not: what was asked for by a source."""

from __future__ import annotations

from ..appc.names import ImageID
from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec
from ..fields import Fields, canonical_json, parse_json
from ..host import files, reading
from .index import record_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths

_FORMAT = 1


def pinned(paths: Paths) -> dict[str, ImageID]:
    """The images that are pinned, by the source that each was asked for by; those of damaged records are not."""
    found = {}
    for name in files.entries(paths.pins):
        with suppress(FileNotFoundError, InvalidSpec, Corrupt):
            source, image_id = _read(paths.pin(name))
            found[source] = image_id
    return found


def pinned_by(paths: Paths, source: str) -> ImageID | None:
    """The image that is pinned by a source, None without one; nothing else is read."""
    with suppress(FileNotFoundError, InvalidSpec, Corrupt):
        found, image_id = _read(paths.pin(record_name(source)))
        return image_id if found == source else None
    return None


def pin(paths: Paths, source: str, image_id: ImageID) -> None:
    """Pin what a source means now, in place of what it meant before. Raises OSError."""
    files.make_dirs(paths.pins)
    document = {"source": source, "imageID": str(image_id)}
    files.write_atomically(paths.pin(record_name(source)), canonical_json(document))


def unpin(paths: Paths, source: str) -> None:
    """Let a collection remove what a source means. Raises OSError."""
    files.unlink_unless_directory(paths.pin(record_name(source)))


def forget(paths: Paths, image_id: ImageID) -> None:
    """Remove all pins of an image that is removed. Raises OSError."""
    for source, found in pinned(paths).items():
        if found == image_id:
            unpin(paths, source)


def orphans(paths: Paths) -> tuple[str, ...]:
    """The paths of what is no record, or not where its record belongs: leftovers of killed processes."""
    return tuple(path for path in map(paths.pin, files.entries(paths.pins)) if not _is_in_place(paths, path))


def _is_in_place(paths: Paths, path: str) -> bool:
    try:
        return path == paths.pin(record_name(_read(path)[0]))
    except (OSError, InvalidSpec, Corrupt):
        return False


def _read(path: str) -> tuple[str, ImageID]:
    fields = Fields(parse_json(reading.read_bytes(path), path), "pin")
    fields.check_format(_FORMAT)
    return fields.text("source"), ImageID(fields.text("imageID"))
