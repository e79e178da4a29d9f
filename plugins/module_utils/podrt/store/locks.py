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
_STORE = "store"


def adding(paths: Paths) -> FileLock:
    """Held while something that is in the store already is being referred to. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(_path(paths), shared=True, timeout=_SECONDS)


def collecting(paths: Paths) -> FileLock:
    """Held while things are found that nothing refers to, and removed. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(_path(paths), timeout=_SECONDS)


def turn(paths: Paths, key: str, what: str, *, patience: float, tell: Callable[[str], None]) -> Turn:
    """For work that processes may want at the same time, by a key of any form. See Turn."""
    import hashlib

    from ..host.turns import Turn

    place = f"{paths.cas}/imagelocks/turn-{hashlib.sha256(key.encode()).hexdigest()}"
    return Turn(place, what, patience=patience, tell=tell)


def sweep(paths: Paths) -> None:
    """Remove the files of locks that are not held, but the store's own; a process that waits for one makes it again."""
    for directory in (f"{paths.cas}/imagelocks", f"{paths.cas}/treestorelocks"):
        for name in files.entries(directory):
            if name != _STORE:
                _remove_idle(f"{directory}/{name}")


def _remove_idle(path: str) -> None:
    try:
        with FileLock(path, timeout=0.0) as lock:
            lock.remove()
    except Conflict:
        return


def _path(paths: Paths) -> str:
    return f"{paths.cas}/imagelocks/{_STORE}"
