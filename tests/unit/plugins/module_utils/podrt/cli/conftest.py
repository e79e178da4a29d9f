# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A PodLab for each test."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.cli.podlab import PodLab


@pytest.fixture
def lab(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> Iterator[PodLab]:
    made = PodLab(tmp_path, capfd)
    yield made
    made.close()


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call commands that need root in the test's own directory."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
