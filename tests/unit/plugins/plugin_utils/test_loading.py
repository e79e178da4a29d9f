# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What each task loads on the controller: Ansible loads the action plugin again for each, without compiled files."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOADED = """import sys
import ansible_collections.stagecraft.pods.plugins.action.pod_runtime
own = "ansible_collections.stagecraft.pods.plugins."
print(*sorted(name.partition(own)[2] for name in sys.modules if name.startswith(own)))"""


@pytest.mark.controller
def test_a_task_loads_nothing_of_the_runtime_nor_what_sends_files() -> None:
    place = next(path for path in sys.path if path.endswith("collections"))
    argv = [sys.executable, "-c", _LOADED]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env={"PYTHONPATH": place})
    assert done.stdout.split() == ["action", "action.pod_runtime", "plugin_utils", "plugin_utils.runtime"]
