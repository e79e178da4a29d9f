# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that others choose, in the texts of the kernel that commands read."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost


@pytest.mark.finding("attack7-F9")
@pytest.mark.parametrize("end", ["\r", "\v", "\x1c", "\x85", "\u2028"], ids=ascii)
def test_a_mount_of_another_user_stops_no_pod(pods: PodHost, tmp_path: pathlib.Path, end: str) -> None:
    """Its path has what str takes for the end of a line; a user can mount there by FUSE."""
    place = tmp_path / f"a{end}b"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
    try:
        done = pods.sh("echo well")
        assert (done.status, done.texts) == (0, ["well"]), done.err
        pods.ok("gc", "--grace-period=0s")
    finally:
        subprocess.run(["umount", str(place)], check=True)
