# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the users that pods have for themselves."""

from __future__ import annotations

import pathlib
import stat

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle, subids


def test_others_can_look_into_the_directory_of_the_host_whoever_makes_it(tmp_path: pathlib.Path) -> None:
    paths = Paths(data=str(tmp_path / "data"), run=str(tmp_path / "run"), leases=str(tmp_path / "leases"))
    pod = lifecycle.create(paths)
    subids.allocate(paths, pod.uuid)
    pod.close()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755
