# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations and the points in time of lists, as rkt prints them. Pure but for the local time zone."""

from __future__ import annotations

import time

from ..appc.durations import parse_duration
from ..errors import InvalidSpec

# A time without an offset is in the host's time zone.
_DATE = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{3}(?:\d{3})?)?)?(?:Z|[+-]\d\d:\d\d)?)?"
_MINUTE, _HOUR, _DAY, _WEEK, _MONTH, _YEAR = 60, 3600, 86400, 604800, 2592000, 31104000
# (below this many seconds, the sentence, the unit that it counts). Source: go-humanize times.go.
_AGES = (
    (1, "now", 1),
    (2, "1 second {}", 1),
    (_MINUTE, "{n} seconds {}", 1),
    (2 * _MINUTE, "1 minute {}", 1),
    (_HOUR, "{n} minutes {}", _MINUTE),
    (2 * _HOUR, "1 hour {}", 1),
    (_DAY, "{n} hours {}", _HOUR),
    (2 * _DAY, "1 day {}", 1),
    (_WEEK, "{n} days {}", _DAY),
    (2 * _WEEK, "1 week {}", 1),
    (_MONTH, "{n} weeks {}", _WEEK),
    (2 * _MONTH, "1 month {}", 1),
    (_YEAR, "{n} months {}", _MONTH),
    (18 * _MONTH, "1 year {}", 1),
    (2 * _YEAR, "2 years {}", 1),
    (37 * _YEAR, "{n} years {}", _YEAR),
)


def parse_moment(text: str, now: float) -> float:
    """Seconds since the epoch of a point in time: RFC 3339, a day, or a duration before now. Raises InvalidSpec."""
    import re  # only needed here
    from datetime import datetime

    if re.fullmatch(_DATE, text, re.ASCII):
        # datetime accepts Z from Python 3.11 on.
        spelled = f"{text[:-1]}+00:00" if text.endswith("Z") else text
        try:
            return datetime.fromisoformat(spelled).timestamp()
        except ValueError as err:
            raise InvalidSpec(f'invalid time "{text}": {err}', "write it as 2026-01-31T14:00:00Z") from err
    try:
        return now - parse_duration(text)
    except InvalidSpec as err:
        raise InvalidSpec(
            f'invalid time "{text}"', "write it as 10m, 2026-01-31 or 2026-01-31T14:00:00Z"
        ) from err


def format_age(then: float, now: float) -> str:
    """The time since a moment: "3 minutes ago"."""
    seconds = int(abs(now - then))
    label = "ago" if then <= now else "from now"
    for limit, sentence, unit in _AGES:
        if seconds < limit:
            return sentence.format(label, n=seconds // unit)
    return f"a long while {label}"


def format_time(then: float) -> str:
    """A point in time: 2026-01-02 15:04:05.99 +0100 CET, with no more digits of the second than it needs."""
    millis = int(then * 1000)
    local = time.localtime(millis // 1000)
    fraction = f".{millis % 1000:03d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%d %H:%M:%S", local) + fraction + time.strftime(" %z %Z", local)


def format_duration(seconds: float) -> str:
    """A duration as rkt prints it: 30m0s. Source: Go time.Duration."""
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
