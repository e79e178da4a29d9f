# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Programs end in time, or are killed."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    HostFailure,
    Unsupported,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs

SH = "/bin/sh"


def test_what_a_program_leaves_is_its_status_and_what_it_printed() -> None:
    done = programs.run((SH, "-c", "cat; echo bad >&2; exit 3"), stdin=b"given")
    assert (done.status, done.stdout, done.complaint) == (3, b"given", "bad")


def test_a_program_is_named_by_its_path_or_looked_for_by_its_name() -> None:
    assert programs.run(("sh", "-c", "echo $0")).stdout == f"{programs.find('sh')}\n".encode()
    with pytest.raises(Unsupported, match='the program "no-such-program" is not installed'):
        programs.run(("no-such-program",))


def test_a_program_that_was_killed_has_the_status_that_shells_give() -> None:
    assert programs.run((SH, "-c", "kill -9 $$")).status == 137


@pytest.mark.finding("review-B17")
def test_a_program_that_hangs_is_killed_with_what_it_started_and_named(tmp_path: pathlib.Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(
        HostFailure, match=r"^nft -f was killed: it has not ended within 1\.5 seconds"
    ) as caught:
        programs.run((SH, "-c", f"sleep 1000 & echo $! > {pids}; wait"), seconds=1.5, called="nft -f")
    assert caught.value.facts == {"program": "nft -f", "seconds": 1.5}
    assert ended(int(pids.read_text()))


@pytest.mark.usefixtures("no_descriptor_left")
def test_a_program_that_is_not_awaited_is_ended_with_what_it_started(tmp_path: pathlib.Path) -> None:
    script = f"sleep 60 & echo $$ $! > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; wait"
    running = programs.begin((SH, "-c", script))
    while not (tmp_path / "pid").exists():
        time.sleep(0.01)
    running.end()
    pid, other = (tmp_path / "pid").read_text().split()
    with pytest.raises(ChildProcessError):
        os.waitpid(int(pid), os.WNOHANG)
    assert ended(int(other))
    awaited = programs.begin((SH, "-c", "exit 3"))
    assert awaited.wait().status == 3
    awaited.end()


def test_without_a_name_the_error_has_that_of_the_file() -> None:
    with pytest.raises(HostFailure, match=r"^sleep was killed"):
        programs.run(("/bin/sleep", "1000"), seconds=0.1)


@pytest.mark.finding("review-B17")
def test_a_program_that_prints_without_end_is_killed() -> None:
    with pytest.raises(HostFailure, match="it has printed more than 16 MiB"):
        programs.run((SH, "-c", "while :; do cat /proc/self/environ /bin/sh; done"), seconds=30)


@pytest.mark.finding("review-B17")
def test_a_filter_that_does_nothing_any_more_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_STALL_SECONDS", 0.2)
    with pytest.raises(HostFailure, match=r"^sleep was killed: it has done nothing for 0\.2 seconds"):
        list(programs.pipe(("/bin/sleep", "1000"), iter([b"x"])))


def test_a_filter_whose_source_is_slow_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_STALL_SECONDS", 0.5)

    def drops() -> Iterator[bytes]:
        for _drop in range(4):
            time.sleep(0.3)
            yield b"."

    assert b"".join(programs.pipe(("/bin/cat",), drops())) == b"...."


def ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie of the first process."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.usefixtures("no_descriptor_left")
def test_the_error_of_a_source_comes_through_a_filter_which_is_killed() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise Corrupt("broken")

    with pytest.raises(Corrupt, match="broken"):
        list(programs.pipe(("/bin/cat",), broken()))


def test_a_filter_that_wants_no_more_is_left_to_end() -> None:
    source = iter([b"x" * 100_000] * 100)
    assert b"".join(programs.pipe(("/usr/bin/head", "-c", "3"), source)) == b"xxx"
    assert next(source, b"") != b"", "the rest is not read"


def test_more_than_pipes_hold_goes_through_a_filter_unchanged() -> None:
    data = os.urandom(5_000_000)
    pieces = (data[at : at + 700_001] for at in range(0, len(data), 700_001))
    assert b"".join(programs.pipe(("/bin/cat",), pieces)) == data
