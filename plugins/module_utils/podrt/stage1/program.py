# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor as a program: its compiled file, since compiling it anew costs each pod more than all the rest."""

from __future__ import annotations

import _frozen_importlib_external as importer
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host

_HASH_BASED = 1


def supervisor_argv(host: Host) -> tuple[str, ...]:
    """The beginning of the argv that starts the supervisor; the number of the descriptor with its plan is missing."""
    return (host.python, "-I", "-S", _program())


def _program() -> str:
    source = f"{os.path.dirname(os.path.abspath(__file__))}/supervisor.py"
    compiled = importer.cache_from_source(source)
    if _is_current(compiled, source):
        return compiled
    from . import supervisor  # importing it compiles it, where the cache can be written

    del supervisor
    return compiled if _is_current(compiled, source) else source


def _is_current(compiled: str, source: str) -> bool:
    """Whether a compiled file is of this interpreter and of this source. Source: PEP 552."""
    try:
        with open(compiled, "rb", buffering=0) as file:
            head = file.read(16)
    except OSError:
        return False
    if len(head) < 16 or head[:4] != importer.MAGIC_NUMBER:
        return False
    if int.from_bytes(head[4:8], "little") & _HASH_BASED:
        return True
    found = os.stat(source)
    stamp = int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
    return stamp == (int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:16], "little"))
