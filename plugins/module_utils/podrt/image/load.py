# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of an archive, and the names under which they are loaded into the store."""

from __future__ import annotations

from ..errors import NotFound
from .archive_files import TarFiles
from .archives import LIST, opened
from .reference import INDEX, SavedImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .archives import Candidate


def images_in(path: str, arch: str) -> tuple[SavedImage, ...]:
    """The images of an archive for a platform, each with the docker reference that it is loaded as.

    path: absolute. arch: in appc's spelling. One without a name gets one after the file and its digest. Errors in the
    last image are raised before the first one is loaded: NotFound, InvalidSpec, Untrusted, Corrupt, Unsupported,
    HostFailure.
    """
    whole = SavedImage(_form(path), path)
    with opened(whole) as archive:
        candidates = archive.candidates()
    if not candidates:
        raise NotFound(f"{path} has no image", "save it again")
    choices = dict.fromkeys(choice for candidate in candidates for choice in _choices(candidate))
    return tuple(_named(whole.replace(choice=choice), arch) for choice in choices)


def _choices(candidate: Candidate) -> tuple[str, ...]:
    """Its whole names, which are worth more than tags; without any name its place."""
    names = [name for name in candidate.names if "/" in name or ":" in name]
    return tuple(names) or candidate.names or (f"@{candidate.place}",)


def _named(reference: SavedImage, arch: str) -> SavedImage:
    with opened(reference) as archive:
        return reference.replace(wanted=archive.image(arch).reference)


def _form(path: str) -> str:
    files = TarFiles(path, path)
    try:
        if files.has(LIST):
            return "docker-archive"
        if files.has(INDEX):
            return "oci-archive"
    finally:
        files.close()
    raise NotFound(
        f"{path} is not an archive of saved images: it has neither manifest.json nor index.json",
        "podctl fetch takes an ACI",
    )
