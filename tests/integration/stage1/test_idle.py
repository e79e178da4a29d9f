# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A pod at rest has in memory what it needs to wait, and goes on as before."""

from __future__ import annotations

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import HOST_NET, StageLab


def test_the_first_process_gives_back_what_its_start_has_read(stage: StageLab, users: str) -> None:
    pod = stage.sh("sleep 1000", HOST_NET)
    pod.call(detach=True)
    pod.wait_rest()
    assert pod.call("enter", app="main", argv=["true"]).status == 0
    pod.call("stop", force=False)
    pod.wait_ended()
    assert pod.statuses() == {"main": 0}
