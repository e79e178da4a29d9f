# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interpreter in a root that an image has filled, where every file that it would read is the image's.

It reads code not only to import it: to show an exception or a warning it opens the source and, for the encoding that
the source names, imports a codec, or from 3.13 on the module traceback. Source: attack on pods, pods-F1.
"""

from __future__ import annotations

import _warnings
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


def read_no_code() -> None:
    """From now on nothing is imported, and what is shown of an exception is its type and its text.

    Modules that are loaded stay. Called when the root changes, before anything in it is looked at.
    """
    sys.path[:] = []
    sys.meta_path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()
    _warnings.filters.insert(0, ("ignore", None, Warning, None, 0))
    sys.excepthook = show
    sys.unraisablehook = _show_unraisable


def show(kind: type[BaseException], err: BaseException | None, _trace: TracebackType | None = None) -> None:
    """One line on standard error, whatever happens: after an error in here the interpreter would show both itself."""
    try:
        text = "".join(char if char.isprintable() else "?" for char in str(err))
        posix.write(2, f"Error: {kind.__name__}: {text}\n".encode("utf-8", "backslashreplace"))
    except BaseException:
        pass


def _show_unraisable(found: sys.UnraisableHookArgs) -> None:
    show(found.exc_type, found.exc_value)
