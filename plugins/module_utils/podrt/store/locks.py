# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of the whole store: many processes may add to it, one alone may collect garbage.

It is not held while a server is waited for: a fetch in progress claims the layers that it needs (store.claims).
"""

from __future__ import annotations

from ..errors import Conflict
from ..host import datadir, files
from ..host.locks import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..host.paths import Paths
    from ..host.turns import Turn

_SECONDS = 1800.0


def adding(paths: Paths) -> FileLock:
    """The shared lock, held while a reference to something in the store is made. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(paths.store_lock, shared=True, timeout=_SECONDS)


def collecting(paths: Paths) -> FileLock:
    """The exclusive lock, held while garbage is found and removed. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(paths.store_lock, timeout=_SECONDS)


def turn(paths: Paths, key: str, what: str, *, patience: float, tell: Callable[[str], None]) -> Turn:
    """A turn for work that several processes may want at the same time, by a key of any form. See Turn."""
    import hashlib

    from ..host.turns import Turn

    place = paths.turn(hashlib.sha256(key.encode()).hexdigest())
    return Turn(place, what, patience=patience, tell=tell)


def sweep(paths: Paths) -> None:
    """Remove the files of idle locks, except the store's own; a process that waits for one makes it again."""
    for directory in (paths.image_locks, paths.tree_locks):
        for name in files.entries(directory):
            if f"{directory}/{name}" != paths.store_lock:
                _remove_idle(f"{directory}/{name}")


def _remove_idle(path: str) -> None:
    try:
        with FileLock(path, timeout=0.0) as lock:
            lock.remove()
    except Conflict:
        return
