# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages to the user during the start of a pod that do not stop it."""

from __future__ import annotations

import os

from ..contexts import suppress

_STDERR = 2


def warn(text: str) -> None:
    """Write a warning, which does not stop the start."""
    say("stage1: warning", text)


def say(prefix: str, text: str) -> None:
    """Write a line to stderr."""
    with suppress(OSError):  # a full disk is no reason not to start
        os.write(_STDERR, f"{prefix}: {text}\n".encode(errors="replace"))
