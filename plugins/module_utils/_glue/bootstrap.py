# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the runtime on the host, so that a module need not carry it.

A task compiles what it carries, each time; what is installed is compiled once. PRIVATE to this collection.
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
    directory = os.path.join(data_dir, "runtime", runtime or "none")  # an absolute runtime stands alone
    _hold(directory)
    if not os.path.isfile(os.path.join(directory, "podrt", "launch.py")):
        raise RuntimeMissing(directory)
    sys.path[:0] = [directory, os.path.join(directory, "lib")]
    import_module("podrt.bundle").use(directory)
    return import_module("podrt.tasks.run")


def _hold(directory: str) -> None:
    """Keep a runtime from being removed as unused while this task uses it: the lock goes with the process."""
    try:
        fcntl.flock(os.open(directory, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_SH)
    except OSError as err:
        raise RuntimeMissing(directory) from err
