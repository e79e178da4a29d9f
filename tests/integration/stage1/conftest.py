# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The lab of stage1's tests."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import StageLab


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[StageLab]:
    if os.geteuid():
        pytest.skip("needs root")
    found = StageLab(tmp_path)
    yield found
    found.close()
