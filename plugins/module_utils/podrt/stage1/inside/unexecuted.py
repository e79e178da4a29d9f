# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of a pod that does not outlive its starter, in the interpreter that has built the pod.

It has the memory of the starter, as that was when it was forked, so no app may be able to look into it. Of all that
an app sees in /proc without such rights, only the arguments would tell what the starter knows.
"""

from __future__ import annotations

import gc
import os
import sys

from ...host import syscalls
from ...host.reading import kernel_text
from ..pid1 import pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

    from ..pid1.record import SupervisorPlan

_FIRST_FD = 3
_NAME = b"podctl\0supervise\0"
# The places of arg_start and arg_end behind the name of the program. Source: proc(5), stat.
_BEGINS, _ENDS = 45, 46
_FAILED = 1


def take_name() -> None:
    """Replace the arguments of this process, which every process that sees it can read. Raises OSError.

    Of none the last byte is overwritten: the kernel would show what follows them.
    """
    fields = kernel_text("/proc/self/stat").rpartition(")")[2].split()
    begin, end = int(fields[_BEGINS]), int(fields[_ENDS])
    room = max(0, end - begin - 1)
    syscalls.overwrite(begin, _NAME[:room].ljust(room, b"\0"))


def supervise(plan: SupervisorPlan, kept: Sequence[int]) -> NoReturn:
    """Supervise the pod of a plan, and end with its status. kept: the descriptors that stay open beside stdio."""
    try:
        _close_others(kept)
        # What there is belongs to the starter as well: to look for garbage in it would make a copy of all.
        gc.freeze()
        pod.main(plan, _late)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(_FAILED)


def _late(name: str) -> ModuleType:
    """What the supervisor loads when it needs it. It gives back no memory: the starter has that, too."""
    if name != "control":
        raise ImportError(name)
    from ..pid1 import control

    return control


def _close_others(kept: Sequence[int]) -> None:
    first = _FIRST_FD
    for fd in sorted({fd for fd in kept if fd >= first}):
        if fd > first:
            syscalls.close_range(first, fd - 1)
        first = fd + 1
    syscalls.close_range(first)
