# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as Go writes them: 300ms, 1m30s. Pure. Source: Go time.ParseDuration."""

from __future__ import annotations

from ..errors import InvalidSpec

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = r"([0-9]{1,18}(?:\.[0-9]*)?|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)"


def parse_duration(text: str, where: str = "") -> float:
    """Seconds of a duration such as 300ms, 1m30s or -1s; 0 needs no unit. Raises InvalidSpec."""
    import re  # a start parses none, unless an app has a restart policy

    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return 0.0
    parts = re.findall(_PART, unsigned)
    if not unsigned or "".join(number + unit for number, unit in parts) != unsigned:
        raise InvalidSpec(f'invalid duration "{text}"', "write it as 30s, 5m or 1h30m", where=where)
    seconds = float(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return -seconds if text[0] == "-" else seconds
