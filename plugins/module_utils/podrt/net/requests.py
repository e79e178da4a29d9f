# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that a pod asks for, by name. Pure. Source: behaviours E1."""

from __future__ import annotations

from ..errors import InvalidSpec

ALL = "all"
HOST = "host"
NONE = "none"
DEFAULT = "default"


def parse_requests(text: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Read the value of --net: NAME[:K=V[;K2=V2]] separated by commas; the caller joins several --net by commas.

    An empty text is the default network. Raises InvalidSpec. Source: behaviours E1.
    """
    if not text:
        return ((DEFAULT, ()),)
    requests: dict[str, tuple[tuple[str, str], ...]] = {}
    for item in text.split(","):
        name, *rest = item.split(":")
        if not name:
            raise InvalidSpec("netname must not be empty")
        if name in requests:
            raise InvalidSpec(f'found duplicate netname "{name}"')
        if len(rest) == 1 and name in (ALL, HOST):
            raise InvalidSpec(f'arguments are not supported by special netname "{name}"')
        if len(rest) > 1:
            raise InvalidSpec(f'network "{name}" provided with invalid arguments: [{" ".join(rest)}]')
        requests[name] = _parse_args(name, rest[0]) if rest else ()
    return tuple(requests.items())


def _parse_args(name: str, text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in filter(None, text.split(";")):
        key, equals, value = item.partition("=")
        if not key or not equals:
            raise InvalidSpec(
                f'network "{name}" provided with invalid arguments: [{text}]', "write arguments as K=V;K2=V2"
            )
        pairs.append((key, value))
    return tuple(pairs)
