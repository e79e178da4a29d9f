# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Slots in a hosts file: what is written, and what readers see at each moment of it."""

from __future__ import annotations

import fcntl
import os
import pathlib
import signal
import time
from collections.abc import Sequence

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import slots

OWN = b"127.0.0.1 localhost\n::1 ip6-localhost\n"
WEB, DB = "10.1.0.2 web www", "10.1.0.3 db"
LONG = "10.1.0.9 " + "n" * (slots.WIDTH - 9)


def written(held: bytes, writes: Sequence[tuple[int, bytes]]) -> bytes:
    """The content of a file after some writes."""
    data = bytearray(held)
    for place, more in writes:
        data.extend(b"\0" * (place - len(data)))
        data[place : place + len(more)] = more
    return bytes(data)


def stages(held: bytes, add: Sequence[str], drop: Sequence[str] = ()) -> list[bytes]:
    """The content before the first write, and after each."""
    writes = slots.revision(held, add, drop)
    return [written(held, writes[:count]) for count in range(len(writes) + 1)]


def lines(data: bytes) -> list[str]:
    """The lines as the C library reads them, without comments."""
    found = (line.partition(b"#")[0].decode().strip() for line in data.split(b"\n"))
    return [line for line in found if line]


def test_slots_begin_where_they_cross_no_kilobyte() -> None:
    for length in range(300):
        data = slots.new_file(b"x" * length, [WEB, DB])
        assert len(data) % slots.SIZE == 0
        assert slots.slots_in(data) == (WEB, DB)
        assert lines(data)[-2:] == [WEB, DB]
        assert data.startswith(b"x" * length)
        assert max(map(len, data.split(b"\n"))) <= max(length, slots.SIZE)


def test_names_are_spread_over_short_lines() -> None:
    names = [f"alias{number:03}.example.com" for number in range(30)]
    found = slots.lines_of("fd00:1234:5678:9abc:def0:1234:5678:9abc", names)
    assert max(map(len, found)) <= slots.WIDTH
    assert [name for line in found for name in line.split()[1:]] == names
    assert slots.lines_of("10.0.0.1", ["a" * 200, "b", "b"]) == ("10.0.0.1 b",)
    assert slots.lines_of("10.0.0.1", []) == ()


@pytest.mark.parametrize(
    ("there", "add", "drop"),
    [
        ([], [WEB], []),
        ([WEB], [DB], [WEB]),
        ([WEB, LONG, DB], [], [LONG]),
        ([WEB, DB], [LONG, WEB], [DB, WEB]),
    ],
    ids=["first", "replaced", "dropped", "several"],
)
def test_a_reader_sees_whole_lines_at_each_moment(there: list[str], add: list[str], drop: list[str]) -> None:
    for old in ([], ["10.9.9.9 was here before", LONG.replace("n", "o")]):
        held = stages(slots.new_file(OWN, [*old, *there]), [], old)[-1]
        known = {*lines(OWN), *there, *add}
        seen = stages(held, add, drop)
        for data in seen:
            assert {*lines(data)} <= known
            assert {*lines(data)} >= {*lines(OWN), *there} - {*drop}
            assert b"\0" not in data
        assert {*slots.slots_in(seen[-1])} == {*there, *add} - ({*drop} - {*add})
        assert stages(seen[-1], add, [line for line in drop if line not in add])[-1] == seen[-1]


def test_what_is_new_is_there_before_what_is_old_goes() -> None:
    seen = stages(slots.new_file(OWN, [WEB]), [DB], [WEB])
    assert all(WEB in lines(data) or DB in lines(data) for data in seen)


def test_a_free_slot_is_used_again_and_no_byte_moves() -> None:
    held = slots.new_file(OWN, [WEB, LONG])
    freed = stages(held, [], [WEB])[-1]
    assert len(freed) == len(held)
    again = stages(freed, [DB])[-1]
    assert len(again) == len(held)
    assert slots.slots_in(again) == (DB, LONG)
    assert stages(again, [WEB])[-1] == again + slots.new_file(b"", [WEB])


@pytest.mark.parametrize("count", range(8))
def test_a_writer_that_is_killed_leaves_what_the_next_one_completes(count: int) -> None:
    held = stages(slots.new_file(OWN, [WEB]), [], [])[-1]
    left = written(held, slots.revision(held, [DB, LONG], [WEB])[:count])
    assert {*slots.slots_in(stages(left, [DB, LONG], [WEB])[-1])} == {DB, LONG}


HOSTILE = {
    "empty": b"",
    "cut": slots.new_file(OWN, [WEB])[:-7],
    "no end": OWN + b"10.6.6.6 evil",
    "its own lines": OWN + b"10.6.6.6 mine\n" * 40,
    "comments": b"#\n" * 4000,
    "NUL": b"\0" * 5000,
    "no line in it": b"x" * 5000,
    "almost a slot": OWN + b"\n" * (slots.SIZE - len(OWN)) + (b"#" * 10 + b"\n").ljust(126) + b"\t\n",
    "shifted": b"\n" + slots.new_file(OWN, [WEB]),
}


@pytest.mark.parametrize("held", HOSTILE.values(), ids=HOSTILE)
def test_what_an_app_has_written_stays_and_names_are_added(held: bytes) -> None:
    for data in stages(held, [WEB, DB]):
        assert data.startswith(held)
    assert {WEB, DB} <= {*slots.slots_in(data)}
    assert {WEB, DB} <= {*lines(data)}


def test_a_file_has_a_largest_size() -> None:
    held = b"x\n" * (slots.LARGEST // 2)
    assert slots.revision(held, [WEB], [DB]) == ()
    room = b"x\n" * (slots.LARGEST // 2 - slots.SIZE)
    assert slots.slots_in(stages(room, [WEB, DB])[-1]) == (WEB, DB)


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "hosts"
    path.write_bytes(slots.new_file(OWN))
    return path


def opened(path: pathlib.Path) -> int:
    base = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        return slots.open_file(base, path.name)
    finally:
        os.close(base)


def test_a_file_is_revised_in_place(file: pathlib.Path) -> None:
    before = file.stat().st_ino
    fd = opened(file)
    slots.revise(fd, [WEB, DB])
    slots.revise(fd, [], [WEB])
    os.close(fd)
    assert (file.stat().st_ino, slots.slots_in(file.read_bytes())) == (before, (DB,))


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_nothing_but_a_file_is_written(tmp_path: pathlib.Path, kind: str) -> None:
    place, other = tmp_path / "hosts", tmp_path / "other"
    other.write_bytes(OWN)
    {"link": lambda: place.symlink_to(other), "fifo": lambda: os.mkfifo(place), "directory": place.mkdir}[
        kind
    ]()
    with pytest.raises(OSError):
        opened(place)
    assert other.read_bytes() == OWN


def test_no_link_is_followed_on_the_way(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "hosts").write_bytes(OWN)
    (tmp_path / "link").symlink_to("real")
    base = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(OSError, match="symbolic"):
        slots.open_file(base, "link/hosts")
    os.close(base)


def test_a_lease_on_a_file_does_not_let_the_writer_wait(file: pathlib.Path) -> None:
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        holder = os.open(file, os.O_RDWR)
        fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.write(told, b".")
        time.sleep(60)
        os._exit(0)
    try:
        os.read(ready, 1)
        with pytest.raises(BlockingIOError):
            opened(file)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(told)
