# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as a whole: many may add to it, one alone may collect what nothing refers to.

Neither is held while a server is waited for: what a fetch in progress counts on, it claims (store.claims).
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
    """Held while something that is in the store already is being referred to. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(paths.store_lock, shared=True, timeout=_SECONDS)


def collecting(paths: Paths) -> FileLock:
    """Held while things are found that nothing refers to, and removed. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(paths.store_lock, timeout=_SECONDS)


def turn(paths: Paths, key: str, what: str, *, patience: float, tell: Callable[[str], None]) -> Turn:
    """For work that processes may want at the same time, by a key of any form. See Turn."""
    import hashlib

    from ..host.turns import Turn

    place = paths.turn(hashlib.sha256(key.encode()).hexdigest())
    return Turn(place, what, patience=patience, tell=tell)


def sweep(paths: Paths) -> None:
    """Remove the files of locks that are not held, but the store's own; a process that waits for one makes it again."""
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
