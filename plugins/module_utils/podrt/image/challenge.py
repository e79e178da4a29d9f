# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry wants to see before it answers. Pure. Source: RFC 9110 section 11.6.1."""

from __future__ import annotations

import re

from ..value import Value

# A header that is longer is no challenge that a registry would send.
MAX_HEADER = 8 << 10
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_VALUE = re.compile(r'\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


class Challenge(Value):
    """One way in. scheme: in lower case. parameters: pairs, their names in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str:
        """The value of a parameter, empty when there is none."""
        return dict(self.parameters).get(name, "")


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a WWW-Authenticate header, or of several that were joined by commas, in linear time."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    token = _TOKEN.search(header)
    while token:
        value = _VALUE.match(header, token.end()) if found else None
        if value:
            quoted, plain = value.groups()
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].append((token[0].lower(), text))
        elif token[0][0].isalpha():
            found.append((token[0].lower(), []))
        token = _TOKEN.search(header, (value or token).end())
    return tuple(Challenge(scheme, tuple(parameters)) for scheme, parameters in found)
