# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An image with its own /dev, and the targets of its standard files."""

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


@pytest.mark.finding("pods-F12")
@pytest.mark.behaviour("C32")
@pytest.mark.parametrize(("memory", "mebibytes"), [(None, 64), ("16M", 64), ("512Mi", 256)])
def test_shared_memory_has_an_end(stage: StageLab, memory: str | None, mebibytes: int) -> None:
    isolators = [{"name": "resource/memory", "value": {"limit": memory}}] if memory else []
    done = stage.run("stat -f -c '%b %S %c' /dev/shm", isolators=isolators)
    (blocks, size, files) = map(int, done.text.split())
    assert (blocks * size, files) == (mebibytes << 20, mebibytes << 8)


@pytest.mark.finding("pods-F12")
def test_neither_bytes_nor_files_in_shared_memory_take_the_memory_of_the_host(stage: StageLab) -> None:
    script = """head -c 80000000 /dev/zero > /dev/shm/x 2>/dev/null; du -k /dev/shm/x | cut -f1; rm /dev/shm/x
    mkdir /dev/shm/d /dev/d; cd /dev/shm/d; seq 1 40000 | xargs touch 2>/dev/null; ls | wc -l
    cd /dev/d; seq 1 40000 | xargs touch 2>/dev/null; ls | wc -l"""
    done = stage.run(script)
    kept, in_shm, in_dev = map(int, done.text.split())
    assert kept == 64 << 10
    assert 16000 < in_shm < 16384
    assert 16000 < in_dev < 16384
