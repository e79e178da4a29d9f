# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""When the supervisor starts an app again: no process is forked here, and nothing is waited for."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import restart
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.pid1 import restarts

# Beyond the largest PID of any kernel, so that no process is hit.
NO_PROCESS = (1 << 22) + 1


class Policy:
    """An app with a policy, whose clock is moved by hand."""

    def __init__(self, base: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.dir = PodDir(str(base))
        pathlib.Path(self.dir.statuses).mkdir(parents=True)
        self.ordered, self.order = os.pipe2(os.O_NONBLOCK)
        self.counts = os.open(self.dir.app_restarts("main"), os.O_RDWR | os.O_CREAT)
        monkeypatch.setattr(restarts.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(restarts.time, "time", lambda: self.now)

    def of(self, text: str) -> restarts.Restarts:
        given = restart.Restart.parse(text)
        return restarts.Restarts(
            {
                "policy": given.policy,
                "max_retries": given.max_retries,
                "backoff": given.backoff,
                "max_backoff": given.max_backoff,
                "waiting": NO_PROCESS,
                "order": self.order,
                "counts": self.counts,
            }
        )

    def run(self, app: restarts.Restarts, seconds: float, status: int) -> float | None:
        """One start of the app, which runs for so long. Returns the pause after it."""
        app.note_start()
        self.now += seconds
        app.note_end(status, killed=False, oom=False)
        app.decide(status, may=True)
        if app.pause is not None:
            app.note_rest()
            app.order()
            assert os.read(self.ordered, 9) == b"s"
        return app.pause

    def recorded(self) -> restart.RestartCounts:
        found = restart.read_restarts(self.dir, "main")
        assert found
        return found


@pytest.fixture
def policy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Policy]:
    made = Policy(tmp_path, monkeypatch)
    yield made
    for fd in (made.ordered, made.order, made.counts):
        os.close(fd)


def test_pauses_double_up_to_the_longest(policy: Policy) -> None:
    app = policy.of("always,backoff=1s,max-backoff=10s")
    assert [policy.run(app, 0, 1) for _start in range(6)] == [1, 2, 4, 8, 10, 10]


def test_pauses_of_an_app_that_never_gives_up_do_not_overflow(policy: Policy) -> None:
    app = policy.of("always,backoff=10ms,max-backoff=24h")
    assert [policy.run(app, 0, 1) for _start in range(3000)][-1] == 86400


def test_a_long_run_begins_pauses_and_retries_again(policy: Policy) -> None:
    app = policy.of("on-failure:3,backoff=1s,max-backoff=10s")
    runs = [(0, 1), (0, 1), (9.9, 1), (10, 1), (0, 1), (0, 1), (0, 1)]
    assert [policy.run(app, *each) for each in runs] == [1, 2, 4, 1, 2, 4, None]
    assert app.count == 6


def test_a_run_is_not_long_because_the_longest_pause_is_short(policy: Policy) -> None:
    app = policy.of("on-failure:3,backoff=10ms,max-backoff=10ms")
    assert [policy.run(app, 9, 1) for _start in range(4)] == [0.01, 0.01, 0.01, None]


@pytest.mark.parametrize(
    ("text", "good", "bad"), [("on-failure", None, 1), ("always", 1, 1), ("unless-stopped", 1, 1)]
)
def test_a_policy_decides_by_the_status(
    policy: Policy, text: str, good: float | None, bad: float | None
) -> None:
    assert policy.run(policy.of(text), 0, 0) == good
    assert policy.run(policy.of(text), 0, 3) == bad


def test_there_is_no_start_without_a_waiting_process_or_against_the_supervisors_will(policy: Policy) -> None:
    lost, unwanted, dismissed = (policy.of("always") for _number in range(3))
    lost.waiting = 0
    lost.decide(1, may=True)
    unwanted.decide(1, may=False)
    dismissed.dismiss()
    dismissed.decide(1, may=True)
    assert (lost.pause, unwanted.pause, dismissed.pause) == (None, None, None)
    assert not unwanted.wanted


def test_starts_and_ends_are_on_record(policy: Policy) -> None:
    app = policy.of("always,backoff=2s")
    assert policy.run(app, 5, 7) == 2
    assert policy.recorded() == restart.RestartCounts(0, 7, None, False, 1000, 1005, 1007)
    policy.now += 2
    app.note_start()
    assert policy.recorded() == restart.RestartCounts(1, 7, None, False, 1007, 1005, None)
    app.note_end(9, killed=True, oom=True)
    assert policy.recorded() == restart.RestartCounts(1, None, 9, True, 1007, 1007, None)
    app.lose()
    assert policy.recorded().lost


def test_a_record_never_grows(policy: Policy) -> None:
    policy.now = 99_999_999_999.123456
    app = policy.of("always,backoff=24h,max-backoff=24h")
    app.number = 10**15
    policy.run(app, 0, 255)
    app.lose()
    assert os.fstat(policy.counts).st_size == restart.RECORD_BYTES
    assert policy.recorded().count == 10**15 - 1
    assert policy.recorded().lost
