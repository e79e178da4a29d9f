# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The first process of a pod in the foreground is the one that has built the pod, unless an app may look into it."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.conftest import OWN_USERS
from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import (
    HOST_NET,
    StageLab,
    children_of,
    finish,
)
from ansible_collections.stagecraft.pods.tests.integration.stage1.test_apps import MUTABLE, added

PLANTED = ("env", "SECRET=planted")
LOOK = "tr '\\0' ' ' </proc/1/cmdline; echo; tr '\\0' '\\n' </proc/1/environ; true"
TRACES = {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_SYS_PTRACE"]}}


def test_an_app_learns_nothing_of_what_has_started_it(stage: StageLab, users: str) -> None:
    name, environment = stage.sh(LOOK).call(prefix=PLANTED).said
    assert (name[0], name[1].rstrip()) == ("main", "podctl supervise")
    assert "/proc/1/environ: Permission denied" in environment[1]


def test_one_that_may_trace_it_gets_to_see_a_program_of_its_own(stage: StageLab, users: str) -> None:
    done = stage.sh(LOOK, isolators=[TRACES]).call(prefix=PLANTED)
    (_app, name), (_same, environment) = done.said
    if users == OWN_USERS:  # what it may do ends with these
        assert name.rstrip() == "podctl supervise"
        assert "/proc/1/environ: Permission denied" in environment
    else:
        assert "/supervisor.pyc " in name
        assert environment == "LC_ALL=C"


def test_nor_does_a_user_of_the_host(stage: StageLab) -> None:
    pod = stage.sh("exec sleep 1000")
    process = pod.start(prefix=PLANTED)
    pod.wait_ready()
    (child,) = children_of(process.pid)
    assert pathlib.Path(f"/proc/{child}/cmdline").read_bytes().rstrip(b"\0") == b"podctl\0supervise"
    assert stage.paths.data.encode() in pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
    pod.call("stop", force=False)
    assert finish(process).status == 0


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_apps_are_added_to_it_and_it_ends_with_its_starter(stage: StageLab, users: str, end: str) -> None:
    pod = stage.pod({}, HOST_NET, annotations=MUTABLE)
    process = pod.start()
    pod.wait_ready()
    assert added(pod, "late") > 0
    if end == "kill":
        process.kill()
    else:
        pod.call("stop", force=False)
    pod.wait_ended()
    process.wait()
