# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The lab of stage1's tests."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import StageLab

HOSTS_USERS, OWN_USERS = "users of the host", "own users"


ON_BOTH = ("test_escapes", "test_enter", "test_handlers", "test_apps", "test_idle", "test_unexecuted")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What an app may not do is tried in pods with the host's users, and in pods with their own."""
    if "users" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in ON_BOTH:
        only_hosts = metafunc.definition.get_closest_marker("hosts_users")
        metafunc.parametrize("users", (HOSTS_USERS,) if only_hosts else (HOSTS_USERS, OWN_USERS))


@pytest.fixture
def users() -> str:
    return HOSTS_USERS


@pytest.fixture
def stage(tmp_path: pathlib.Path, users: str) -> Iterator[StageLab]:
    if os.geteuid():
        pytest.skip("needs root")
    found = StageLab(tmp_path, private_users=users == OWN_USERS)
    yield found
    found.close()
