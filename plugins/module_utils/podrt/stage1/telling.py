# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read while a pod starts and what does not stop it."""

from __future__ import annotations

import os

from ..contexts import suppress

_STDERR = 2


def warn(text: str) -> None:
    """Tell those who start the pod something that does not stop it."""
    say("stage1: warning", text)


def say(prefix: str, text: str) -> None:
    """A line on the standard error."""
    with suppress(OSError):  # a full disk is no reason not to start
        os.write(_STDERR, f"{prefix}: {text}\n".encode(errors="replace"))
