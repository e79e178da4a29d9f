# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command line asks of an entry of stage1, whichever stage1 that is."""

from __future__ import annotations

from ..value import Value


class EnterRequest(Value):
    """A request to run a command in an app.

    user and group: as of an app, "" for root; with a user, group "" is the app's own. groups: None for the app's with a
    user, and for no groups without. environment: overrides the app's variables. privileged: with all capabilities of
    the caller and no filter.
    """

    app: str
    argv: tuple[str, ...]
    term: str
    user: str = ""
    group: str = ""
    groups: tuple[int, ...] | None = None
    working_directory: str = "/"
    environment: tuple[tuple[str, str], ...] = ()
    privileged: bool = False
