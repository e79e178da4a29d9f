# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The record of an app as a message, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import frames
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.record import (
    app_record,
    message_of_record,
)

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1.record import (
        AppRecord,
        RestartRecord,
    )

LEAST: AppRecord = {
    "name": "web",
    "pid": 7,
    "pre_start": False,
    "out": -1,
    "err": -1,
    "exec": 10,
    "procs": -1,
    "kill": -1,
    "oom": -1,
    "events": -1,
    "notify": -1,
    "journal": -1,
    "stop_signal": 0,
    "post_stop": -1,
    "logs": [11],
    "status": 12,
    "end": 13,
    "restart": None,
    "stdin": -1,
    "tty": -1,
    "tap_out": -1,
    "tap_err": -1,
    "tap_tty": -1,
}
MOST: AppRecord = {
    **LEAST,
    "name": "w" * 512,
    "pre_start": True,
    "out": 20,
    "err": 21,
    "procs": 22,
    "kill": 23,
    "oom": 24,
    "events": 25,
    "notify": 26,
    "journal": 27,
    "stop_signal": 64,
    "post_stop": 28,
    "logs": list(range(100, 116)),
    "stdin": 29,
    "tty": 30,
    "tap_out": 31,
    "tap_err": 32,
    "tap_tty": 33,
}
AGAIN: RestartRecord = {
    "policy": "on-failure",
    "max_retries": 3,
    "backoff": 0.02,
    "max_backoff": 3600.0,
    "waiting": 9,
    "order": 40,
    "counts": 41,
}


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(LEAST, id="least"),
        pytest.param(MOST, id="most"),
        pytest.param({**LEAST, "pid": 0, "restart": AGAIN}, id="started again"),
        pytest.param({**MOST, "pid": 0, "restart": {**AGAIN, "max_retries": 0}}, id="all"),
    ],
)
def test_a_record_is_the_same_after_it_was_a_message(record: AppRecord) -> None:
    fields, fds = message_of_record(record)
    kind, *words = frames.message_of(frames.frame_of(frames.ADD, *fields))
    # The kernel gives descriptors other numbers, in the same order.
    assert (kind, app_record(words, fds)) == (frames.ADD, record)


@pytest.mark.parametrize(
    ("at", "word", "says"),
    [
        (0, "", "its name, PID or signal"),
        (0, "w" * 513, "its name, PID or signal"),
        (1, 0, "its name, PID or signal"),
        (1, 1, "its name, PID or signal"),
        (3, -1, "its name, PID or signal"),
        (3, 65, "its name, PID or signal"),
        (4, "exec status end", "does not name its descriptors"),
        (4, "exec status end exec", "not those of an app"),
        (4, "exec status end pid", "not those of an app"),
        (4, "exec status log log", "not those of an app"),
        (5, "always", "its restart policy"),
        (5, "always 1 2 3 4", "its restart policy"),
        (5, "always 1 -2 3", "its restart policy"),
        (5, "always 1 2 3", "cannot be started again"),
    ],
)
def test_a_message_that_is_no_record_is_refused(at: int, word: str | int, says: str) -> None:
    fields, fds = message_of_record(LEAST)
    changed = [*fields]
    changed[at] = word
    with pytest.raises(frames.BadFrame, match=says):
        app_record(changed, fds)


def test_every_message_of_a_record_fits_into_a_frame() -> None:
    fields, _fds = message_of_record({**MOST, "restart": AGAIN})
    assert len(frames.frame_of(frames.ADD, *fields)) <= frames.LONGEST_FRAME
