# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of the machine, for this interpreter's programs and system calls."""

from __future__ import annotations

import os
import sys

# A 32-bit Python on a 64-bit kernel, such as that of Raspberry Pi OS, makes 32-bit system calls.
_NARROW = {"x86_64": "i686", "aarch64": "armv7l"}
# Names that a 64-bit kernel shows to a 32-bit process. Source: personality(2), PER_LINUX32.
_OTHER_NAMES = {"armv8l": "armv7l"}


def machine() -> str:
    """The name that uname -m prints, or would print on a kernel with the word size of this interpreter."""
    name = os.uname().machine
    name = name if sys.maxsize > 1 << 32 else _NARROW.get(name, name)
    return _OTHER_NAMES.get(name, name)
