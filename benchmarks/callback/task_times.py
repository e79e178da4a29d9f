# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Write the duration of each task, [[name, milliseconds, changed], ...], into the file that TASK_TIMES names."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: aggregate
short_description: Writes how long each task took
description: For benchmarks.
"""


class CallbackModule(CallbackBase):
    """Measures from the start of a task to its result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._begin = 0.0
        self._times = []

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._begin = time.perf_counter()

    def v2_runner_on_ok(self, result):
        took = (time.perf_counter() - self._begin) * 1000
        self._times.append((result.task.get_name(), took, bool(result.result.get("changed"))))

    def v2_playbook_on_stats(self, stats):
        with open(os.environ["TASK_TIMES"], "w", encoding="utf-8") as file:
            json.dump(self._times, file)
