# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The cost of a task that finds nothing to do, with its check for drift: a play has many of these."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import SERVE, Host
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import CHECKOUT
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_startup import HEAVY

# Imports of the program of these tests, not of the task.
OF_THE_TEST = {"pathlib", "signal", "urllib", "urllib.parse"}
# Modules of the standard library that cost milliseconds, and modules of the runtime that only changes need.
FORBIDDEN = (HEAVY - OF_THE_TEST) | {
    "_ctypes",
    "podrt.appc.capabilities",
    "podrt.appc.signals",
    "podrt.host.datadir",
    "podrt.host.detached",
    "podrt.host.execution",
    "podrt.host.identity",
    "podrt.host.overlayfs",
    "podrt.host.programs",
    "podrt.host.syscalls",
    "podrt.image.convert",
    "podrt.image.docker",
    "podrt.image.download",
    "podrt.image.credentials",
    "podrt.image.job",
    "podrt.image.sources.arrival",
    "podrt.image.sources.docker",
    "podrt.image.sources.url",
    "podrt.image.transport",
    "podrt.image.verify",
    "podrt.net.attach",
    "podrt.net.conntrack",
    "podrt.net.firewall",
    "podrt.net.links",
    "podrt.net.mend",
    "podrt.net.network_plan",
    "podrt.net.ports",
    "podrt.net.reservations",
    "podrt.net.takeover",
    "podrt.pod.failure",
    "podrt.seccomp.filters",
    "podrt.pod.holders",
    "podrt.pod.logs",
    "podrt.seccomp.sets",
    "podrt.stage0.compare",
    "podrt.stage0.consent",
    "podrt.stage0.described",
    "podrt.stage0.gc",
    "podrt.stage0.inspection",
    "podrt.stage0.options.documents",
    "podrt.stage0.options.texts",
    "podrt.stage0.pod_changes",
    "podrt.stage0.preflight",
    "podrt.stage0.prepare",
    "podrt.stage0.sameness",
    "podrt.stage0.start",
    "podrt.stage0.swap",
    "podrt.stage0.units",
    "podrt.stage0.volumes",
    "podrt.store.blobs",
    "podrt.store.commit",
    "podrt.store.extract",
    "podrt.store.gc",
    "podrt.store.layered",
    "podrt.store.locks",
    "podrt.store.stream",
    "podrt.store.tar",
}
# Each takes 0.1 ms. Another module for every task replaces one, or is justified here: the table of options is five
# modules in place of one parser of YAML, since podctl and comparisons use it too; contexts and
# jsontext are two, which spare each start of podctl 7 ms and more; host.dirs is one, the paths of a pod and of a tree;
# net.requests is one, which spares a pod on the host's network four others; five are the names of other pods in its
# hosts files, and the name servers of the host.
MOST = 98


def watched(host: Host, options: dict[str, Any]) -> tuple[dict[str, Any], set[str], list[str]]:
    """The result of a pod_run, the modules that it imports, and the programs that it starts."""
    process = host.start("pod_run", "watched", options, flags=("-X", "importtime", "-I", "-S"))
    out, err = process.communicate(timeout=60)
    imported = [line for line in err.splitlines() if line.startswith("import time:")]
    started = [line for line in err.splitlines() if line.startswith("started:")]
    return json.loads(out), {line.rpartition("|")[2].strip() for line in imported}, started


def source_of(module: str) -> str:
    path = CHECKOUT.joinpath("plugins", "module_utils", *module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


@pytest.mark.finding("use-N5")
def test_a_task_with_nothing_to_do_imports_little_and_starts_nothing(host: Host) -> None:
    app = {"image": host.image, "name": "app", "exec": "/bin/sh", "args": ["-c", SERVE]}
    app["environment"] = {"LEVEL": "debug"}
    options = {"name": "web", "apps": [app], "networks": ["default"], "insecure_options": ["image"]}
    options["update"] = {"min_uptime": 0}
    made, _modules, started = watched(host, options)
    assert (made["changed"], bool(started)) == (True, True)  # so starts are reported
    again, modules, started = watched(host, options)
    assert (again["changed"], again["pod"]["uuid"]) == (False, made["pod"]["uuid"])
    # It checks for all drift of the pod, without another program.
    assert again["warnings"] == []
    assert {"podrt.stage0.drift", "podrt.net.drift", "podrt.net.nfsocket", "podrt.pod.strays"} <= modules
    assert started == []
    assert not {module for module in modules if module.startswith("podrt.stage1")}
    assert modules & FORBIDDEN == set()
    own = {module for module in modules if module.startswith("podrt.")}
    assert len(own) <= MOST
    assert [module for module in own if "= re.compile(" in source_of(module)] == []
