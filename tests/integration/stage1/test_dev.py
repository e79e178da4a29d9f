# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What an image may bring as /dev, and where its standard files lead."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.tests.integration.stage1.stagelab import StageLab

STANDARD = {"stdin": "0", "stdout": "1", "stderr": "2"}


@pytest.mark.behaviour("B45", "C32")
@pytest.mark.parametrize("shipped", [False, True], ids=["no /dev", "a /dev of its own"])
@pytest.mark.parametrize("docker", [False, True], ids=["aci", "docker"])
def test_the_standard_files_lead_to_the_process_itself(stage: StageLab, shipped: bool, docker: bool) -> None:
    if shipped:
        (stage.tree / "dev").mkdir()
        (stage.tree / "dev" / "stdout").write_text("from the image\n")
    links = "; ".join(f"readlink /dev/{name}" for name in (*STANDARD, "fd"))
    done = stage.run(
        f"{links}; echo out > /dev/stdout; cat < /dev/stdin; echo err > /dev/stderr", docker=docker
    )
    assert done.lines[:4] == [*(f"/proc/self/fd/{number}" for number in STANDARD.values()), "/proc/self/fd"]
    assert sorted(done.lines[4:]) == ["err", "out"], done.err


@pytest.mark.behaviour("B45")
@pytest.mark.parametrize("kind", ["file", "link to a file"])
def test_a_dev_that_is_no_directory_is_an_error(stage: StageLab, kind: str) -> None:
    if kind == "file":
        (stage.tree / "dev").write_text("")
    else:
        (stage.tree / "dev").symlink_to("/bin/busybox")
    done = stage.run("echo ran")
    assert (done.status, done.lines) == (254, []), done.err
    assert "/dev" in done.err
