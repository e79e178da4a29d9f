# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine, as the front doors describe it to everything below them."""

from __future__ import annotations

import os
import sys

from ..value import Value
from .machine import machine
from .paths import Paths
from .programs import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from .programs import Completed

    class Programs(Protocol):
        """What starts a program and waits for it: programs.run, or what a test has in its place."""

        def __call__(self, argv: Sequence[str], *, seconds: float, called: str) -> Completed:
            """Run it to its end. Raises OSError when it cannot be started, HostFailure when it does not end in time."""


# uname -m to appc's spelling. Source: behaviours B6.
_ARCHES = {
    "x86_64": "amd64",
    "i686": "i386",
    "i386": "i386",
    "aarch64": "aarch64",
    "armv6l": "armv6l",
    "armv7l": "armv7l",
}


class Host(Value):
    """Where things are, and what this machine is. Made once, at the front door.

    arch: appc's spelling. runtime: the directory that holds this podrt. python: the interpreter that runs it.
    programs: how the entries of stage1 are called.
    """

    paths: Paths
    arch: str
    runtime: str
    python: str
    programs: Programs = run

    @classmethod
    def here(cls, paths: Paths) -> Host:
        """This machine with these directories, and the runtime that this code belongs to."""
        found = machine()
        runtime = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        return cls(paths, _ARCHES.get(found, found), runtime, os.path.realpath(sys.executable))

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


def podctl_of(python: str, runtime: str) -> tuple[str, ...]:
    """The beginning of an argv that runs the podctl of a runtime: isolated, without site, from compiled files."""
    return (python, "-I", "-S", f"{runtime}/podrt/launch.py")


def runs_systemd() -> bool:
    """Whether PID 1 is systemd. Source: sd_booted(3)."""
    return os.path.isdir("/run/systemd/system")
