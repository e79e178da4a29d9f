# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An app whose start is killed in a running pod: it counts as one that was never started."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from signal import SIGCONT, SIGKILL, SIGSTOP

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

SIGNALED = """
import os
from podrt.stage1.starter import addition, orders
called = {function}
def signaled(*words, **named):
    if {when}:
        os.kill(os.getpid(), {signal})
    return called(*words, **named)
{function} = signaled
"""
BEFORE_GO = ("addition.sync.send", "'go' in words")


def signaled_at(
    pod: LabPod, name: str, function: str, when: str, signal: int = SIGKILL
) -> subprocess.Popen[str]:
    """Start an app by a process that sends itself a signal when it calls a function."""
    given = json.dumps([pod.lab.paths.data, pod.uuid, "start_app", {"name": name}])
    entry = ENTRY.format(runtime=str(RUNTIME))
    imports, rest = entry.split("data, uuid, entry", 1)
    program = imports + SIGNALED.format(function=function, when=when, signal=int(signal))
    command = [PYTHON, "-I", "-S", "-c", f"{program}data, uuid, entry{rest}", given]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("function", "when", "stays"),
    [
        (*BEFORE_GO, False),
        ("orders.Orders.ask", "'keep' in words", False),
        ("os.rename", "words[0].endswith('.new')", True),
    ],
)
def test_an_app_whose_start_was_killed_counts_as_one_that_was_never_started(
    stage: StageLab, function: str, when: str, stays: bool
) -> None:
    pod = running(stage, {"web": SLEEPS})
    stage.add_app(pod, "late", SLEEPS)
    with signaled_at(pod, "late", function, when) as starter:
        starter.communicate(timeout=30)
    assert starter.returncode == -SIGKILL
    eventually(lambda: len(children_of(pod.pid())) == 1 + stays)
    assert documents.is_left_out(pod.dir, "late")
    if stays:
        done = pod.call("stop_app", name="late")
        assert done.status == 0, done.err
    done = pod.call("start_app", name="late")
    assert (done.status, done.err) == (0, "")
    assert not documents.is_left_out(pod.dir, "late")
    assert len(children_of(pod.pid())) == 2


def test_an_app_that_was_never_told_to_go_does_not_end_its_pod(stage: StageLab) -> None:
    """PID 1 may see the end of the app's process before that of the command which has added it."""
    pod = running(stage, {"web": SLEEPS})
    stage.add_app(pod, "late", SLEEPS)
    with signaled_at(pod, "late", *BEFORE_GO, SIGSTOP) as starter:
        eventually(lambda: "(stopped)" in pathlib.Path(f"/proc/{starter.pid}/status").read_text())
        (builder,) = children_of(starter.pid)
        os.kill(builder, SIGKILL)
        eventually(lambda: len(children_of(pod.pid())) == 1)
        os.kill(starter.pid, SIGCONT)
        _out, err = starter.communicate(timeout=30)
    assert starter.returncode != 0
    assert "its start was given up" in err
    assert len(children_of(pod.pid())) == 1
    assert pod.call("start_app", name="late").status == 0
    assert len(children_of(pod.pid())) == 2
