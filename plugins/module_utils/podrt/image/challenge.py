# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry wants to see before it answers. Pure. Source: RFC 9110 section 11.6.1."""

from __future__ import annotations

import re

from ..value import Value

_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_BETWEEN = re.compile(r"[\s,]*")


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
    at = _end(_BETWEEN, header, 0)
    while at < len(header):
        parameter = _PARAMETER.match(header, at) if found else None
        match = parameter or _SCHEME.match(header, at)
        if parameter:
            name, quoted, plain = parameter.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].append((name.lower(), value))
        elif match:
            found.append((match[0].lower(), []))
        at = _end(_BETWEEN, header, match.end() if match else at + 1)
    return tuple(Challenge(scheme, tuple(parameters)) for scheme, parameters in found)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
