# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewalls of others that drop the packets which this host forwards from and to pods.

A packet that one chain drops is lost, whatever others accept. So the rules that let pods through belong into the chain
of that firewall, by its own means: what is written past these is gone when it is reloaded.
"""

from __future__ import annotations

from ..errors import HostFailure, PodError
from ..host import programs
from ..value import Value
from .addresses import V4_BITS
from .elements import TABLE, TABLE6
from .nfsocket import NetfilterSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .addresses import Subnet
    from .nfsocket import Chain

_OURS = (TABLE, TABLE6)
_DOCKER, _UFW = "DOCKER-USER", "ufw-user-forward"
_FIREWALLD = ("inet", "firewalld", "filter_FORWARD")
_TOOLS = {"ip": "iptables", "ip6": "ip6tables"}
_KNOWN = ("ct state established,related", "ct status dnat")


class ForeignDrop(Value):
    """A chain that drops forwarded packets. beside: the names of the other chains of its table."""

    family: str
    table: str
    name: str
    beside: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"

    def concerns(self, subnet: Subnet) -> bool:
        """Whether packets of a subnet come through it."""
        return self.family in ("inet", "ip" if subnet.bits == V4_BITS else "ip6")

    @property
    def is_firewalld(self) -> bool:
        """Whether it is that of firewalld, which drops by its rules, and keeps these to itself."""
        return (self.family, self.table, self.name) == _FIREWALLD

    def cure(self, subnet: Subnet) -> str:
        """The commands that let a subnet through for good, as far as its firewall can, in words of a shell."""
        if self.is_firewalld:
            added = f"--zone=trusted --add-source={subnet}"
            return f"firewall-cmd --permanent {added} && firewall-cmd {added}"
        if _UFW in self.beside or f"{_UFW[:3]}6{_UFW[3:]}" in self.beside:
            return f"ufw route allow from {subnet} && ufw route allow to {subnet}"
        return " && ".join(map(" ".join, self.commands(subnet)))

    def commands(self, subnet: Subnet, comment: str = "") -> tuple[tuple[str, ...], ...]:
        """The commands, one for each rule, that let a subnet through, with replies and published ports.

        Not for firewalld. comment: that of the rules.
        """
        tool = _TOOLS.get(self.family)
        if tool and self.table == "filter" and self.name == "FORWARD":
            chain = _DOCKER if _DOCKER in self.beside else self.name
            insert = (tool, "-I", chain)
            end = (*(("-m", "comment", "--comment", comment) if comment else ()), "-j", "ACCEPT")
            known = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED,DNAT")
            return (*insert, "-s", str(subnet), *end), (*insert, "-d", str(subnet), *known, *end)
        family = "ip" if subnet.bits == V4_BITS else "ip6"
        note = ("comment", f'"{comment}"') if comment else ()
        rules = [f"{family} saddr {subnet}", *(f"{family} daddr {subnet} {known}" for known in _KNOWN)]
        start = ("nft", "insert", "rule", *str(self).split())
        return tuple((*start, *rule.split(), "accept", *note) for rule in rules)


def foreign_drops(subnets: Sequence[Subnet]) -> tuple[str, ...]:
    """A warning for each foreign chain that may cut off pods of these subnets, with the cure. Raises HostFailure."""
    try:
        with NetfilterSocket() as netfilter:
            chains = tuple(netfilter.chains())
    except OSError as err:
        raise HostFailure.of("cannot list the chains of nftables", err) from err
    return tuple(_sentence(drop, cut) for drop, cut in drops_of(chains, subnets, rules_of_table))


def drops_of(
    chains: Sequence[Chain], subnets: Sequence[Subnet], rules_of: Callable[[str, str], str]
) -> tuple[tuple[ForeignDrop, tuple[Subnet, ...]], ...]:
    """The chains that drop packets of some subnets, and these. Pure.

    rules_of: the text of the rules of a table. A subnet that it names has been thought of, whatever the rule says.
    """
    found = []
    for drop in dropping(chains):
        cut = [subnet for subnet in dict.fromkeys(subnets) if drop.concerns(subnet)]
        rules = rules_of(drop.family, drop.table) if cut else ""
        cut = [subnet for subnet in cut if str(subnet) not in rules]
        if cut:
            found.append((drop, tuple(cut)))
    return tuple(found)


def dropping(chains: Sequence[Chain], *, always: bool = False) -> tuple[ForeignDrop, ...]:
    """The chains of others that drop forwarded packets unless a rule accepts them. Pure.

    always: those as well that accept them now, and may have dropped them before.
    """
    return tuple(
        ForeignDrop(chain.family, chain.table, chain.name, _beside(chain, chains))
        for chain in chains
        if f"{chain.family} {chain.table}" not in _OURS
        and (
            chain.drops_forwarded
            or (chain.family, chain.table, chain.name) == _FIREWALLD
            or (always and chain.is_forwarded)
        )
    )


def _beside(chain: Chain, chains: Sequence[Chain]) -> frozenset[str]:
    return frozenset(
        other.name for other in chains if (other.family, other.table) == (chain.family, chain.table)
    )


def _sentence(drop: ForeignDrop, cut: Sequence[Subnet]) -> str:
    commands = " && ".join(map(drop.cure, cut))
    return (
        f"the nftables chain {drop} drops forwarded packets unless its rules accept them: pods of "
        f"{', '.join(map(str, cut))} may be cut off. Give their network the plugin firewall (open_firewalls of "
        f"pod_network), or let the chain accept these, for example by: {commands}"
    )


def rules_of_table(family: str, table: str) -> str:
    """The rules of a table, "" where they cannot be read."""
    try:
        done = programs.run([programs.find("nft"), "-n", "list", "table", family, table])
    except PodError:
        return ""
    return done.stdout.decode(errors="replace")
