# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine, as the front doors describe it to all code below them."""

from __future__ import annotations

import os
import sys
import time

from ..value import Value
from .machine import architecture
from .paths import PATHS_D, Paths, podctl_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeVar

    from typing_extensions import ParamSpec

    from .config import Config
    from .programs import Completed

    P = ParamSpec("P")
    T = TypeVar("T")

    class Programs(Protocol):
        """The starter of programs: programs.run, or a substitute in tests."""

        def __call__(
            self, argv: Sequence[str], *, seconds: float, called: str, forked: bool = False
        ) -> Completed:
            """Run a program to its end. Raises OSError if it cannot be started, HostFailure if it takes too long."""

    class Ask(Protocol):
        """The caller of functions that query the kernel: directly, or a substitute in tests."""

        def __call__(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            """Call a function that reads the state of the kernel, without effects."""

    class Clock(Protocol):
        """The time: the module time, or a substitute in tests."""

        def time(self) -> float:
            """Seconds since 1970."""

        def monotonic(self) -> float:
            """Seconds of a clock that is never set."""

        def sleep(self, seconds: float, /) -> None:
            """Wait."""


def run_to_end(argv: Sequence[str], *, seconds: float, called: str, forked: bool = False) -> Completed:
    """Run a program with programs.run."""
    from .programs import run  # most tasks start no program

    return run(argv, seconds=seconds, called=called, forked=forked)


def directly(question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Query the kernel itself."""
    return question(*args, **kwargs)


class Host(Value):
    """The directories and the properties of this machine. Made once, at the front door.

    arch: appc's spelling. runtime: the directory of this podrt. python: the interpreter that runs it.

    The rest are stage0's interfaces to the host, beside files: programs, for the entries of stage1 and systemctl; ask,
    for the kernel's state of networks, groups and ports; clock. See docs/devel/testing.md.
    """

    paths: Paths
    arch: str
    runtime: str
    python: str
    programs: Programs = run_to_end
    ask: Ask = directly
    clock: Clock = time

    @classmethod
    def here(cls, paths: Paths) -> Host:
        """This machine with these directories, and the runtime of this code. Raises Unsupported."""
        runtime = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        return cls(paths, architecture().name, runtime, os.path.realpath(sys.executable))

    @property
    def config(self) -> Config:
        """The configuration, read when it is asked for. Raises InvalidSpec naming the file, HostFailure."""
        from .config import read_config

        return read_config(self.paths)

    @property
    def runs_systemd(self) -> bool:
        """Whether PID 1 is systemd. Source: sd_booted(3)."""
        return os.path.isdir(self.paths.systemd)

    @property
    def podctl(self) -> tuple[str, ...]:
        """The argv of this runtime's podctl with these directories, without a command."""
        paths = self.paths
        return (
            *podctl_of(self.python, self.runtime),
            f"--dir={paths.data}",
            f"--local-config={paths.local_config}",
            f"--system-config={paths.system_config}",
            *((f"--user-config={paths.user_config}",) if paths.user_config else ()),
        )


def find_paths(
    data: str = "", local_config: str = "", system_config: str = "", user_config: str = ""
) -> Paths:
    """The directories of an installation, in the same way for podctl and tasks; "": as configured, or the default.

    Every path is resolved once: the same directory by another path is still the same installation, the same owner of a
    unit, and the same source of a volume. Raises InvalidSpec naming the file of the configuration, HostFailure.
    Source: behaviours A.2, B58.
    """
    default = Paths()
    paths = Paths(
        local_config=os.path.realpath(local_config or default.local_config),
        system_config=os.path.realpath(system_config or default.system_config),
        user_config=os.path.realpath(user_config) if user_config else "",
    )
    config = _configured(paths)
    return paths.replace(
        data=os.path.realpath(data or (config and config.data_dir) or default.data),
        leases=os.path.realpath((config and config.leases) or default.leases),
    )


def configures_stage1(paths: Paths) -> bool:
    """Whether there may be a configured default stage1; its readers are imported for that alone."""
    return any(os.path.isdir(f"{place}/stage1.d") for place in paths.config_dirs)


def _configured(paths: Paths) -> Config | None:
    """The paths of the configuration, None if it has none: then its readers are not even imported."""
    if not any(os.path.isdir(f"{place}/{PATHS_D}") for place in paths.config_dirs):
        return None
    from .config import configured_paths

    return configured_paths(paths)
