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

    def cure(self, subnet: Subnet) -> str:
        """The commands that let a subnet through, with replies and published ports."""
        if (self.family, self.table, self.name) == _FIREWALLD:
            added = f"--zone=trusted --add-source={subnet}"
            return f"firewall-cmd --permanent {added} && firewall-cmd {added}"
        if _UFW in self.beside or f"{_UFW[:3]}6{_UFW[3:]}" in self.beside:
            return f"ufw route allow from {subnet} && ufw route allow to {subnet}"
        tool = _TOOLS.get(self.family)
        if tool and self.table == "filter" and self.name == "FORWARD":
            chain = _DOCKER if _DOCKER in self.beside else self.name
            known = "-m conntrack --ctstate RELATED,ESTABLISHED,DNAT"
            insert = f"{tool} -I {chain}"
            return f"{insert} -s {subnet} -j ACCEPT && {insert} -d {subnet} {known} -j ACCEPT"
        family = "ip" if subnet.bits == V4_BITS else "ip6"
        insert = f"nft insert rule {self}"
        rules = [f"{family} saddr {subnet}", *(f"{family} daddr {subnet} {known}" for known in _KNOWN)]
        return " && ".join(f"{insert} {rule} accept" for rule in rules)


def foreign_drops(subnets: Sequence[Subnet]) -> tuple[str, ...]:
    """A warning for each foreign chain that may cut off pods of these subnets, with the cure. Raises HostFailure."""
    try:
        with NetfilterSocket() as netfilter:
            chains = tuple(netfilter.chains())
    except OSError as err:
        raise HostFailure.of("cannot list the chains of nftables", err) from err
    return tuple(_sentence(drop, cut) for drop, cut in drops_of(chains, subnets, _rules_of))


def drops_of(
    chains: Sequence[Chain], subnets: Sequence[Subnet], rules_of: Callable[[str, str], str]
) -> tuple[tuple[ForeignDrop, tuple[Subnet, ...]], ...]:
    """The chains that drop packets of some subnets, and these. Pure.

    rules_of: the text of the rules of a table. A subnet that it names has been thought of, whatever the rule says.
    """
    found = []
    for chain in chains:
        place = (chain.family, chain.table, chain.name)
        if f"{chain.family} {chain.table}" in _OURS or not (chain.drops_forwarded or place == _FIREWALLD):
            continue
        beside = {other.name for other in chains if (other.family, other.table) == place[:2]}
        drop = ForeignDrop(*place, frozenset(beside))
        cut = [subnet for subnet in dict.fromkeys(subnets) if drop.concerns(subnet)]
        rules = rules_of(chain.family, chain.table) if cut else ""
        cut = [subnet for subnet in cut if str(subnet) not in rules]
        if cut:
            found.append((drop, tuple(cut)))
    return tuple(found)


def _sentence(drop: ForeignDrop, cut: Sequence[Subnet]) -> str:
    commands = " && ".join(map(drop.cure, cut))
    return (
        f"the nftables chain {drop} drops forwarded packets unless its rules accept them: pods of "
        f"{', '.join(map(str, cut))} may be cut off. Let it accept these, for example by: {commands}"
    )


def _rules_of(family: str, table: str) -> str:
    """The rules of a table, "" where they cannot be read."""
    try:
        done = programs.run([programs.find("nft"), "-n", "list", "table", family, table])
    except PodError:
        return ""
    return done.stdout.decode(errors="replace")
