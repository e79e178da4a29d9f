# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store as a whole: many may add to it, one alone may collect what nothing refers to."""

from __future__ import annotations

from ..host.locks import FileLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths

_SECONDS = 1800.0


def adding(paths: Paths) -> FileLock:
    """Held while something new is not referred to yet: layers whose image is still being made."""
    return FileLock(_path(paths), shared=True, timeout=_SECONDS)


def collecting(paths: Paths) -> FileLock:
    """Held while unreferenced things are found and removed."""
    return FileLock(_path(paths), timeout=_SECONDS)


def lock_source(paths: Paths, source: str) -> FileLock:
    """Held while a source is asked, so that all others who want the same wait for one download."""
    import hashlib

    return FileLock(
        f"{paths.cas}/imagelocks/source-{hashlib.sha256(source.encode()).hexdigest()}", timeout=_SECONDS
    )


def _path(paths: Paths) -> str:
    return f"{paths.cas}/imagelocks/store"
