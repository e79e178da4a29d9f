# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first code of the supervisor's interpreter: it loads the other modules here from the plan, and runs the pod.

Modules come with the plan, since to look for files would take time, and memory for the life of the process. Needless
modules go first, so that their memory is used again; the others are loaded one by one.
"""

from __future__ import annotations

import _signal
import _socket
import marshal
import posix
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from .record import SupervisorPlan

_PACKAGE = "pid1"
# The bytes of a length in the plan, see inside.program.
_SIZE = 4
# Imported before the importers are removed.
_BUILT_IN = (_signal, _socket, marshal, posix, select, sys, time)
# Modules that the interpreter has loaded and the supervisor does not need: the importer of files, and the lookup of
# codecs, which are in C. Tracebacks are still shown, without lines of source.
_NEEDLESS = (
    *("_frozen_importlib_external", "zipimport", "encodings.aliases"),
    *("encodings.utf_8", "encodings", "codecs", "io", "abc"),
)


def begin(fd: int) -> None:
    """Supervise the pod of the plan in a file, and exit with its status."""
    _forget_files()
    module, plan = _load(fd)
    posix.close(fd)
    module.main(plan)


def _forget_files() -> None:
    """Remove the importers, and the modules that are not needed."""
    for found in (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache):
        found.clear()
    for name in _NEEDLESS:
        if name in sys.modules:
            sys.modules.pop(name).__dict__.clear()


def _load(fd: int) -> tuple[ModuleType, SupervisorPlan]:
    """Load the modules. Returns the last one, which imports all the others, and the plan."""
    at = _SIZE + _size(fd, 0)  # behind this code
    end = at + _SIZE + _size(fd, at)
    programs, plan = marshal.loads(posix.pread(fd, end - at - _SIZE, at + _SIZE))
    module = sys
    for name, size in programs:
        module = sys.modules[name] = type(sys)(name)
        module.__package__ = _PACKAGE
        exec(marshal.loads(posix.pread(fd, size, end)), module.__dict__)
        end += size
    return module, plan


def _size(fd: int, at: int) -> int:
    return int.from_bytes(posix.pread(fd, _SIZE, at), "little")


if __name__ == "__main__":
    begin(int(sys.argv[1]))
