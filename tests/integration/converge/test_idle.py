# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What a task that finds nothing to do may import, with its look at what the pod has: a play has many of these."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import SERVE, Host
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_startup import HEAVY

# What the program of these tests imports, not the task.
OF_THE_TEST = {"pathlib", "signal", "urllib", "urllib.parse"}
# The standard library's that cost milliseconds, and those of the runtime that only do something.
FORBIDDEN = (HEAVY - OF_THE_TEST) | {
    "ctypes",
    "podrt.appc.signals",
    "podrt.host.detached",
    "podrt.host.execution",
    "podrt.host.identity",
    "podrt.host.overlayfs",
    "podrt.host.syscalls",
    "podrt.image.convert",
    "podrt.image.docker",
    "podrt.image.download",
    "podrt.image.remote",
    "podrt.image.transport",
    "podrt.net.attach",
    "podrt.net.conntrack",
    "podrt.net.firewall",
    "podrt.net.mend",
    "podrt.net.ports",
    "podrt.net.reservations",
    "podrt.net.takeover",
    "podrt.stage0.compare",
    "podrt.stage0.described",
    "podrt.stage0.inspection",
    "podrt.stage0.preflight",
    "podrt.store.extract",
    "podrt.store.gc",
    "podrt.store.layered",
    "podrt.store.stream",
    "podrt.store.tar",
}


def imported(host: Host, options: dict[str, Any]) -> tuple[str, set[str]]:
    """The result of a pod_run, as text, and the modules that it imports."""
    process = host.start("pod_run", "run", options, flags=("-X", "importtime", "-I", "-S"))
    out, err = process.communicate(timeout=60)
    lines = [line for line in err.splitlines() if line.startswith("import time:")]
    return out, {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.finding("use-N5")
def test_a_task_with_nothing_to_do_imports_little(host: Host) -> None:
    made = host.pod(networks=["default"])
    app = {"image": host.image, "name": "app", "exec": "/bin/sh", "args": ["-c", SERVE]}
    app["environment"] = {"LEVEL": "debug"}
    options = {"name": "web", "apps": [app], "networks": ["default"], "insecure_options": ["image"]}
    out, modules = imported(host, {**options, "update": {"min_uptime": 0}})
    assert '"changed": false' in out and made["pod"]["uuid"] in out
    # It looks at what the pod has lost, and starts nothing and asks no one for that.
    assert {"podrt.stage0.drift", "podrt.net.drift", "podrt.pod.strays"} <= modules
    assert not {module for module in modules if module.startswith("podrt.stage1")}
    assert modules & FORBIDDEN == set()
