# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that one process does for all, as long as it makes progress."""

from __future__ import annotations

import os
import threading
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.turns import Turn


@pytest.fixture(name="turn")
def _turn(tmp_path):
    lines = []

    def turn(patience=0.3):
        return Turn(str(tmp_path / "locks/turn"), "layer sha256:1", patience=patience, tell=lines.append)

    turn.lines = lines
    return turn


def test_the_first_has_it_and_says_nothing(turn):
    with turn() as first:
        assert first.held
    with turn() as second:
        assert second.held
    assert turn.lines == []


@pytest.mark.finding("attack-F5")
def test_a_waiter_is_told_who_has_it_and_has_it_next(turn):
    with turn() as first:
        threading.Timer(0.1, first.__exit__, (None, None, None)).start()
        with turn(patience=5) as second:
            assert second.held
        first.fd = os.open(os.devnull, os.O_RDONLY)
    (line,) = turn.lines
    assert line.startswith("waiting for ") and f"(pid {os.getpid()})" in line
    assert line.endswith(": layer sha256:1")


@pytest.mark.finding("attack-F5")
def test_a_holder_without_progress_is_not_waited_for(turn):
    with turn():
        began = time.monotonic()
        with turn() as second:
            assert not second.held
            assert 0.25 < time.monotonic() - began < 20
            second.pulse()  # which is nothing
    assert len(turn.lines) == 2
    assert "which makes no progress" in turn.lines[1] and f"(pid {os.getpid()})" in turn.lines[1]


def test_a_holder_that_makes_progress_is_waited_for(turn):
    done, held = threading.Event(), []

    def wait():
        with turn(patience=1) as second:
            held.append((second.held, done.is_set()))

    with turn() as first:
        waiter = threading.Thread(target=wait)
        waiter.start()
        for _step in range(20):
            time.sleep(0.1)
            first.pulse()
        done.set()
    waiter.join()
    assert held == [(True, True)]


def test_a_file_that_its_holder_removed_is_no_turn(turn):
    with turn() as first, turn(patience=0.1) as second:
        assert not second.held
        first.remove()
        with turn() as third:
            assert third.held
