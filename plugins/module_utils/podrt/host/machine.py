# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine as this interpreter's own programs and system calls have it."""

from __future__ import annotations

import os
import sys

# A 32-bit Python on a 64-bit kernel, such as that of Raspberry Pi OS, makes 32-bit system calls.
_NARROW = {"x86_64": "i686", "aarch64": "armv7l"}
# What a 64-bit kernel calls itself to a 32-bit process. Source: personality(2), PER_LINUX32.
_OTHER_NAMES = {"armv8l": "armv7l"}


def machine() -> str:
    """What uname -m says, or would say on a kernel as wide as this interpreter."""
    found = os.uname().machine
    found = found if sys.maxsize > 1 << 32 else _NARROW.get(found, found)
    return _OTHER_NAMES.get(found, found)
