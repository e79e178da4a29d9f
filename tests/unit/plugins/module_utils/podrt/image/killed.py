# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A process that is killed at one of its effects: real ones, by SIGKILL from within."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator

_EFFECTS = ("os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def killed_at_effects(do: Callable[[Callable[[bytes], None]], object], step: int) -> Iterator[bytes]:
    """Do something in new processes, and kill each just before one of its effects on files; let the last one end.

    Yields what it has told by then, by the function that it is called with. step: every how many effects.
    """
    number, ended = 1 - step, False
    while not ended:
        number += step
        ended, told = _killed(do, number)
        yield told


def _killed(do: Callable[[Callable[[bytes], None]], object], number: int) -> tuple[bool, bytes]:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        child = os.fork()
    if not child:
        _run(do, number, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), told.decode()
    return status == 0, told


def _run(do: Callable[[Callable[[bytes], None]], object], number: int, writing: int) -> None:
    """Never returns."""
    left, whole = number, os.getpid()

    def hook(event: str, given: tuple[object, ...]) -> None:
        nonlocal left
        is_write = event == "open" and isinstance(given[2], int) and bool(given[2] & _WRITES)
        if event in _EFFECTS or is_write:
            left -= 1
            if not left:
                os.kill(whole, signal.SIGKILL)
                signal.pause()  # a worker, which ends with its parent

    try:
        sys.addaudithook(hook)
        do(lambda text: [os.write(writing, text)].clear())
        os._exit(0)
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
        os._exit(1)
