# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the supervisor's interpreter: it loads the other modules here from the plan, and runs the pod.

Modules come with the plan, since to look for files would take time, and memory for the life of the process. Needless
modules go first, so that their memory is used again; the others are loaded one by one. No file of Python is there to be
imported, not even __future__.
"""

import _imp
import _signal
import gc
import marshal
import posix
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

_PACKAGE = "pid1"
# The bytes of the length of the plan's head, see inside.program.
_SIZE = 4
# Imported before the importers are removed.
_BUILT_IN = (_imp, _signal, gc, marshal, posix, select, sys, time)
# Modules that the interpreter has loaded and the supervisor does not need: the importer of files, and the lookup of
# codecs, which are in C. Tracebacks are still shown, without lines of source.
_NEEDLESS = (
    *("_frozen_importlib_external", "zipimport", "encodings.aliases"),
    *("encodings.utf_8", "encodings", "codecs", "io", "abc"),
)

# What is loaded later: an extension of the interpreter, and the modules that import it.
_LATE = {"control": ("_socket", ("pid1.record", "pid1.control")), "idle": ("_ctypes", ("pid1.idle",))}


def begin(fd: int) -> None:
    """Supervise the pod of the plan in a file, and exit with its status."""
    _forget_files()
    _know_annotations()
    end = _SIZE + int.from_bytes(posix.pread(fd, _SIZE, 0), "little")
    programs, at_once, plan = marshal.loads(posix.pread(fd, end - _SIZE, _SIZE))
    places = {}
    for name, size in programs:
        places[name] = size, end
        end += size

    def late(name: str) -> "ModuleType":
        extension, needed = _LATE[name]
        _take(extension, plan["extensions"][extension])
        return [_load(fd, each, *places[each]) for each in needed][-1]

    [_load(fd, name, *places[name]) for name, _size in programs[:at_once]][-1].main(plan, late)


def _forget_files() -> None:
    """Remove the importers, and the modules that are not needed."""
    for found in (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache):
        found.clear()
    for name in _NEEDLESS:
        if name in sys.modules:
            sys.modules.pop(name).__dict__.clear()
    gc.collect()


def _know_annotations() -> None:
    """Provide what modules import that were not compiled for a runtime, as in a checkout."""
    module = sys.modules["__future__"] = type(sys)("__future__")
    module.annotations = None  # type: ignore[attr-defined]  # it is imported, not used


def _load(fd: int, name: str, size: int, at: int) -> "ModuleType":
    """Load a module. at: the offset of its code."""
    module = sys.modules[name] = type(sys)(name)
    module.__package__ = _PACKAGE
    exec(marshal.loads(posix.pread(fd, size, at)), module.__dict__)
    return module


def _take(name: str, path: str) -> None:
    """Import an extension without the importers. path: of its file, "" if it is part of the interpreter."""
    spec = _Spec(name, path)
    create = _imp.create_dynamic if path else _imp.create_builtin
    module = create(spec)  # type: ignore[arg-type]  # anything with these members
    (_imp.exec_dynamic if path else _imp.exec_builtin)(module)
    sys.modules[spec.name] = module


class _Spec:
    """The members of importlib's specs that the interpreter reads."""

    def __init__(self, name: str, origin: str) -> None:
        self.name = name
        self.origin = origin


if __name__ == "__main__":
    begin(int(sys.argv[1]))
