# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Tests that need root and a real kernel; `make test` gives them a mount namespace of their own."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import stat
import tempfile
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


@pytest.fixture(autouse=True)
def _closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Only root can enter what is above the tests' directories: owners in volumes depend on that, see idmaps.py."""
    base = tmp_path_factory.getbasetemp()
    yield
    assert stat.S_IMODE(base.stat().st_mode) == 0o700


@pytest.fixture(autouse=True)
def _hears_signals() -> Iterator[None]:
    """No signal is ignored, as it is where the tests themselves run in the background or under nohup."""
    ignored = [
        number
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
        if signal.getsignal(number) == signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def shared() -> Iterator[pathlib.Path]:
    """A directory that every user of the host can come to.

    Not one of pytest's, above which others stay that only root can enter: tests of volumes rely on them.
    """
    found = pathlib.Path(tempfile.mkdtemp())
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)
