# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup of a pod by its name, or by the beginning of its UUID.

Only the command line guesses (resolve). Everything below it knows whether it has a name or a UUID: a name without a pod
is never taken for the beginning of a UUID, and a pod that a plan has seen is opened by its UUID.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Conflict, Corrupt, InvalidSpec, NotFound
from ..host.files import entries, make_dirs, write_atomically
from ..host.locks import FileLock
from ..host.reading import read_text
from .lifecycle import locate, open_pod
from .names import PodName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths
    from .lifecycle import Pod

# Converging may wait for a download.
_SECONDS = 1800.0
# Source: behaviours D5.
_SEARCHED = ("run", "exited-garbage", "prepare", "prepared")


def resolve(paths: Paths, text: str) -> Pod:
    """Open the pod of a word of a command line: a name, a UUID, or a unique beginning of one.

    A name goes first: db is one, and the beginning of many a UUID. Raises NotFound, InvalidSpec.
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


def by_name(paths: Paths, name: str) -> Pod:
    """Open the pod of a name, which is never taken for a UUID. Raises NotFound."""
    uuid = uuid_of_name(paths, name)
    if uuid is None:
        raise NotFound(f'there is no pod of the name "{name}"', "podctl list shows all pods", name=name)
    return open_pod(paths, uuid)


def expect(paths: Paths, name: str, uuid: str) -> Pod:
    """Open the pod that a plan has seen under a name. Raises Conflict if the name means another one now, NotFound."""
    current = uuid_of_name(paths, name)
    if current != uuid:
        raise Conflict(
            f'the name "{name}" no longer means pod {uuid}, but '
            + (f"pod {current}" if current else "no pod"),
            "another process has changed it meanwhile: run the task again",
            name=name,
            uuid=uuid,
        )
    return open_pod(paths, uuid)


def uuid_of_name(paths: Paths, name: str) -> str | None:
    """The UUID of the pod of a name, None if no pod that exists has it."""
    uuid = _recorded(paths, name)
    return uuid if uuid and locate(paths, uuid) else None


def _recorded(paths: Paths, name: str) -> str:
    try:
        return read_text(paths.name(PodName(name)))
    except (FileNotFoundError, InvalidSpec, Corrupt):
        return ""


def name_of(paths: Paths, uuid: str) -> str:
    """The name of a pod, or "", for a pod whose own documents are unreadable."""
    return next((name for name in entries(paths.names) if uuid_of_name(paths, name) == uuid), "")


def lock_name(paths: Paths, name: str, seconds: float = _SECONDS) -> FileLock:
    """The lock of a process that converges or changes the pod of a name, from the first look to the end.

    All but the pod's own unit take it: the unit acts for a task or a podctl that has it, or alone. Raises Conflict
    naming the holder.
    """
    return FileLock(paths.name_lock(name), timeout=seconds)


def lock_start(paths: Paths, name: str) -> FileLock:
    """The lock of the preparation of a start: the pod's unit takes it too, and a converging task waits for that."""
    return FileLock(paths.start_lock(name), timeout=_SECONDS)


def set_name(paths: Paths, name: str, uuid: str) -> None:
    """Give a name to this pod."""
    make_dirs(paths.names)
    with FileLock(paths.names):
        write_atomically(paths.name(name), uuid.encode() + b"\n")


def sweep(paths: Paths, before: float) -> None:
    """Remove the remains of processes that were killed before that time.

    These are names that were about to be written, or to be dropped since their pod is gone.
    """
    for leaf in entries(paths.names):
        path = paths.name(leaf)
        with suppress(FileNotFoundError):
            if os.stat(path).st_mtime > before:
                continue
            if leaf.endswith(".tmp"):
                os.unlink(path)
                continue
            uuid = _recorded(paths, leaf)
            if uuid and locate(paths, uuid) is None:
                drop_name(paths, leaf, uuid)


def drop_name(paths: Paths, name: str, uuid: str) -> None:
    """Remove a name if it means this pod; no other process can change it between the check and the removal."""
    if _recorded(paths, name) != uuid:
        return
    with FileLock(paths.names):
        if _recorded(paths, name) == uuid:
            os.unlink(paths.name(name))
