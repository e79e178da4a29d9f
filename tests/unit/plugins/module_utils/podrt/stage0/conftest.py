# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.fakestage1 import (
    Stage0Lab,
)


@pytest.fixture
def stage0(tmp_path: pathlib.Path) -> Iterator[Stage0Lab]:
    made = Stage0Lab(tmp_path)
    yield made
    made.stage1.close()
