# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Tests that need root and a real kernel; `make test` gives them a mount namespace of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.hosts import lab

__all__ = ["lab"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hosts", choices=("light", "vm"), default="light", help="what kind of hosts `lab` boots"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With virtual machines, which are slow, select only tests that run on hosts."""
    on_machines = config.getoption("--hosts") == "vm"
    other = "light" if on_machines else "machine"
    chosen = [
        item
        for item in items
        if not item.get_closest_marker(other)
        and (not on_machines or "lab" in getattr(item, "fixturenames", ()))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture(autouse=True)
def _stays_where_it_is() -> Iterator[None]:
    """What mounts goes elsewhere for it: no test leaves those after it there."""
    before = os.getcwd()
    yield
    left = os.getcwd()
    os.chdir(before)
    assert left == before
