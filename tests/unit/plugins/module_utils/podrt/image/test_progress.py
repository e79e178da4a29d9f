# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""How far downloads are: what is said, how often, and what is counted, in this process and from another one."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.workers import Workers
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.progress import (
    SECONDS_OF_LINES,
    Lines,
    Observer,
    Showing,
    Transfer,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.relay import Relay, Relayed

MB = 1_000_000


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="watch")
def _watch() -> Watch:
    return Watch()


@pytest.mark.behaviour("B21")
def test_a_download_that_takes_long_has_a_line_now_and_then(watch: Watch) -> None:
    lines: list[str] = []
    observer = Observer(Lines(lines.append), watch)
    observer("a line")
    transfer = observer.transfer("ACI")
    observer.announce("Downloading ACI")
    transfer.begins(100 * MB, 0)
    for _piece in range(22):
        watch.now += 0.5
        transfer.has(MB)
    transfer.ends()
    assert lines == [
        "a line",
        "Downloading ACI",
        "Downloading ACI: 10.0 MB/100.0 MB, 2.0 MB/s, 45 s left",
        "Downloading ACI: 20.0 MB/100.0 MB, 2.0 MB/s, 40 s left",
    ]
    assert SECONDS_OF_LINES == 5
    assert observer.bytes == 22 * MB


def test_lines_of_how_far_it_is_may_go_elsewhere_and_less_often(watch: Watch) -> None:
    lines: list[str] = []
    far: list[str] = []
    observer = Observer(Lines(lines.append, far.append, 10), watch)
    transfer = observer.transfer("ACI")
    transfer.begins(None, 0)
    for _piece in range(19):
        watch.now += 1
        transfer.has(1000)
    observer("a line")
    assert lines == ["a line"]
    assert far == ["Downloading ACI: 10 kB of an unknown total size, 1 kB/s"]


def test_what_was_there_counts_as_done_but_neither_as_fast_nor_as_downloaded(watch: Watch) -> None:
    observer = Observer(Showing(), watch)
    transfer = observer.transfer("ACI")
    transfer.begins(100 * MB, 90 * MB)
    watch.now += 10
    transfer.has(MB)
    assert transfer.far() == "91.0 MB/100.0 MB, 100 kB/s, 2 min left"
    assert observer.bytes == MB
    # It cannot go on, and begins again.
    transfer.begins(80 * MB, 0)
    watch.now += 1
    transfer.has(2 * MB)
    assert transfer.far() == "2.0 MB/80.0 MB, 2.0 MB/s, 39 s left"
    assert observer.bytes == 3 * MB


@pytest.mark.parametrize(
    ("whole", "done", "seconds", "drawn"),
    [
        (30 * MB, 10 * MB, 10, f"[{'=' * 10}>{' ' * 19}] 10.0 MB/30.0 MB, 1.0 MB/s, 20 s left"),
        (30 * MB, 0, 10, f"[>{' ' * 29}] 0 kB/30.0 MB, 0 kB/s"),
        (30 * MB, 30 * MB, 10, f"[{'=' * 30}] 30.0 MB/30.0 MB, 3.0 MB/s"),
        (30 * MB, 60 * MB, 10, f"[{'=' * 30}] 60.0 MB/30.0 MB, 6.0 MB/s"),
        (10**15, MB, 1, f"[>{' ' * 29}] 1.0 MB/1000000000.0 MB, 1.0 MB/s, 277777.8 h left"),
        (0, 5, 0, "0 kB of an unknown total size, 5 kB/s"),
        (None, MB, 1, "1.0 MB of an unknown total size, 1.0 MB/s"),
    ],
)
def test_bars(watch: Watch, whole: int | None, done: int, seconds: float, drawn: str) -> None:
    transfer = Observer(Showing(), watch).transfer("ACI")
    transfer.begins(whole, 0)
    watch.now += seconds
    transfer.has(done)
    assert transfer.drawn(100) == drawn


def test_a_bar_has_the_room_that_is_left_or_is_left_out(watch: Watch) -> None:
    transfer = Observer(Showing(), watch).transfer("ACI")
    transfer.begins(30 * MB, 0)
    watch.now += 10
    transfer.has(15 * MB)
    far = "15.0 MB/30.0 MB, 1.5 MB/s, 10 s left"
    assert transfer.far() == far
    assert [transfer.drawn(len(far) + more) for more in (13, 8, 7)] == [
        f"[=====>    ] {far}",
        f"[==>  ] {far}",
        far,
    ]


class Shown(Showing):
    """What has been shown."""

    every = 0.0

    def __init__(self) -> None:
        self.said: list[str] = []

    def line(self, text: str) -> None:
        self.said.append(text)

    def moved(self, transfer: Transfer) -> None:
        self.said.append(f"{transfer.label} {transfer.done}/{transfer.whole} had {transfer.had}")

    def ended(self, transfer: Transfer) -> None:
        self.said.append(f"{transfer.label} ended")


def test_another_process_is_heard_and_what_it_leaves_is_ended(watch: Watch) -> None:
    shown = Shown()
    observer = Observer(shown, watch)

    def work(tell: object) -> None:
        far = Observer(Relay(tell, 7), watch)  # type: ignore[arg-type]
        far("a line")
        far.announce("it begins")
        for label, ends in (("one", True), ("two", False)):
            transfer = far.transfer(label)
            transfer.begins(10, 4)
            watch.now += 1
            transfer.has(3)
            if ends:
                transfer.ends()

    with Relayed(observer) as relayed, Workers("a test", work) as workers:
        workers.start()
        for batch in workers.messages():
            for message in batch:
                relayed.hear(message.document)
        assert "two ended" not in shown.said
    assert shown.said == [
        "a line",
        "it begins",
        "one 7/10 had 4",
        "one 7/10 had 4",
        "one ended",
        "two 7/10 had 4",
        "two ended",
    ]
    assert observer.bytes == 6
    relayed.hear({"unpacked": 1})
