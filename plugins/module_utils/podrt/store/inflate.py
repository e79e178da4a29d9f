# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inflate gzip data by the fastest that the host has: the Python module isal, the program igzip, or zlib.

Half of the time of a fetch is spent in zlib, which takes up to twice that of the other two.
"""

from __future__ import annotations

import functools
import sys

from ..errors import Corrupt, PodError, reason_of
from ..host import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import zlib
    from collections.abc import Iterator
    from types import ModuleType

# What may be used at most. A program, or to look for a module, is worth its start for large data alone.
ZLIB, MODULE, PROGRAM = range(3)
_GZIP = 31  # of wbits: the largest window, and a header and a trailer of gzip
_PROGRAM = ("igzip", "-dc")
_TRIAL, _TRIED = bytes.fromhex("1f8b0800000000000203ab00008316dc8c01000000"), b"x"


def inflater(by: int) -> zlib._Decompress:
    """What decompresses one gzip member."""
    isal = module() if by > ZLIB else None
    if isal:
        found: zlib._Decompress = isal.decompressobj(_GZIP)
        return found
    import zlib

    return zlib.decompressobj(_GZIP)


def choose() -> None:
    """Find out what there is: before processes are forked, which then need not."""
    program()


@functools.cache
def module() -> ModuleType | None:
    """The module isal.isal_zlib, which has the functions of zlib; None where it is not installed or does not load."""
    import importlib

    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        pass
    try:
        _import_from_site("isal")
        return importlib.import_module("isal.isal_zlib")
    except Exception:  # whatever a package of the host raises
        sys.modules.pop("isal", None)
        return None


def _import_from_site(name: str) -> None:
    """Import a package of the host's Python, whose directories an interpreter leaves out that starts with -S."""
    import importlib.util
    import site
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(name, site.getsitepackages())
    if spec is None or spec.loader is None:
        raise ImportError(name)
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


@functools.cache
def program() -> str:
    """The path of the program igzip where it is to be used, else ""."""
    if module():
        return ""
    try:
        path = programs.find(_PROGRAM[0])
        done = programs.run((path, *_PROGRAM[1:]), stdin=_TRIAL)
    except (PodError, OSError):
        return ""
    return path if done.stdout == _TRIED and not done.status else ""


def by_program(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The plain stream of a gzip one, by the program. It ignores what follows a member and begins no other one.

    Raises Corrupt.
    """
    try:
        yield from programs.pipe((program(), *_PROGRAM[1:]), chunks)
    except OSError as err:
        raise Corrupt(f"the gzip data is damaged: {reason_of(err)}") from err
