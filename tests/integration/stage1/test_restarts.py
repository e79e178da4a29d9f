# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Apps that are started again by the supervisor, on the real kernel."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.restart import (
    RESTART,
    Restarts,
    read_restarts,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import CONTINUE, RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    LabPod,
    StageLab,
    children_of,
    eventually,
    finish,
)

QUICK = RunSpec(networks=HOST_NET.networks, stop_timeout=1)
PATIENT = QUICK.replace(exit_policy=CONTINUE)
AT_ONCE = "backoff=20ms,max-backoff=40ms"
COUNT = "echo x >> /runs; n=$(wc -l < /runs)"


def policy(text: str) -> list[dict[str, str]]:
    return [{"name": RESTART, "value": text}]


def app(script: str, restart: str = f"always,{AT_ONCE}", **more: object) -> dict[str, object]:
    return {"exec": ["/bin/sh", "-c", script], "annotations": policy(restart), **more}


def handler(event: str, script: str) -> dict[str, object]:
    return {"name": event, "exec": ["/bin/sh", "-c", script]}


def restarts(pod: LabPod, name: str = "main") -> Restarts:
    found = read_restarts(pod.dir, name)
    return found if found else Restarts()


def command_of(pid: int) -> bytes:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def running(pod: LabPod, words: str) -> list[int]:
    """The children of PID 1, as the host sees them, with these words in their command."""
    return [pid for pid in children_of(pod.pid()) if words.encode() in command_of(pid)]


def waiting(pod: LabPod) -> list[int]:
    """The waiting processes: interpreters that read their plan, whose child is none of the apps."""
    return running(pod, "stage1.inside.app")


def test_an_app_that_fails_is_started_again_and_its_good_end_is_the_last(stage: StageLab) -> None:
    pod = stage.sh(f"{COUNT}; echo run $n; test $n -ge 3", QUICK, annotations=policy(f"on-failure,{AT_ONCE}"))
    done = pod.call()
    assert done.status == 0, done.err
    assert [line for line in done.lines if line.startswith("run")] == ["run 1", "run 2", "run 3"]
    assert pod.statuses() == {"main": 0}
    found = restarts(pod)
    assert (found.count, found.exit_code, found.next_at) == (2, 0, None)
