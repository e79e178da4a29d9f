# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What is kept of downloads: which are worth it, who may write, what is believed of it later, and when it goes."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, partial
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.partial import (
    MOST_WAITING,
    WORTH_SECONDS,
    Partial,
)

pytestmark = pytest.mark.behaviour("B22", "B23")
TAGGED = {"etag": '"1"', "date": "today", "content-type": "x"}
MIB = b"x" * (1 << 20)


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Heard:
    """What hears of a download."""

    def __init__(self) -> None:
        self.told: list[tuple[int | None, int]] = []
        self.came = 0

    def begins(self, whole: int | None, had: int) -> None:
        self.told.append((whole, had))

    def has(self, count: int) -> None:
        self.came += count


@pytest.fixture(name="paths")
def _paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(data=str(tmp_path / "data"))


@pytest.fixture(name="watch")
def _watch() -> Watch:
    return Watch()


def silent(_line: str) -> None:
    """Drop a line."""


def opened(paths: Paths, watch: Watch | None = None, *, key: str = "a", checked: bool = True) -> Partial:
    return Partial(paths, key, silent, Heard(), checked=checked, clock=watch or Watch())


def bodies(paths: Paths) -> list[bytes]:
    return [path.read_bytes() for path in sorted(pathlib.Path(paths.partials).glob("*/body"))]


def broken(paths: Paths, *chunks: bytes, key: str = "a", checked: bool = True) -> None:
    """Leave a download that was broken off."""
    with pytest.raises(Unreachable), opened(paths, key=key, checked=checked) as kept:
        kept.begin(TAGGED, 100 << 20, kept=True)
        for chunk in chunks:
            kept.add(chunk)
        raise Unreachable("gone")


def test_what_comes_fast_is_never_written(paths: Paths, watch: Watch) -> None:
    with opened(paths, watch) as kept:
        kept.begin(TAGGED, 100 << 20, kept=True)
        for _number in range(100):
            watch.now += WORTH_SECONDS / 101
            kept.add(MIB)
            assert not os.path.exists(paths.partials)


def test_what_takes_long_as_a_whole_is_written_as_soon_as_that_is_clear(paths: Paths, watch: Watch) -> None:
    with opened(paths, watch) as kept:
        kept.begin(TAGGED, 100 << 20, kept=True)
        for number in range(1, 7):
            watch.now += WORTH_SECONDS / 99
            kept.add(MIB)
            assert bodies(paths) == ([MIB * number] if number >= MOST_WAITING // len(MIB) else [])
    assert files.entries(paths.partials) == []


def test_a_little_that_takes_long_is_written(paths: Paths, watch: Watch) -> None:
    with opened(paths, watch) as kept:
        kept.begin(TAGGED, None, kept=True)
        kept.add(b"one")
        watch.now = WORTH_SECONDS
        kept.add(b"two")
        assert bodies(paths) == [b"onetwo"]
        kept.add(b"three")
        assert bodies(paths) == [b"onetwothree"]


@pytest.mark.parametrize("left", [KeyboardInterrupt(), SystemExit(1), Unreachable("gone")])
def test_an_interrupted_download_stays_and_is_read_back(paths: Paths, left: BaseException) -> None:
    with pytest.raises(type(left)), opened(paths) as kept:
        kept.begin(TAGGED, 10, kept=True)
        kept.add(b"one")
        raise left
    with opened(paths) as kept:
        assert (kept.size, kept.length, kept.headers) == (3, 10, {"etag": '"1"', "date": "today"})
        assert not kept.was_used
        assert b"".join(kept.chunks()) == b"one"
        assert kept.was_used
        kept.add(b"two")
        assert bodies(paths) == [b"onetwo"]
    assert files.entries(paths.partials) == []


@pytest.mark.parametrize("left", [Corrupt("it is none"), OSError(28, "full")])
def test_wrong_content_does_not_stay(paths: Paths, left: Exception) -> None:
    broken(paths, b"one")
    with pytest.raises(type(left)), opened(paths):
        raise left
    assert files.entries(paths.partials) == []


def test_a_body_that_begins_again_replaces_what_is_there(paths: Paths) -> None:
    broken(paths, b"a longer one")
    with pytest.raises(Unreachable), opened(paths) as kept:
        kept.begin({"etag": '"2"'}, 5, kept=True)
        kept.add(b"two")
        raise Unreachable("gone")
    with opened(paths) as kept:
        assert (kept.size, kept.length, kept.headers) == (3, 5, {"etag": '"2"'})
    broken(paths, b"one")
    with opened(paths) as kept:
        kept.begin({}, 5, kept=False)
        assert files.entries(paths.partials) == []
        kept.add(b"two")
    assert files.entries(paths.partials) == []


def test_one_process_writes_and_others_go_on_without_it(paths: Paths) -> None:
    broken(paths, b"one")
    with opened(paths) as first:
        with opened(paths) as second, opened(paths, key="b") as other:
            assert (first.size, second.size, other.size) == (3, 0, 0)
            second.begin(TAGGED, 5, kept=True)
            second.add(b"two")
        assert bodies(paths) == [b"one"]
        first.add(b"three")
        assert bodies(paths) == [b"onethree"]


@pytest.mark.parametrize("checked", [True, False])
def test_what_an_earlier_boot_has_written_counts_only_where_a_digest_decides(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    broken(paths, b"one", checked=checked)
    with opened(paths, checked=checked) as kept:
        assert kept.size == 3
        kept.begin(TAGGED, 9, kept=True)
        kept.add(b"one")
        monkeypatch.setattr(partial, "_this_boot", lambda: "another")
        kept.__exit__(None, KeyboardInterrupt(), None)
        with opened(paths, checked=checked) as again:
            assert again.size == (3 if checked else 0)


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"headers": 1}', b'{"headers": {"etag": 1}}'])
def test_what_has_no_readable_answer_is_nothing(paths: Paths, answer: bytes) -> None:
    broken(paths, b"one")
    (place,) = pathlib.Path(paths.partials).glob("*/answer")
    place.write_bytes(answer)
    with opened(paths) as kept:
        assert kept.size == 0


def test_a_link_in_its_place_is_not_followed(paths: Paths, tmp_path: pathlib.Path) -> None:
    broken(paths, b"one")
    (place,) = pathlib.Path(paths.partials).glob("*/body")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    place.unlink()
    place.symlink_to(victim)
    with pytest.raises(Unreachable), opened(paths) as kept:
        assert kept.size == 0
        kept.begin(TAGGED, 5, kept=True)
        kept.add(b"two")
        raise Unreachable("gone")
    assert victim.read_bytes() == b"precious"


def test_a_host_without_room_keeps_nothing_and_goes_on(paths: Paths, watch: Watch) -> None:
    found = os.statvfs("/tmp")
    with opened(paths, watch) as kept:
        kept.begin(TAGGED, found.f_blocks * found.f_frsize, kept=True)
        watch.now = WORTH_SECONDS
        kept.add(b"one")
        kept.add(b"two")
        assert files.entries_if_any(paths.partials) == []


def test_collections_remove_what_is_old_or_too_much_and_not_in_use(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    for key in "abcd":
        broken(paths, b"x" * 100, key=key)
    ages = (partial.ABANDONED_SECONDS + 9, 30, 20, 10)
    places = sorted(pathlib.Path(paths.partials).glob("*/body"), key=lambda path: path.stat().st_mtime_ns)
    for place, age in zip(places, ages):
        os.utime(place, (now - age, now - age))
    assert [item.bytes >= 100 for item in gc.unreferenced(paths, (), (), 0).items] == [True]
    monkeypatch.setattr(partial, "MOST_BYTES", 150)
    assert len(partial.abandoned(paths)) == 3
    with opened(paths, key="b") as used:
        assert used.size == 100
        removed = gc.collect(paths, lambda: ((), ()), 0)
        assert {item.kind for item in removed.items} == {"leftovers"}
        assert (len(removed.items), bodies(paths)) == (3, [b"x" * 100])
