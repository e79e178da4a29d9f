# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of signals in the spellings of users and images: SIGQUIT, quit, 3, RTMIN+3."""

from __future__ import annotations

import _signal
import re

_REAL_TIME = re.compile(r"RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?")
_NUMBERS = range(1, 65)
# Signals that cannot end an app: SIGSTOP cannot be handled, and only stops it.
_NO_END = (_signal.SIGSTOP,)


def signal_number(text: str) -> int | None:
    """The number of a signal on this machine, None for another text, and for a signal that cannot end an app."""
    name = text.strip().upper()
    if name.isascii() and name.isdigit():
        number = int(name) if len(name) <= 2 else 0
    else:
        number = _by_name(name[3:] if name.startswith("SIG") else name)
    return number if number in _NUMBERS and number not in _NO_END else None


def _by_name(name: str) -> int:
    real_time = _REAL_TIME.fullmatch(name)
    if real_time:
        start = int(_signal.SIGRTMIN if real_time[1] == "MIN" else _signal.SIGRTMAX)
        offset = int(real_time[3] or 0) * (-1 if real_time[2] == "-" else 1)
        return start + offset
    number = getattr(_signal, f"SIG{name}", 0)
    return number if isinstance(number, int) and name.isalnum() else 0
