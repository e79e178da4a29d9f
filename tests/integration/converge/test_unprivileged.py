# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Tasks of a user who is not root."""

from __future__ import annotations

import multiprocessing
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import make_state_dirs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import info, run

UNPRIVILEGED = 65534


def as_nobody(options: dict[str, object]) -> dict[str, object]:
    """The result of pod_info for a user without privileges."""
    os.setgroups([])
    os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    try:
        return run.run_task("pod_info", options, check=False)
    except PodError as err:
        return run.failure(err)


def answer(**options: object) -> dict[str, object]:
    assert info.SUBSETS  # imported before privileges are dropped: the checkout may be readable only by root
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(as_nobody, (options,))


@pytest.fixture
def data_dir(shared: pathlib.Path) -> str:
    make_state_dirs(Paths(data=f"{shared}/data"))
    (shared / "data").chmod(0o755)
    return f"{shared}/data"


@pytest.mark.finding("use-N10")
def test_what_a_user_may_not_read_is_named_with_what_to_do(data_dir: str) -> None:
    found = answer(data_dir=data_dir, gather=["pods"])
    assert found["msg"] == (
        f"user {UNPRIVILEGED} may not read {data_dir}/pods/run (set become: true on the play or the task)"
    )
    assert found["error"] == "unsupported"
