# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Faults at any effect of stage0: at each operation on files, and before and after each call of another program.

The interpreter reports operations on files to its audit hooks (PEP 578), so that the code under test does not know of
this. The effects of a fake are those of another process, and have no faults.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.programs import Completed

ONCE, ALWAYS, KILLED = HOWS = "fails once", "fails from then on", "is killed"
_EFFECTS = frozenset(
    (
        "os.chmod",
        "os.chown",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "os.utime",
    )
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

# The kind of an effect, and the lines of the runtime that it comes from, the outermost first.
Place = tuple[str, tuple[str, ...]]


class Killed(BaseException):
    """The process was killed: nothing has an effect any more."""


class Faults:
    """Counts effects, and lets the one with a number fail.

    at: the number, from 1; with 0 no effect fails, and the places of all are recorded. how: only it fails; all from
    then on fail; or the process is killed there.
    """

    def __init__(self, at: int = 0, how: str = ONCE) -> None:
        self.at, self.how = at, how
        self.count = 0
        self.places: list[Place] = []

    def effect(self, what: str, err: Exception) -> None:
        """Count an effect that is about to happen. Raises err in its place where it shall fail."""
        self.count += 1
        if not self.at:
            self.places.append((what, _lines()))
        elif self.count == self.at or (self.count > self.at and self.how != ONCE):
            raise Killed(what) if self.how == KILLED else err


class Door:
    """The programs that the code under test starts. Each fails before it begins, or after all its work."""

    def __init__(self, programs: Callable[..., Completed]) -> None:
        self.programs = programs

    def __call__(
        self, argv: Sequence[str], *, seconds: float, called: str, forked: bool = False
    ) -> Completed:
        if _active:
            _active[-1].effect(f"before {called}", OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
        with watched(None):
            done = self.programs(argv, seconds=seconds, called=called)
        if _active:
            _active[-1].effect(f"after {called}", HostFailure(f"{called} was killed: it has not ended"))
        return done


class Elsewhere:
    """A clock. Events during a wait have no faults either."""

    def __init__(self, clock: Any) -> None:
        self.time, self.monotonic, self._clock = clock.time, clock.monotonic, clock

    def sleep(self, seconds: float, /) -> None:
        with watched(None):
            self._clock.sleep(seconds)


@contextlib.contextmanager
def watched(faults: Faults | None) -> Iterator[None]:
    """Have these faults at work, or none."""
    before = _active[:]
    _active[:] = [faults] if faults else []
    try:
        yield
    finally:
        _active[:] = before


def attempt(
    do: Callable[[], object], trouble: Faults, kept: Callable[[], set[int]]
) -> PodError | OSError | Killed | None:
    """Do something with these faults, as a process that ends then; returns its error.

    kept: the descriptors that other processes have open then. The rest is closed: locks end with their process.
    """
    before = _descriptors()
    failed: PodError | OSError | Killed | None = None
    with watched(trouble):
        try:
            do()
        except (PodError, OSError, Killed) as err:
            failed = err
    error: BaseException | None = failed
    while error:  # descriptors held by the frames of the traceback are closed by their owners
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    for fd in _descriptors() - before - kept():
        with contextlib.suppress(OSError):
            os.close(fd)
    return failed


def numbers_of_places(places: Sequence[Place], depth: int) -> list[int]:
    """The numbers of effects, one for each kind at each place: those in a loop count as one.

    depth: how many lines, from the outermost one on, make a place.
    """
    first: dict[Place, int] = {}
    for number, (what, lines) in enumerate(places, 1):
        first.setdefault((what, lines[:depth]), number)
    return list(first.values())


_active: list[Faults] = []


def _descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}


def _lines() -> tuple[str, ...]:
    found = []
    frame = sys._getframe(1)
    while frame.f_back:
        frame = frame.f_back
        _before, runtime, file = frame.f_code.co_filename.rpartition("/plugins/module_utils/podrt/")
        if runtime and "/tests/" not in frame.f_code.co_filename:
            found.append(f"{file}:{frame.f_lineno}")
    return tuple(reversed(found))


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if not _active:
        return
    if event in _EFFECTS or (event == "open" and isinstance(args[2], int) and args[2] & _WRITES):
        _active[-1].effect(event, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(args[0])))


sys.addaudithook(_hear)
