# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The challenges by which a registry asks for authentication. Pure. Source: RFC 9110 section 11.6.1."""

from __future__ import annotations

import re

from ..value import Value

# No registry sends a longer challenge.
MAX_HEADER = 8 << 10
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_VALUE = re.compile(r'\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


class Challenge(Value):
    """One way to authenticate. scheme: in lower case. parameters: pairs, their names in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """The value of a parameter, empty when it is missing."""
        return dict(self.parameters).get(name, "")


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a WWW-Authenticate header, or of several joined by commas, in linear time."""
    challenges: list[tuple[str, list[tuple[str, str]]]] = []
    token = _TOKEN.search(header)
    while token:
        value = _VALUE.match(header, token.end()) if challenges else None
        if value:
            quoted, plain = value.groups()
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            challenges[-1][1].append((token[0].lower(), text))
        elif token[0][0].isalpha():
            challenges.append((token[0].lower(), []))
        token = _TOKEN.search(header, (value or token).end())
    return tuple(Challenge(scheme, tuple(parameters)) for scheme, parameters in challenges)
