# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as a whole: many may add to it, one alone may collect what nothing refers to.

Locks of single images, layers, trees and sources are only taken by who holds one of the two.
"""

from __future__ import annotations

import os

from ..host import datadir, files
from ..host.locks import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths

_SECONDS = 1800.0
_STORE = "store"


def adding(paths: Paths) -> FileLock:
    """Held while something new is not referred to yet: layers whose image is still being made. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(_path(paths), shared=True, timeout=_SECONDS)


def collecting(paths: Paths) -> FileLock:
    """Held while things are found that nothing refers to, and removed. Raises OSError."""
    datadir.ensure(paths)
    return FileLock(_path(paths), timeout=_SECONDS)


def lock_source(paths: Paths, source: str) -> FileLock:
    """Held while a source is asked, so that all others who want the same wait for one download."""
    import hashlib

    return FileLock(
        f"{paths.cas}/imagelocks/source-{hashlib.sha256(source.encode()).hexdigest()}", timeout=_SECONDS
    )


def sweep(paths: Paths) -> None:
    """Remove the files of all locks but the store's own. The caller holds collecting, so nobody has any of them."""
    for directory in (f"{paths.cas}/imagelocks", f"{paths.cas}/treestorelocks"):
        for name in files.entries(directory):
            if name != _STORE:
                os.unlink(f"{directory}/{name}")


def _path(paths: Paths) -> str:
    return f"{paths.cas}/imagelocks/{_STORE}"
