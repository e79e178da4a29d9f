# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server answered, and the error for a status that was not asked for."""

from __future__ import annotations

from ..errors import Unreachable
from ..value import Value
from .reference import shown

TOO_MANY, SERVERS_FAULT = 429, 500


class Answer(Value):
    """What a server said. url: the last of the redirects. headers: by lower-case name. body: of a document alone."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header, empty when there is none."""
        return dict(self.headers).get(name, "")


def bad_status(url: str, status: int, hint: str = "") -> Unreachable:
    """The error for a status that was not asked for (B19). hint: for one that asks for other credentials."""
    if status == TOO_MANY:
        hint = "it limits how often it is asked: wait, or log in with a dockerAuth document in auth.d"
    elif status not in (401, 403):
        hint = "try again later" if status >= SERVERS_FAULT else ""
    return Unreachable(
        f"cannot fetch {shown(url)}: bad HTTP status code: {status}", hint, url=shown(url), status=status
    )
