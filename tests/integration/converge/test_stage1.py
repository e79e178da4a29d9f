# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Tasks with pods of another stage1: the same as described, replaced, restarted, brought back, removed."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host
from ansible_collections.stagecraft.pods.tests.integration.podctl.stage1lab import (
    ENTER,
    GC,
    RUN,
    STOP,
    write_stage1,
)

NETWORKS = {"networks": ["host"]}


@pytest.fixture
def foreign(host: Host, tmp_path: pathlib.Path) -> dict[str, Any]:
    entries = {"run": RUN, "enter": ENTER, "stop": STOP, "gc": GC.format(log=tmp_path / "collected")}
    return {**NETWORKS, "stage1_path": write_stage1(tmp_path, "foreign", entries)}


@pytest.mark.behaviour("D28")
def test_a_pod_of_a_stage1_image_converges(host: Host, foreign: dict[str, Any]) -> None:
    foreseen = host.pod(check=True, **foreign)
    made = host.pod(**foreign)
    assert foreseen["changed"] and made["pod"]["state"] == "running"
    assert host.pod(**foreign)["changed"] is False
    assert host.pod(check=True, **foreign)["changed"] is False
    restarted = host.pod(state="restarted", **foreign)
    assert restarted["pod"]["state"] == "running"
    assert restarted["pod"]["pid"] != made["pod"]["pid"]
    stopped = host.pod(state="stopped", **foreign)
    assert stopped["pod"]["state"] == "exited"
    assert host.pod(**foreign)["pod"]["state"] == "running"
    assert host.absent()["changed"] is True
    assert os.listdir(host.machine.data / "pods/run") == []


@pytest.mark.behaviour("D21")
def test_another_stage1_is_the_named_change_and_a_new_pod(host: Host, foreign: dict[str, Any]) -> None:
    native = host.pod(**NETWORKS)["pod"]
    changed = host.pod(**foreign)
    assert [change["path"] for change in changed["changes"] if change["path"].startswith("stage1")] == [
        "stage1_hash"
    ]
    assert changed["pod"]["uuid"] != native["uuid"]
    fly = host.pod(stage1_name="fly", **NETWORKS)
    assert {change["path"] for change in fly["changes"]} == {"stage1_hash", "stage1_name"}
    assert fly["pod"]["state"] == "running"
    assert host.pod(stage1_name="fly", **NETWORKS)["changed"] is False
    back = host.pod(**NETWORKS)
    assert [change["path"] for change in back["changes"]] == ["stage1_name"]
    assert host.pod(stage1_name="native", **NETWORKS)["changed"] is False


def test_a_stage1_that_does_not_start_brings_the_old_pod_back(host: Host, tmp_path: pathlib.Path) -> None:
    host.pod(**NETWORKS)
    broken = write_stage1(tmp_path, "broken", {"run": "#!/bin/sh\nexit 3\n"})
    failed = host.pod(fails=True, stage1_path=broken, **NETWORKS)
    assert "its stage1 has ended with status 3" in failed["msg"]
    assert failed["rolled_back"] is True
    assert host.pod(**NETWORKS)["changed"] is False


def test_what_cannot_be_is_said_before_anything_is_done(host: Host, foreign: dict[str, Any]) -> None:
    failed = host.pod(fails=True, stage1_name="fly", **foreign)
    assert "exclude each other" in failed["msg"]
    failed = host.pod(fails=True, stage1_name="fly", ports=[{"name": "http", "host_port": 8099}])
    assert "fly cannot forward ports" in failed["msg"]
    told = host.pod(stage1_name="fly", app={"memory": "64M"}, **NETWORKS)
    assert "fly isolates nothing, and does not apply: resource/memory" in told["warnings"]
    ours = {"stop_signal": "INT", "sdnotify": True, "restart": {"policy": "always"}}
    more = {"log": {"max_size": "1m"}, "aliases": ["db"], "ipc": "parent", "uts": "host"}
    told = host.pod(check=True, stage1_name="fly", app=ours, **more, **NETWORKS)
    assert [text for text in told["warnings"] if text.startswith("fly ")] == [
        "fly isolates nothing, and does not apply: sdnotify, log, aliases, restart, stop_signal"
    ]
