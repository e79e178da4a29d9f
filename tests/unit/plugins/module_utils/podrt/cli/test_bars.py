# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Bars on a terminal: what is drawn, and what is left of it, by a real one where it matters."""

from __future__ import annotations

import fcntl
import os
import pathlib
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.bars import Bars
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.progress import Observer, Transfer
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Web,
    make_aci,
    serving,
)

pytestmark = pytest.mark.behaviour("B21")
PODCTL = pathlib.Path(__file__).parents[6] / "bin" / "podctl"
MB = 1_000_000


class Terminal:
    """A terminal that knows two sequences: up, and clear below."""

    def __init__(self, columns: int = 200, lines: int = 24) -> None:
        self.rows: list[str] = [""]
        self.size = os.terminal_size((columns, lines))

    def write(self, text: str) -> None:
        for part in re.findall(r"\x1b\[\d*[A-Z]|[^\x1b\n]+|\n", text):
            if part == "\n":
                self.rows.append("")
            elif part == "\x1b[J":
                self.rows[-1] = ""
            elif part.startswith("\x1b"):
                del self.rows[len(self.rows) - int(part[2:-1]) :]
            else:
                assert "\x1b" not in part
                self.rows[-1] += part

    def tell(self, text: str) -> None:
        self.write(f"image: {text}\n")

    @property
    def text(self) -> list[str]:
        assert self.rows[-1] == ""
        return self.rows[:-1]


class Watch:
    """A clock that moves on at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture(name="terminal")
def _terminal() -> Terminal:
    return Terminal()


def observed(terminal: Terminal) -> Observer:
    return Observer(Bars(terminal.tell, terminal.write, lambda: terminal.size), Watch())


def begun(observer: Observer, label: str, whole: int = 10 * MB, done: int = MB) -> Transfer:
    transfer = observer.transfer(label)
    observer.announce(f"Downloading {label}, which the bar says")
    transfer.begins(whole, 0)
    transfer.has(done)
    return transfer


def starts(terminal: Terminal) -> list[str]:
    return [line.partition(" [")[0] for line in terminal.text]


def test_bars_are_below_lines_and_stay_once_they_are_full(terminal: Terminal) -> None:
    observer = observed(terminal)
    observer("first")
    one, two = begun(observer, "one"), begun(observer, "two")
    assert starts(terminal) == ["image: first", "Downloading one:", "Downloading two:"]
    observer("second")
    assert starts(terminal) == ["image: first", "image: second", "Downloading one:", "Downloading two:"]
    two.has(9 * MB)
    two.ends()
    assert starts(terminal) == ["image: first", "image: second", "Downloading two:", "Downloading one:"]
    assert re.fullmatch(r"Downloading two: \[={30}\] 10\.0 MB/10\.0 MB, [\d.]+ [kM]B/s", terminal.text[2])
    one.ends()
    assert starts(terminal) == ["image: first", "image: second", "Downloading two:"]
    observer("third")
    assert starts(terminal)[-1] == "image: third"


def test_a_bar_is_one_line_of_any_terminal_and_no_more_are_drawn_than_it_has(terminal: Terminal) -> None:
    terminal.size = os.terminal_size((30, 6))
    observer = observed(terminal)
    for number in range(10):
        begun(observer, f"layer{number}")
    assert len(terminal.text) == 4
    assert {len(line) for line in terminal.text} == {29}


def test_text_of_a_server_moves_no_cursor(terminal: Terminal) -> None:
    begun(observed(terminal), "\x1b[2J\r\n\u202eACI")
    assert starts(terminal) == ["Downloading \\x1b[2J\\r\\n\\u202eACI:"]


@pytest.fixture(name="web")
def _web() -> Iterator[Web]:
    with serving() as web:
        yield web


def fetched(web: Web, tmp_path: pathlib.Path, term: str) -> str:
    """What podctl fetch writes to a terminal."""
    body = make_aci(content=os.urandom(20 * MB))
    web.answer = lambda *_request: (200, {}, body)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    seen: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                seen.append(data)
        except OSError:
            return  # its other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    options = (f"--dir={tmp_path}/d", f"--local-config={tmp_path}/c", "--insecure-options=image")
    subprocess.run(
        [PODCTL, *options, "fetch", f"{web.url}/a.aci"],
        env={**os.environ, "TERM": term},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return b"".join(seen).decode()


@pytest.mark.root
def test_podctl_draws_on_a_terminal_and_writes_lines_on_a_dumb_one(web: Web, tmp_path: pathlib.Path) -> None:
    drawn = fetched(web, tmp_path / "one", "xterm")
    assert re.search(r"Downloading ACI: \[={30}\] 20\.0 MB/20\.0 MB, [\d.]+ [kM]B/s\r\n", drawn)
    assert "image: Downloading ACI" not in drawn
    plain = fetched(web, tmp_path / "two", "dumb")
    assert "image: Downloading ACI\r\n" in plain
    assert "\x1b" not in plain
