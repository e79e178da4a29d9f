# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the supervisor's interpreter: it loads the other modules here from the plan, and runs the pod.

Modules come with the plan, since to look for files would take time, and memory for the life of the process. Needless
modules go first, so that their memory is used again; the others are loaded one by one. No file of Python is there to be
imported, not even __future__.
"""

import _imp
import _signal
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
_BUILT_IN = (_imp, _signal, marshal, posix, select, sys, time)
# Modules that the interpreter has loaded and the supervisor does not need: the importer of files, and the lookup of
# codecs, which are in C. Tracebacks are still shown, without lines of source.
_NEEDLESS = (
    *("_frozen_importlib_external", "zipimport", "encodings.aliases"),
    *("encodings.utf_8", "encodings", "codecs", "io", "abc"),
)


def begin(fd: int) -> None:
    """Supervise the pod of the plan in a file, and exit with its status."""
    _forget_files()
    _know_annotations()
    end = _SIZE + int.from_bytes(posix.pread(fd, _SIZE, 0), "little")
    programs, at_once, plan = marshal.loads(posix.pread(fd, end - _SIZE, _SIZE))
    module, end = _load(fd, programs[:at_once], end)

    def late() -> "ModuleType":
        _take_socket(plan["socket"])
        return _load(fd, programs[at_once:], end)[0]

    module.main(plan, late)


def _forget_files() -> None:
    """Remove the importers, and the modules that are not needed."""
    for found in (sys.path, sys.meta_path, sys.path_hooks, sys.path_importer_cache):
        found.clear()
    for name in _NEEDLESS:
        if name in sys.modules:
            sys.modules.pop(name).__dict__.clear()


def _know_annotations() -> None:
    """Provide what modules import that were not compiled for a runtime, as in a checkout."""
    module = sys.modules["__future__"] = type(sys)("__future__")
    module.annotations = None  # type: ignore[attr-defined]  # it is imported, not used


def _load(fd: int, programs: list[tuple[str, int]], at: int) -> "tuple[ModuleType, int]":
    """Load modules whose code begins at an offset. Returns the last one, which imports the others, and the end."""
    module = sys
    for name, size in programs:
        module = sys.modules[name] = type(sys)(name)
        module.__package__ = _PACKAGE
        exec(marshal.loads(posix.pread(fd, size, at)), module.__dict__)
        at += size
    return module, at


def _take_socket(path: str) -> None:
    """Import _socket without the importers. path: of its file, "" if it is part of the interpreter."""
    spec = _Spec("_socket", path)
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
