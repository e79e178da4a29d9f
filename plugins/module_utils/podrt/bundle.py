# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiled modules of an installed runtime in one file, which a start reads once.

Finding and reading a hundred files one by one costs a start 8 ms. The file is mapped and not read: a start needs a
third of it, and memory for the whole would take 3 ms. It belongs to one version of Python, as compiled files do;
without it, as in a checkout, modules are imported as usual.

    4 bytes, little endian    the length of the index
    the index, marshalled     name to (file, whether a package, offset of its code, length of its code)
    the code of all modules   marshalled, as in their compiled files
"""

from __future__ import annotations

import fcntl
import gc
import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER, cache_from_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    Index = dict[str, tuple[str, bool, int, int]]

_HEAD = 4
_FIRST_FD = 3
# Imported modules stay, and the garbage collector would cost a start 1 ms by checking them again and again.
_MANY = 20_000
# The bytes before the code in a compiled file: these flags and a hash, which is not checked. Source: PEP 552.
_UNCHECKED_HASH = b"\1\0\0\0"
_HASH = 8


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
        spec.cached = _bundle_of(self._root)  # else it is computed from the origin, for every module
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(origin))
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """Use an ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of a module."""
        exec(marshal.loads(self.code_of(module.__name__)), module.__dict__)

    def code_of(self, name: str) -> memoryview:
        """The code of a module as it is in compiled files. Raises KeyError."""
        _file, _package, begin, size = self._index[name]
        return self._code[begin : begin + size]


def use(root: str) -> None:
    """Import the modules of a runtime from its bundle from now on, if it has a complete one for this interpreter.

    Also take a shared lock on the runtime's directory for the life of this process, so that it is not removed.
    """
    gc.set_threshold(_MANY)
    try:
        _hold(root)
        data = _mapped(_bundle_of(root))
        end = _HEAD + int.from_bytes(data[:_HEAD], "little")
        index, code = marshal.loads(data[_HEAD:end]), data[end:]
        if len(code) != sum(place[3] for place in index.values()):
            return
    except (ImportError, OSError, ValueError, EOFError, TypeError, AttributeError, LookupError):
        return
    sys.meta_path.insert(0, Bundle(root, index, code))


def bundled_code(name: str) -> bytes:
    """The code of a module that comes from a bundle, b"" of one that does not."""
    return next((bytes(found.code_of(name)) for found in sys.meta_path if isinstance(found, Bundle)), b"")


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


def write(root: str) -> None:
    """Compile the modules of a runtime, each into its compiled file and all into the bundle.

    Without docstrings, which no code reads: they are a tenth of what a start loads and a supervisor keeps in memory.
    Raises OSError, and what compile raises: SyntaxError, ValueError.
    """
    index: Index = {}
    code: list[bytes] = []
    at = 0
    for file in sorted(_sources(root)):
        with open(f"{root}/{file}", "rb") as source:
            code.append(marshal.dumps(compile(source.read(), file, "exec", dont_inherit=True, optimize=2)))
        _write_compiled(f"{root}/{file}", code[-1])
        module, _slash, leaf = file[: -len(".py")].rpartition("/")
        package = leaf == "__init__"
        name = (module if package else f"{module}/{leaf}").replace("/", ".")
        index[name] = (file, package, at, len(code[-1]))
        at += len(code[-1])
    head = marshal.dumps(index)
    with open(_bundle_of(root), "wb") as bundle:
        bundle.write(b"".join((len(head).to_bytes(_HEAD, "little"), head, *code)))


def _write_compiled(source: str, code: bytes) -> None:
    """Write a compiled file that counts whatever becomes of its source, which never changes."""
    path = cache_from_source(source)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as compiled:
        compiled.write(b"".join((MAGIC_NUMBER, _UNCHECKED_HASH, bytes(_HASH), code)))


def _bundle_of(root: str) -> str:
    return f"{root}/podrt.{sys.implementation.cache_tag}.bundle"


def _sources(root: str) -> Iterator[str]:
    """The files of the runtime's own modules, relative to its directory."""
    for directory, _directories, names in os.walk(f"{root}/podrt"):
        for name in names:
            if name.endswith(".py"):
                yield os.path.relpath(f"{directory}/{name}", root)
