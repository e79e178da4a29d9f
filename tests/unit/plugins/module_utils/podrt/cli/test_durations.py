# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Durations and times as rkt reads and writes them."""

from __future__ import annotations

import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.durations import parse_duration
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.durations import (
    format_age,
    format_duration,
    format_time,
    parse_moment,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec


@pytest.mark.behaviour("A40", "A63")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300ms", 0.3), ("1m30s", 90), ("1.5h", 5400), ("-1s", -1), ("0", 0), ("24h", 86400), (".5s", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1m 30s", "-", "1d", "9" * 5000 + "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidSpec, match="invalid duration"):
        parse_duration(text)


DAY = 86400


@pytest.mark.behaviour("A34")
@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0, "now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (7200, "2 hours ago"),
        (DAY, "1 day ago"),
        (6 * DAY, "6 days ago"),
        (7 * DAY, "1 week ago"),
        (20 * DAY, "2 weeks ago"),
        (31 * DAY, "1 month ago"),
        (100 * DAY, "3 months ago"),
        (400 * DAY, "1 year ago"),
        (700 * DAY, "2 years ago"),
        (1500 * DAY, "4 years ago"),
        (-120, "2 minutes from now"),
    ],
)
def test_ages(age: int, text: str) -> None:
    assert format_age(1000.0, 1000.0 + age) == text


@pytest.mark.behaviour("A34")
@pytest.mark.parametrize(
    ("then", "text"),
    [
        (0.0, "1970-01-01 01:00:00 +0100 CET"),
        (0.5, "1970-01-01 01:00:00.5 +0100 CET"),
        (0.123456, "1970-01-01 01:00:00.123 +0100 CET"),
        (15552000.25, "1970-06-30 01:00:00.25 +0100 CET"),
    ],
)
def test_times(then: float, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert format_time(then) == text
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.finding("use-N23")
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", 1_000_000_000 - 600),
        ("0", 1_000_000_000),
        ("2026-01-31T14:00:00Z", 1_769_868_000),
        ("2026-01-31 14:00:00.25Z", None),
        ("2026-01-31T14:00:00.250Z", 1_769_868_000.25),
        ("2026-01-31T15:00:00+01:00", 1_769_868_000),
        ("2026-01-31T14:00Z", 1_769_868_000),
    ],
)
def test_a_point_in_time_is_a_date_or_how_long_ago_it_was(text: str, moment: float | None) -> None:
    if moment is None:
        with pytest.raises(InvalidSpec, match="invalid time"):
            parse_moment(text, 0)
    else:
        assert parse_moment(text, 1_000_000_000) == moment


@pytest.mark.finding("use-N23")
def test_a_day_begins_where_the_host_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    assert parse_moment("2026-01-31", 0) == 1_769_817_600 - 7200
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "2026-01-31T25:00", "9" * 5000, "2026-01-31T14:00:00Zx"]
)
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(InvalidSpec, match="invalid time"):
        parse_moment(text, 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m0s"), (1800, "30m0s"), (3600, "1h0m0s"), (86399, "23h59m59s")],
)
def test_durations_are_those_of_rkt(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
