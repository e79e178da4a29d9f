# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What a command of podctl loads before it does anything, which each call waits for."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli import main, table

RUNTIME = pathlib.Path(main.__file__).parents[2]
# They cost a millisecond each, or several: contexts, jsontext and Value are in their place.
SLOW = {
    "array",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "json",
    "re",
    "subprocess",
    "typing",
}
QUICK = (
    *("app list", "app rm", "app start", "app status", "app stop", "remove-app", "start-app", "stop-app"),
    *("cat-manifest", "enter", "gc", "list", "prepare", "rm", "run", "run-prepared", "status", "stop"),
)
SCRIPT = """import sys
sys.path.insert(0, sys.argv[1])
from podrt.cli import main, table
main.entry(next(command for command in table.COMMANDS if command.name == sys.argv[2]))
from podrt.stage1.inside import ahead, terminal
from podrt.stage1.starter import addition, run
print(*sys.modules)"""


@pytest.mark.parametrize("command", QUICK)
def test_a_command_loads_nothing_that_is_slow(command: str) -> None:
    assert command in {each.name for each in table.COMMANDS}
    argv = [sys.executable, "-I", "-S", "-c", SCRIPT, str(RUNTIME), command]
    loaded = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert SLOW & {*loaded} == set()
