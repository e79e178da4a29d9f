# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of a server, and the error for an unexpected status."""

from __future__ import annotations

from ..errors import Unreachable
from ..value import Value
from .reference import shown

TOO_MANY, SERVERS_FAULT = 429, 500


class Answer(Value):
    """The answer of a server. url: after all redirects. headers: by lower-case name. body: of documents only."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header, empty when it is missing."""
        return dict(self.headers).get(name, "")


def bad_status(url: str, status: int, hint: str = "") -> Unreachable:
    """The error for an unexpected status (B19). hint: for 401 and 403."""
    if status == TOO_MANY:
        hint = "the server limits requests: wait, or log in with a dockerAuth document in auth.d"
    elif status not in (401, 403):
        hint = "try again later" if status >= SERVERS_FAULT else ""
    return Unreachable(
        f"cannot fetch {shown(url)}: bad HTTP status code: {status}", hint, url=shown(url), status=status
    )
