# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An app whose start is killed in a running pod: it counts as one that was never started."""

from __future__ import annotations

import json
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    ENTRY,
    PYTHON,
    RUNTIME,
    LabPod,
    StageLab,
    children_of,
    eventually,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.test_apps import SLEEPS, running

KILLED = """
import os
from podrt.stage1.starter import addition, orders
called = {function}
def killed(*words, **named):
    if {when}:
        os.kill(os.getpid(), 9)
    return called(*words, **named)
{function} = killed
"""


def killed_at(pod: LabPod, name: str, function: str, when: str) -> None:
    """Start an app by a process that is killed when it calls a function."""
    given = json.dumps([pod.lab.paths.data, pod.uuid, "start_app", {"name": name}])
    entry = ENTRY.format(runtime=str(RUNTIME))
    imports, rest = entry.split("data, uuid, entry", 1)
    program = imports + KILLED.format(function=function, when=when) + "data, uuid, entry" + rest
    done = subprocess.run([PYTHON, "-I", "-S", "-c", program, given], check=False, timeout=30)
    assert done.returncode == -9


@pytest.mark.parametrize(
    ("function", "when", "stays"),
    [
        ("addition.sync.send", "'go' in words", False),
        ("orders.Orders.ask", "'keep' in words", False),
        ("os.rename", "words[0].endswith('.new')", True),
    ],
)
def test_an_app_whose_start_was_killed_counts_as_one_that_was_never_started(
    stage: StageLab, function: str, when: str, stays: bool
) -> None:
    pod = running(stage, {"web": SLEEPS})
    stage.add_app(pod, "late", SLEEPS)
    killed_at(pod, "late", function, when)
    eventually(lambda: len(children_of(pod.pid())) == 1 + stays)
    assert documents.is_left_out(pod.dir, "late")
    if stays:
        done = pod.call("stop_app", name="late")
        assert done.status == 0, done.err
    done = pod.call("start_app", name="late")
    assert (done.status, done.err) == (0, "")
    assert not documents.is_left_out(pod.dir, "late")
    assert len(children_of(pod.pid())) == 2
