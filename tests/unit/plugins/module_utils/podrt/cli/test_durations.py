# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Durations and times as rkt reads and writes them."""

from __future__ import annotations

import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.cli.durations import (
    format_age,
    format_time,
    parse_duration,
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
