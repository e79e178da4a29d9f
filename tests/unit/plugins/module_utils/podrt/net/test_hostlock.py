# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Locks of the host: one holder at a time, also where a lock goes with what it is for."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.hostlock import (
    bridge_lock,
    forget_bridge_lock,
)

RUNTIME = pathlib.Path(__file__).resolve().parents[6] / "plugins" / "module_utils"
# Who holds the lock makes a file that must not be there, and removes it before the lock.
_HOLD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from podrt.host.paths import Paths
from podrt.net.hostlock import bridge_lock, forget_bridge_lock
paths, busy = Paths(data=sys.argv[2], run=sys.argv[3]), sys.argv[4]
for turn in range(200):
    with bridge_lock(paths, "br"):
        os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
        os.unlink(busy)
        if turn % 2:
            forget_bridge_lock(paths, "br")
"""


def locks(paths: Paths) -> list[str]:
    return [*os.listdir(paths.host_locks), *os.listdir(paths.locks)]


def test_a_lock_that_goes_while_others_wait_has_one_holder(tmp_path: pathlib.Path) -> None:
    paths = Paths(data=str(tmp_path / "data"), run=str(tmp_path / "run"))
    argv = [sys.executable, "-c", _HOLD, str(RUNTIME), paths.data, paths.run, str(tmp_path / "busy")]
    waiting = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _each in range(4)]
    for process in waiting:
        _out, complaint = process.communicate(timeout=100)
        assert (process.returncode, complaint) == (0, "")
    with bridge_lock(paths, "br"):
        assert locks(paths) == ["net-bridge-br"] * 2
        forget_bridge_lock(paths, "br")
        forget_bridge_lock(paths, "br")
    assert locks(paths) == []
