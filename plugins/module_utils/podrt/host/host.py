# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine, as the front doors describe it to everything below them."""

from __future__ import annotations

import os
import sys
import time

from ..value import Value
from .machine import architecture
from .paths import Paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeVar

    from typing_extensions import ParamSpec

    from .programs import Completed

    P = ParamSpec("P")
    T = TypeVar("T")

    class Programs(Protocol):
        """What starts a program and waits for it: programs.run, or what a test has in its place."""

        def __call__(self, argv: Sequence[str], *, seconds: float, called: str) -> Completed:
            """Run it to its end. Raises OSError when it cannot be started, HostFailure when it does not end in time."""

    class Ask(Protocol):
        """What puts a question to the kernel: directly, or what a test has in its place."""

        def __call__(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            """What a function answers that reads what the kernel has, and changes nothing."""

    class Clock(Protocol):
        """The time: the module time, or what a test has in its place."""

        def time(self) -> float:
            """Seconds since 1970."""

        def monotonic(self) -> float:
            """Seconds of a clock that nothing sets."""

        def sleep(self, seconds: float, /) -> None:
            """Wait."""


def to_its_end(argv: Sequence[str], *, seconds: float, called: str) -> Completed:
    """Run a program itself."""
    from .programs import run  # most tasks start none

    return run(argv, seconds=seconds, called=called)


def directly(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask the kernel itself."""
    return question(*args, **kwargs)


class Host(Value):
    """Where things are, and what this machine is. Made once, at the front door.

    arch: appc's spelling. runtime: the directory that holds this podrt. python: the interpreter that runs it.

    The rest are the doors that stage0 goes through, beside files: programs, for the entries of stage1 and systemctl;
    ask, for what the kernel has of networks, groups and ports; clock. See docs/devel/testing.md.
    """

    paths: Paths
    arch: str
    runtime: str
    python: str
    programs: Programs = to_its_end
    ask: Ask = directly
    clock: Clock = time

    @classmethod
    def here(cls, paths: Paths) -> Host:
        """This machine with these directories, and the runtime that this code belongs to. Raises Unsupported."""
        runtime = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        return cls(paths, architecture().name, runtime, os.path.realpath(sys.executable))

    @property
    def runs_systemd(self) -> bool:
        """Whether PID 1 is systemd. Source: sd_booted(3)."""
        return os.path.isdir(self.paths.systemd)

    @property
    def podctl(self) -> tuple[str, ...]:
        """The beginning of an argv that runs this runtime's podctl on these directories."""
        paths = self.paths
        return (
            *podctl_of(self.python, self.runtime),
            f"--dir={paths.data}",
            f"--local-config={paths.local_config}",
            f"--system-config={paths.system_config}",
            *((f"--user-config={paths.user_config}",) if paths.user_config else ()),
        )


def file_of_runtime(runtime: str, name: str) -> str:
    """A file of podrt in the directory of a runtime."""
    return f"{runtime}/podrt/{name}"


def podctl_of(python: str, runtime: str) -> tuple[str, ...]:
    """The beginning of an argv that runs the podctl of a runtime: isolated, without site, from compiled files."""
    return (python, "-I", "-S", file_of_runtime(runtime, "launch.py"))
