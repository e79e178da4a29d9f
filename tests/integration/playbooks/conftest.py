# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A machine for each test, and an image of busybox for all."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.playbooks.demo import build_aci
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import Machine, new_machine

BUSYBOX = "/bin/busybox"


@pytest.fixture(scope="session")
def aci(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image whose app sleeps."""
    if os.geteuid() != 0 or not os.path.exists(BUSYBOX):
        pytest.skip(f"needs root and {BUSYBOX}")
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/sleeper",
        "app": {
            "exec": ["/bin/sh", "-c", "echo it sleeps; exec sleep 1000000"],
            "user": "0",
            "group": "0",
            "ports": [{"name": "http", "protocol": "tcp", "port": 80}],
        },
    }
    path = tmp_path_factory.mktemp("images") / "sleeper.aci"
    build_aci.build(str(path), BUSYBOX, json.dumps(manifest))
    return str(path)


@pytest.fixture(scope="package")
def shared_machine(aci: str) -> Iterator[Machine]:
    """A machine with the runtime."""
    with tempfile.TemporaryDirectory(prefix="machine-") as base, new_machine(pathlib.Path(base)) as made:
        made.task("pod_image", name=aci, insecure_options=["image"])
        yield made


@pytest.fixture
def machine(shared_machine: Machine) -> Iterator[Machine]:
    """A machine without pods, also at the end."""
    yield shared_machine
    shared_machine.clean()


@pytest.fixture
def bare_machine(aci: str) -> Iterator[Machine]:
    """A machine without a runtime."""
    with tempfile.TemporaryDirectory(prefix="machine-") as base, new_machine(pathlib.Path(base)) as made:
        yield made
