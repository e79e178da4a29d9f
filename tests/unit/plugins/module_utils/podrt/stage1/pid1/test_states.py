# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The supervisor's table of states and its queue of timers."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import states
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.timers import Timers
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.watch import Watch

EVENTS = (states.UP, states.STOP, states.EXIT, states.HANDLE, states.REST, states.START, states.DONE)


def test_every_state_can_be_reached_and_leads_to_the_end() -> None:
    reached, found = {states.STARTING}, {states.STARTING}
    while found:
        found = {after for state in found for after in states.TABLE[state].values()} - reached
        reached |= found
    assert reached == set(states.TABLE)
    for state in set(states.TABLE) - {states.ENDED}:
        assert states.TABLE[state], f"{state} has no end"


def test_what_has_exited_lives_again_after_a_pause_alone() -> None:
    assert states.after(states.RESTING, states.START) == states.STARTING
    for state in set(states.TABLE) - {*states.ALIVE, states.RESTING}:
        assert {states.after(state, event) for event in EVENTS}.isdisjoint(states.ALIVE)


def test_an_app_that_comes_up_while_it_is_stopped_is_being_stopped() -> None:
    assert states.after(states.STOPPING, states.UP) == states.STOPPING


def test_timers_are_called_in_the_order_of_their_times() -> None:
    timers, called = Timers(), []
    for seconds in (0.02, 0.01, 60):
        timers.after(seconds, lambda seconds=seconds: called.append(seconds))  # type: ignore[misc]
    assert 1 <= (timers.patience() or 0) <= 11
    timers.run_due()
    assert called == []
    time.sleep(0.03)
    timers.run_due()
    assert called == [0.01, 0.02]
    assert 50_000 < (timers.patience() or 0) <= 60_001


def test_a_timer_is_hastened_but_never_put_off_and_a_cancelled_one_is_not_called() -> None:
    timers, called = Timers(), []
    late = timers.after(60, lambda: called.append("late"))
    soon = timers.after(0, lambda: called.append("soon"))
    timers.hasten(soon, 60)
    timers.hasten(late, 0)
    timers.cancel(soon)
    timers.cancel(soon)
    timers.run_due()
    assert called == ["late"]
    assert timers.patience() is None


def test_a_call_may_add_and_cancel_timers() -> None:
    timers, called = Timers(), []
    other = timers.after(0, lambda: called.append("cancelled"))
    timers.after(-1, lambda: (timers.cancel(other), timers.after(0, lambda: called.append("added"))))  # type: ignore[arg-type]
    timers.run_due()
    timers.run_due()
    assert called == ["added"]


@pytest.mark.finding("attack7-F6")
def test_a_call_in_ten_years_is_waited_for_as_long_as_the_kernel_can() -> None:
    timers = Timers()
    timers.after(10 * 365 * 86400, lambda: None)
    readable, writable = os.pipe()
    os.write(writable, b"1")
    watch, heard = Watch(), []
    watch.add(readable, lambda fd: heard.append(os.read(fd, 1)))
    watch.wait(timers.patience())
    assert heard == [b"1"]
    for fd in (readable, writable):
        os.close(fd)
