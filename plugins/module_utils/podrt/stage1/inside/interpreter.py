# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interpreter in the root of an app, where every file that it would read belongs to the image.

Imports are not its only reading of code: to show an exception or a warning it opens the source and imports a codec for
the encoding that the source names, or from 3.13 on the module traceback. Source: attack on pods, pods-F1.
"""

from __future__ import annotations

import _warnings
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


def read_no_code() -> None:
    """Prevent imports from now on, and have exceptions shown by type and text only.

    Loaded modules stay. Called when the root changes, before any file in it is opened.
    """
    sys.path[:] = []
    sys.meta_path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()
    _warnings.filters.insert(0, ("ignore", None, Warning, None, 0))
    sys.excepthook = show
    sys.unraisablehook = _show_unraisable


def show(kind: type[BaseException], err: BaseException | None, _trace: TracebackType | None = None) -> None:
    """Write one line to stderr and never raise: after an error here the interpreter would show both errors itself."""
    try:
        text = "".join(char if char.isprintable() else "?" for char in str(err))
        posix.write(2, f"Error: {kind.__name__}: {text}\n".encode("utf-8", "backslashreplace"))
    except BaseException:
        pass


def _show_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    show(unraisable.exc_type, unraisable.exc_value)
