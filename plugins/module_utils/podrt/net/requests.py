# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that a pod asks for, by name. Pure. Source: behaviours E1."""

from __future__ import annotations

from ..errors import InvalidSpec, printable

ALL = "all"
HOST = "host"
NONE = "none"
DEFAULT = "default"
# The arguments whose values are addresses, beyond rkt also of IPv6 and of links.
_WITH_COLONS = ("IP", "IP6", "MAC")


def parse_requests(text: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Read the value of --net: NAME[:K=V[;K2=V2]] separated by commas; the caller joins several --net by commas.

    An empty text is the default network. Raises InvalidSpec. Source: behaviours E1.
    """
    if not text:
        return ((DEFAULT, ()),)
    requests: dict[str, tuple[tuple[str, str], ...]] = {}
    for item in text.split(","):
        name, colon, text = item.partition(":")
        if not name:
            raise InvalidSpec("netname must not be empty")
        if name in requests:
            raise InvalidSpec(f'found duplicate netname "{name}"')
        if colon and name in (ALL, HOST):
            raise InvalidSpec(f'arguments are not supported by special netname "{name}"')
        args = _parse_args(name, text) if colon else ()
        if any(":" in value and key not in _WITH_COLONS for key, value in args):
            words = " ".join(text.split(":"))
            raise InvalidSpec(f'network "{name}" provided with invalid arguments: [{words}]')
        requests[name] = args
    return tuple(requests.items())


def _parse_args(name: str, text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in filter(None, text.split(";")):
        key, equals, value = item.partition("=")
        # They become variables of programs, which cannot hold all that a text of YAML can.
        if not key or not equals or not item.isprintable() or " " in item:
            raise InvalidSpec(
                f'network "{name}" provided with invalid arguments: [{printable(text)}]',
                "write arguments as K=V;K2=V2",
            )
        pairs.append((key, value))
    return tuple(pairs)
