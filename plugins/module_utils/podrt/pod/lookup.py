# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what people call a pod, a name or the beginning of a UUID, to the pod."""

from __future__ import annotations

import contextlib
import os

from ..appc.names import ACName
from ..errors import InvalidSpec, NotFound
from ..host.files import entries, make_dirs, write_atomically
from ..host.locks import FileLock
from ..host.reading import read_text
from .lifecycle import open_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths
    from .lifecycle import Pod

# Converging may wait for a download.
_SECONDS = 1800.0
# Source: behaviours D5.
_SEARCHED = ("run", "exited-garbage", "prepare", "prepared")


def resolve(paths: Paths, text: str) -> Pod:
    """The pod that a name, a UUID, or a unique beginning of one names. Raises NotFound, InvalidSpec.

    A name goes first: db is one, and the beginning of many a UUID.
    """
    if not text:
        raise InvalidSpec("UUID cannot be empty")
    named = uuid_of_name(paths, text)
    if named:
        return open_pod(paths, named)
    wanted = text.lower()
    matches = sorted(
        {uuid for state in _SEARCHED for uuid in entries(paths.state(state)) if uuid.startswith(wanted)}
    )
    if len(matches) > 1:
        raise InvalidSpec(f"ambiguous uuid, {len(matches)} matches", "give more of the UUID")
    if matches:
        return open_pod(paths, matches[0])
    raise NotFound(f'no matches found for "{text}"', "podctl list shows all pods")


def uuid_of_name(paths: Paths, name: str) -> str | None:
    """The UUID of the pod of that name, None when there is none or the name is not a valid one."""
    try:
        return read_text(paths.name(ACName(name))) or None
    except (FileNotFoundError, InvalidSpec):
        return None


def lock_name(paths: Paths, name: str) -> FileLock:
    """Held by whoever converges the pod of a name, from looking to the end. Raises Conflict naming the holder."""
    return FileLock(f"{paths.locks}/name-{name}", timeout=_SECONDS)


def lock_start(paths: Paths, name: str) -> FileLock:
    """Held while the pod of a name is made ready to start: by a unit too, which whoever converges waits for."""
    return FileLock(f"{paths.locks}/start-{name}", timeout=_SECONDS)


def set_name(paths: Paths, name: str, uuid: str) -> None:
    """Let a name mean this pod from now on."""
    make_dirs(paths.names)
    write_atomically(paths.name(name), uuid.encode() + b"\n")


def sweep(paths: Paths, before: float) -> None:
    """Remove what was left of names that were being written, by whoever was killed meanwhile before that time."""
    for leaf in entries(paths.names):
        path = f"{paths.names}/{leaf}"
        with contextlib.suppress(FileNotFoundError):
            if leaf.endswith(".tmp") and os.stat(path).st_mtime <= before:
                os.unlink(path)


def drop_name(paths: Paths, name: str, uuid: str) -> None:
    """Forget a name if it means this pod."""
    if uuid_of_name(paths, name) == uuid:
        os.unlink(paths.name(name))
