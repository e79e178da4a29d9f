# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the runtime on the host, so that modules need not contain it. PRIVATE to this collection.

The code that a task brings is compiled each time; the installed runtime is compiled once.
"""

from __future__ import annotations

import fcntl
import os
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


class RuntimeMissing(Exception):
    """The wanted runtime is not installed; the collection's action plugin installs it and tries again."""


def load_tasks(runtime: str | None, data_dir: str) -> ModuleType:
    """The module podrt.tasks.run of the wanted runtime.

    runtime: a content hash, or the absolute path of an unpacked runtime. Raises RuntimeMissing.
    """
    directory = os.path.join(data_dir, "runtime", runtime or "none")  # or runtime alone, if absolute
    _hold(directory)
    if not os.path.isfile(os.path.join(directory, "podrt", "launch.py")):
        raise RuntimeMissing(directory)
    sys.path[:0] = [directory, os.path.join(directory, "lib")]
    import_module("podrt.bundle").use(directory)
    return import_module("podrt.tasks.run")


def _hold(directory: str) -> None:
    """Hold a shared lock on a runtime until this process ends, so that it is not removed as unused."""
    try:
        fcntl.flock(os.open(directory, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_SH)
    except OSError as err:
        raise RuntimeMissing(directory) from err
