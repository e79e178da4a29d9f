# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiled modules of an installed runtime in one file, which a start reads once.

Finding and reading a hundred files one by one costs a start 8 ms. The file is mapped and not read: a start needs a
third of it, and memory for the whole would take 3 ms. It belongs to one version of Python, as compiled files do;
without it, as in a checkout, modules are imported as usual.

What a module imports at once is loaded before it, by a few lines here: importlib takes 20 µs for each to be ready for
threads and for other finders. So these imports make no circle, which a test finds.

    4 bytes, little endian    the length of the index
    the index, marshalled     name to (file, whether a package, offset of its code, length of its code, what it imports)
    the code of all modules   marshalled, as in their compiled files
"""

from __future__ import annotations

import fcntl
import gc
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _thread import _count as other_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    Index = dict[str, tuple[str, bool, int, int, tuple[str, ...]]]

HEAD = 4  # the bytes of the length of the index
_FIRST_FD = 3
# Imported modules stay, and the garbage collector would cost a start 1 ms by checking them again and again.
_MANY = 100_000


class Bundle:
    """A finder and loader of the modules in a bundle. root: the runtime's directory. Source: PEP 451."""

    def __init__(self, root: str, index: Index, code: memoryview) -> None:
        self._root = root
        self._index = index
        self._code = code

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """The spec of a module, None if it is not in the bundle."""
        place = self._index.get(name)
        if place is None:
            return None
        origin = f"{self._root}/{place[0]}"
        spec = ModuleSpec(name, self, origin=origin, is_package=place[1])  # type: ignore[arg-type]  # no ABC
        spec.has_location = True
        spec.cached = bundle_of(self._root)  # else it is computed from the origin, for every module
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(origin))
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """Use an ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of a module."""
        name = module.__name__
        # Another thread would take a module that is being loaded for a whole one.
        for needed in () if other_threads() else self._index[name][4]:
            if needed not in sys.modules:
                self._load(needed)
        exec(marshal.loads(self.code_of(name)), module.__dict__)

    def code_of(self, name: str) -> memoryview:
        """The code of a module as it is in compiled files. Raises KeyError."""
        _file, _package, begin, size, _needed = self._index[name]
        return self._code[begin : begin + size]

    def modules_of(self, name: str, seen: set[str]) -> Iterator[tuple[str, str, bool, bytes]]:
        """A module and all that it imports at once, each after what it needs itself, but for those that were seen.

        See bundled_modules.
        """
        if name in seen or name not in self._index:
            return
        seen.add(name)
        file, package, _begin, _size, needed = self._index[name]
        for each in (name.rpartition(".")[0], *needed):
            yield from self.modules_of(each, seen)
        yield name, f"{self._root}/{file}", package, bytes(self.code_of(name))

    def _load(self, name: str) -> None:
        """Import a module whose package has been imported."""
        spec = self.find_spec(name)
        if spec is None:
            return
        module = type(sys)(name)
        module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
        module.__package__ = spec.parent
        if spec.submodule_search_locations is not None:
            module.__path__ = spec.submodule_search_locations
        sys.modules[name] = module
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        package, _dot, leaf = name.rpartition(".")
        setattr(sys.modules[package], leaf, module)


def use(root: str) -> None:
    """Import the modules of a runtime from its bundle from now on, if it has a complete one for this interpreter.

    Also take a shared lock on the runtime's directory for the life of this process, so that it is not removed.
    """
    gc.set_threshold(_MANY)
    try:
        _hold(root)
        data = _mapped(bundle_of(root))
        end = HEAD + int.from_bytes(data[:HEAD], "little")
        index, code = marshal.loads(data[HEAD:end]), data[end:]
        if len(code) != sum(place[3] for place in index.values()):
            return
    except (ImportError, OSError, ValueError, EOFError, TypeError, AttributeError, LookupError):
        return
    sys.meta_path.insert(0, Bundle(root, index, code))


def bundled_code(name: str) -> bytes:
    """The code of a module that comes from a bundle, b"" of one that does not."""
    used = _used()
    return bytes(used.code_of(name)) if used else b""


def bundled_modules(name: str) -> list[tuple[str, str, bool, bytes]]:
    """A module and all that it imports at once, in an order in which they can be loaded, [] if it is in no bundle.

    Each is its name, its file, whether it is a package, and its code.
    """
    used = _used()
    return [*used.modules_of(name, set())] if used else []


def _used() -> Bundle | None:
    return next((found for found in sys.meta_path if isinstance(found, Bundle)), None)


def _mapped(path: str) -> memoryview:
    import mmap  # not needed to install a runtime

    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    fds = [file]
    try:
        # mmap keeps its own descriptor, which must not get the number of a stream that the caller has closed.
        while fds[-1] < _FIRST_FD:
            fds.append(os.dup(file))
        return memoryview(mmap.mmap(file, 0, prot=mmap.PROT_READ))
    finally:
        for fd in fds:
            os.close(fd)


def _hold(root: str) -> None:
    held = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    above_stdio = fcntl.fcntl(held, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
    os.close(held)
    fcntl.flock(above_stdio, fcntl.LOCK_SH)


def bundle_of(root: str) -> str:
    """The path of the bundle of a runtime for this interpreter."""
    return f"{root}/podrt.{sys.implementation.cache_tag}.bundle"
