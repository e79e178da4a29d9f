# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A PodHost for each test, and one image for all."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import BUSYBOX, PodHost, write_image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image whose app runs a shell."""
    if os.geteuid() != 0 or not os.path.exists(BUSYBOX):
        pytest.skip(f"needs root and {BUSYBOX}")
    app = {
        "exec": ["/bin/sh"],
        "user": "0",
        "group": "0",
        "environment": [{"name": "IMAGE", "value": "image"}, {"name": "SHARED", "value": "image"}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 80}],
    }
    path = tmp_path_factory.mktemp("images") / "busybox.aci"
    return str(write_image(path, "example.com/busybox", app))


@pytest.fixture
def pods(tmp_path: pathlib.Path, image: str) -> Iterator[PodHost]:
    host = PodHost(tmp_path, image)
    yield host
    host.close()
