# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Apps that are added to a running pod, and taken from it, on the real kernel."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    NO_NET,
    LabPod,
    StageLab,
    children_of,
    eventually,
)

MUTABLE = [{"name": documents.MUTABLE, "value": "true"}]
QUICK = RunSpec(networks=NO_NET.networks, stop_timeout=1)
SLEEPS = {"exec": ["/bin/sh", "-c", "echo begun; exec sleep 1000"]}


def sandbox(stage: StageLab, apps: dict[str, dict[str, object]] | None = None, **more: object) -> LabPod:
    """A running pod that stays without an app."""
    pod = stage.pod(apps or {}, QUICK, annotations=MUTABLE, **more)
    pod.start(detach=True).wait()
    return pod


def add(pod: LabPod, name: str, app: dict[str, object] = SLEEPS) -> None:
    pod.lab.add_app(pod, name, app)


def own(pod: LabPod, name: str) -> int:
    """The only process of an app, as the host sees it."""
    group = documents.read_text(pod.dir.cgroups).splitlines()[0]
    (pid,) = (int(word) for word in pathlib.Path(group, name, "cgroup.procs").read_text().split())
    return pid


def test_an_app_is_started_in_a_pod_without_any(stage: StageLab) -> None:
    pod = sandbox(stage)
    add(pod, "late")
    done = pod.call("start_app", name="late")
    assert done.err == ""
    assert children_of(pod.pid()) == [own(pod, "late")]
    assert "begun" in pod.log("late")
