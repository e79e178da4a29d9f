# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Empty volumes as a start makes them."""

from __future__ import annotations

import os
import pathlib
import stat

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.filling import Filling
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.volumes import NewVolume


def test_a_volume_of_which_a_part_was_made_is_made_again(tmp_path: pathlib.Path) -> None:
    volumes = tmp_path / "volumes"
    (volumes / ".data" / "of another start").mkdir(parents=True)
    volume = NewVolume(str(volumes / "data"), 0o710, os.getuid(), os.getgid())
    root = os.open(tmp_path, os.O_PATH)
    try:
        volume.make(Filling("main", root, 0))
        (volumes / "data" / "file").write_text("kept")
        volume.make(Filling("main", root, 0))
    finally:
        os.close(root)
    assert sorted(os.listdir(volumes)) == ["data"]
    assert os.listdir(volumes / "data") == ["file"]
    assert stat.S_IMODE(os.stat(volumes / "data").st_mode) == 0o710
