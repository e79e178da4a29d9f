# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Wanted documents that a pod has already, although in other words."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import create
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import LogPolicy, RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.sameness import as_found


@pytest.mark.finding("use-N3")
@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        (10_000_000, 10 << 20, True),
        (10_000, 10 << 10, True),
        (1_500_000_000, 3 << 29, True),
        (10_000_000, 11 << 20, False),
        (10, 10 << 20, False),
        (4 << 20, 8 << 20, False),
        (4 << 20, 4_000_000, False),
    ],
)
def test_a_size_as_0_1_0_read_it_is_no_difference(tmp_path, found, wanted, same):
    """There 10M was ten million bytes, and the pod is as its play describes it."""
    before, after = (RunSpec(log=LogPolicy(max_bytes=size)) for size in (found, wanted))
    paths = Paths(data=str(tmp_path))
    with create(paths) as pod:
        compared = as_found(paths, pod, (PodManifest(()), before), (PodManifest(()), after))
    assert compared == (PodManifest(()), before if same else after)
