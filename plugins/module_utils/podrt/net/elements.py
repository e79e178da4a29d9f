# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of the sets and maps of our nftables tables, see rules, guard and isolation. Pure."""

from __future__ import annotations

from ..value import Value

TABLE = "ip stagecraft_pods"
TABLE6 = "ip6 stagecraft_pods"
GUARD_TABLE = "inet stagecraft_pods_guard"
ISOLATION_TABLE = "bridge stagecraft_pods_isolation"

SOURCES = "sources"
FORWARDS = "forwards"
FORWARDS_AT = "forwards_at"
FORWARDED = "forwarded"
MASKED = "masked"
LINKS = "links"
OWN = "own"
OWN6 = "own6"
PORTS = "ports"
GUARD_SETS = (LINKS, OWN, OWN6, PORTS)
NETWORKS = "networks"
MACS = "macs"
PAIRS = "pairs"
PAIRS6 = "pairs6"
TARGETS = "targets"
ISOLATION_SETS = (NETWORKS, MACS, PAIRS, PAIRS6, TARGETS)
# The publisher of the host ports that are in our table, where others are published by programs.
OURS = "nftables"


class Element(Value):
    """An element of a set or map. key: its parts. value: that of a map, "" in a set. owner: a pod's UUID.

    six: whether it is in the table for IPv6; that of the guard is for both.
    """

    container: str
    key: tuple[str, ...]
    value: str
    owner: str
    six: bool = False

    @property
    def table(self) -> str:
        """The table of its container: family and name."""
        if self.container in ISOLATION_SETS:
            return ISOLATION_TABLE
        if self.container in GUARD_SETS:
            return GUARD_TABLE
        return TABLE6 if self.six else TABLE

    @property
    def addition(self) -> str:
        """The command that adds it."""
        value = f" : {self.value}" if self.value else ""
        key = " . ".join(self.key)
        return f'add element {self.table} {self.container} {{ {key} comment "{self.owner}"{value} }}\n'

    @property
    def removal(self) -> str:
        """The command that removes it."""
        return f"delete element {self.table} {self.container} {{ {' . '.join(self.key)} }}\n"
