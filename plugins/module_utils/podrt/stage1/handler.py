# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A post-stop handler: a program that the supervisor starts when an app has ended.

The supervisor cannot mount or pivot; this can, and leaves the memory when the handler does. Source: behaviours C18.
"""

from __future__ import annotations

import marshal
import os

from .app import default_signals, enter_root, permitted_capabilities, run_handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .sandbox import Launch

_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from podrt.stage1.handler import main; main(int(sys.argv[2]))"
_FAILED = 203


def argv_of(python: str, runtime: str) -> list[str]:
    """How the supervisor starts this, but for the number of the descriptor with the plan."""
    return [python, "-I", "-S", "-c", _PROGRAM, runtime]


def plan_of(launch: Launch, argv: tuple[str, ...], root: str) -> bytes:
    """What main reads."""
    return marshal.dumps((root, argv, launch.environment, launch.bounding))


def main(plan_fd: int) -> None:
    """Go into the app's root and become the handler. Does not return."""
    try:
        root, argv, environment, bounding = marshal.loads(os.pread(plan_fd, os.fstat(plan_fd).st_size, 0))
        permitted = permitted_capabilities()
        default_signals()
        enter_root(root)
        run_handler(argv, environment, bounding, permitted)
    finally:
        os._exit(_FAILED)
