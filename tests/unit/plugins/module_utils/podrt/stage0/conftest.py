# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
from __future__ import annotations

import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    make_store,
)

# Syncs cost nothing there, and the code under test syncs everything.
_MEMORY = pathlib.Path("/dev/shm")


@pytest.fixture(name="memory", scope="session")
def _memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A directory in memory, on hosts that have that."""
    if not _MEMORY.is_dir():
        yield tmp_path_factory.mktemp("memory")
        return
    made = pathlib.Path(tempfile.mkdtemp(prefix="stagecraft-pods-", dir=_MEMORY))
    yield made
    shutil.rmtree(made)


@pytest.fixture(name="store", scope="session")
def _store(memory: pathlib.Path) -> pathlib.Path:
    """Images that tests copy."""
    return make_store(pathlib.Path(tempfile.mkdtemp(dir=memory)))


@pytest.fixture
def stage0(memory: pathlib.Path) -> Iterator[Stage0Lab]:
    """A host whose pods have no images."""
    yield from _lab(memory, None)


@pytest.fixture
def lab(memory: pathlib.Path, store: pathlib.Path) -> Iterator[Stage0Lab]:
    """A host with images."""
    yield from _lab(memory, store)


def _lab(memory: pathlib.Path, store: pathlib.Path | None) -> Iterator[Stage0Lab]:
    base = pathlib.Path(tempfile.mkdtemp(dir=memory))
    made = Stage0Lab(base, store)
    yield made
    made.stage1.close()
    assert made.stage1.wrong == []
    shutil.rmtree(base)
