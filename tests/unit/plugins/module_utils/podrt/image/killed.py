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

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure

_LOST_WORKER = 9
_EFFECTS = ("os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def killed_at_effects(
    do: Callable[[Callable[[bytes], None]], object], step: int, *, workers: bool = False
) -> Iterator[bytes]:
    """Do something in new processes, and kill each just before one of its effects on files; let the last one end.

    Yields what it has told by then, by the function that it is called with. step: every how many effects. workers:
    whether only effects of workers count, of which the first to reach the number is killed, and not its parent.
    """
    number, ended = 1 - step, False
    while not ended:
        number += step
        ended, told = _killed(do, number, workers=workers)
        yield told


def _killed(
    do: Callable[[Callable[[bytes], None]], object], number: int, *, workers: bool
) -> tuple[bool, bytes]:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
        child = os.fork()
    if not child:
        _run(do, number, writing, workers=workers)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _LOST_WORKER, -signal.SIGKILL), told.decode()
    return status == 0, told


def _run(
    do: Callable[[Callable[[bytes], None]], object], number: int, writing: int, *, workers: bool
) -> None:
    """Never returns."""
    left, whole = number, os.getpid()

    def hook(event: str, given: tuple[object, ...]) -> None:
        nonlocal left
        if workers and os.getpid() == whole:
            return
        is_write = event == "open" and isinstance(given[2], int) and bool(given[2] & _WRITES)
        if event in _EFFECTS or is_write:
            left -= 1
            if not left:
                os.kill(os.getpid() if workers else whole, signal.SIGKILL)
                signal.pause()  # a worker, which ends with its parent

    try:
        sys.addaudithook(hook)
        do(lambda text: [os.write(writing, text)].clear())
        os._exit(0)
    except HostFailure as err:
        os.write(writing, err.message.encode())
        os._exit(_LOST_WORKER if workers and "was killed by signal 9" in err.message else 1)
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
        os._exit(1)
