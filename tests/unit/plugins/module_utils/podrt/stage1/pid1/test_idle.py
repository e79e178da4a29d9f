# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What the supervisor gives back once its pod is up."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.inside import sync
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import frames, idle
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage1.pid1.test_supervisor import (
    SECONDS,
    a_lab,
    catches,
    ended,
)

# Mappings as proc(5) shows them: an interpreter's code, what it has written to, in memory or in swap, its data, memory
# of its own, a name with spaces, and one that is cut off.
SMAPS = b"""\
00400000-0041f000 r--p 00000000 fe:00 393                                /usr/bin/python3
Size:                124 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
Swap:                  0 kB
SwapPss:               0 kB
VmFlags: rd mr mw me sd
0041f000-006d2000 r-xp 0001f000 fe:00 393                                /usr/bin/python3
Anonymous:             4 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
00943000-00944000 r--p 00543000 fe:00 393                                /usr/bin/python3
Anonymous:             0 kB
Swap:                  4 kB
VmFlags: rd mr mw me ac sd
00945000-00946000 rw-p 00545000 fe:00 393                                /usr/bin/python3
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me ac sd
0cf71000-0cff4000 r--p 00000000 00:00 0                                  [heap]
Anonymous:             0 kB
VmFlags: rd wr mr mw me ac sd
0cff5000-0cff6000 r--p 00000000 00:00 0
Anonymous:             0 kB
VmFlags: rd mr mw me ac sd
7f00000ab000-7f00000ac000 r-xp 00000000 fe:00 9 /a b/lib.so (deleted)
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me sd
7f00000ad000-7f00000ae000 r-xp 00000000 fe:00 9 /lib.so
Anonymous:             0 kB
"""


def _pages_of_files(pid: int) -> int:
    """Source: proc(5), statm."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[2])


def test_only_what_nothing_was_written_to_is_unmapped() -> None:
    assert list(idle.only_read(SMAPS.splitlines())) == [
        (0x400000, 0x41F000),
        (0x7F00000AB000, 0x7F00000AC000),
    ]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_lines_are_whole_wherever_a_read_ends(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    file = tmp_path / "smaps"
    file.write_bytes(SMAPS)
    monkeypatch.setattr(idle, "_CHUNK", size)
    assert list(idle._lines(str(file))) == SMAPS.splitlines()


def test_a_supervisor_at_rest_has_less_of_its_files_in_memory_and_goes_on(tmp_path: pathlib.Path) -> None:
    with a_lab(tmp_path) as lab:
        pid = lab.start({"main": "exec sleep 30"}, mapped="/proc/self/smaps")
        while not catches(pid, signal.SIGTERM):
            time.sleep(0.01)
        before, end = _pages_of_files(pid), time.monotonic() + SECONDS
        lab.go()
        assert sync.receive(lab.ours) == (frames.STARTED,)
        while _pages_of_files(pid) > before * 0.9:
            assert time.monotonic() < end, "it gives nothing back"
            time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        assert ended(pid) == 0
        assert lab.recorded() == {"main": "0"}


@pytest.mark.parametrize(
    "lacks",
    [{"mapped": "/"}, {"mapped": "/none"}, {"extensions": {"_ctypes": "/none.so"}}, {"mapped": "\0"}],
    ids=["it is a directory", "it is missing", "no extension", "any other failure"],
)
def test_what_it_needs_for_that_may_be_missing(tmp_path: pathlib.Path, lacks: dict[str, object]) -> None:
    with a_lab(tmp_path) as lab:
        pid = lab.start({"main": "exec sleep 0.5"}, **lacks)
        lab.go()
        assert ended(pid) == 0
        assert lab.recorded() == {"main": "0"}
