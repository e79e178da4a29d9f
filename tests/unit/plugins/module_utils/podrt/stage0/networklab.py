# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Definitions of networks on a host that only a test has, and pods that have joined them as their files say."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents, lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import NetworkRequest, RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import network_definitions
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Outcome, converge
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.network_definitions import Defined
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.network_spec import (
    read_network_spec,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

SUBNET = "10.78.0.0/24"


def net_d(lab: Stage0Lab) -> pathlib.Path:
    return pathlib.Path(lab.paths.local_config, "net.d")


def write(place: pathlib.Path, name: str, conf: dict[str, Any] | str) -> pathlib.Path:
    """Write a configuration as an administrator does."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / name
    path.write_text(conf if isinstance(conf, str) else json.dumps(conf, indent=2))
    return path


def define(
    lab: Stage0Lab, *, check: bool = False, restart: bool = False, **options: Any
) -> tuple[Outcome, Defined]:
    spec = read_network_spec(Fields({"name": "br", "subnets": [SUBNET], **options}, ""))
    return converge(
        lab.host, network_definitions.ensure_network(lab.host, spec, restart=restart), apply=not check
    )


def undefine(
    lab: Stage0Lab, name: str = "br", *, check: bool = False, restart: bool = False
) -> tuple[Outcome, Defined]:
    plan = network_definitions.ensure_no_network(lab.host, name, restart=restart)
    return converge(lab.host, plan, apply=not check)


def joined(lab: Stage0Lab, pod: str, name: str = "br", address: str = "10.78.0.2") -> str:
    """Make a pod that runs and has joined a network of net.d; returns its UUID."""
    uuid = lab.make(pod, means=bool(pod))
    asks(lab, uuid, name)
    lab.stage1.run(uuid)
    (file,) = (file for file in net_d(lab).iterdir() if json.loads(file.read_text())["name"] == name)
    with lifecycle.open_pod(lab.paths, uuid) as found:
        copies = pathlib.Path(found.dir.net_confs)
        copies.mkdir()
        (copies / file.name).write_text(file.read_text())
        record = {"netName": name, "netConf": str(copies / file.name), "ifName": "eth0", "hostIf": "veth0"}
        pathlib.Path(found.dir.net_info).write_text(
            json.dumps([{**record, "ip": address, "mask": "255.255.255.0", "addresses": [address]}])
        )
    return uuid


def asks(lab: Stage0Lab, uuid: str, name: str) -> None:
    """Let a pod ask for a network."""
    with lifecycle.open_pod(lab.paths, uuid) as pod:
        spec = documents.read_runspec(pod.dir)
        documents.write_runspec(pod.dir, RunSpec(spec.name, (NetworkRequest(name),)))


def told(outcome: Outcome) -> dict[str, tuple[str | None, str | None]]:
    return {found.path: (found.before, found.after) for found in outcome.differences}
