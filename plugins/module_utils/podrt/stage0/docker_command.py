# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image runs with another Cmd. Pure. Source: behaviours B41 and B44."""

from __future__ import annotations

from ..appc.image import ENTRYPOINT
from ..errors import InvalidSpec
from ..jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.image import ImageManifest


def with_command(manifest: ImageManifest, command: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The image's Entrypoint with a command after it, in place of the Cmd.

    An image without an Entrypoint, as every ACI is, runs the command alone. where: of the option. Raises InvalidSpec
    for an image that does not run the Entrypoint that it names.
    """
    entrypoint = _entrypoint(manifest.annotations.get(ENTRYPOINT) or "[]")
    own = manifest.app.exec if manifest.app else ()
    if entrypoint is None or own[: len(entrypoint)] != entrypoint:
        raise InvalidSpec(
            f"image {manifest.name} does not run the Entrypoint of its annotation {ENTRYPOINT}",
            "say with exec and args what to run",
            where=where,
        )
    return (*entrypoint, *command)


def _entrypoint(text: str) -> tuple[str, ...] | None:
    """The words of an annotation, None for what is no list of texts."""
    try:
        found = loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    words = tuple(word for word in found if isinstance(word, str))
    return words if len(words) == len(found) else None
