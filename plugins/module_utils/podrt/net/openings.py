# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let a pod through the firewalls of others that drop what the host forwards, by the means of each, see foreign.

Rules in chains of iptables and nftables have the pod's UUID in their comment, by which they are found again. firewalld
gets the addresses as sources of a zone. Source: containernetworking/plugins firewall.
"""

from __future__ import annotations

from ..errors import HostFailure, NotFound, Unsupported
from ..host import programs
from .addresses import Subnet
from .foreign import dropping, rules_of_table
from .nfsocket import NetfilterSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .addresses import Address
    from .foreign import ForeignDrop
    from .steps import LetThrough

_FIREWALL_CMD = "firewall-cmd"


def let_through(step: LetThrough) -> None:
    """Let the addresses of a pod through every firewall that would drop their packets. Raises PodError, OSError."""
    with NetfilterSocket() as netfilter:
        drops = dropping(tuple(netfilter.chains()))
        _remove_rules(netfilter, drops, step.owner)
    for drop in drops:
        for subnet in _concerned(drop, step.addresses):
            if drop.is_firewalld:
                _tell_firewalld("add", subnet, step.zone)
                continue
            for command in drop.commands(subnet, f"stagecraft.pods {step.owner}"):
                _run(command)


def is_let_through(step: LetThrough) -> bool:
    """Whether it still is: a firewall may have been started, or have read its own rules again. Raises OSError."""
    with NetfilterSocket() as netfilter:
        return all(_lets_through(drop, step, netfilter) for drop in dropping(tuple(netfilter.chains())))


def _lets_through(drop: ForeignDrop, step: LetThrough, netfilter: NetfilterSocket) -> bool:
    wanted = _concerned(drop, step.addresses)
    if drop.is_firewalld:
        words = _words(drop)
        return all(str(subnet.base) in words for subnet in wanted)
    rules = sum(len(drop.commands(subnet)) for subnet in wanted)
    return len(netfilter.rules_with(drop.family, drop.table, step.owner)) >= rules


def shut_out(owner: str, addresses: Sequence[Address], zone: str) -> None:
    """Undo let_through, or what was done of it. Raises PodError, OSError."""
    with NetfilterSocket() as netfilter:
        drops = dropping(tuple(netfilter.chains()), always=True)
        _remove_rules(netfilter, drops, owner)
    for drop in drops:
        words = _words(drop) if drop.is_firewalld else frozenset()
        for subnet in _concerned(drop, addresses):
            if str(subnet.base) in words:
                _tell_firewalld("remove", subnet, zone)


def _concerned(drop: ForeignDrop, addresses: Sequence[Address]) -> list[Subnet]:
    """The addresses whose packets come through a chain, each as a subnet of its own."""
    alone = (Subnet(address.bits, address.number, address.bits) for address in addresses)
    return [subnet for subnet in alone if drop.concerns(subnet)]


def _remove_rules(netfilter: NetfilterSocket, drops: Sequence[ForeignDrop], owner: str) -> None:
    """Remove the rules of a pod from the tables of some chains."""
    for family, table in dict.fromkeys((drop.family, drop.table) for drop in drops):
        for chain, handle in netfilter.rules_with(family, table, owner):
            _run(("nft", "delete", "rule", family, table, chain, "handle", str(handle)))


def _words(drop: ForeignDrop) -> frozenset[str]:
    return frozenset(rules_of_table(drop.family, drop.table).replace(",", " ").split())


def _tell_firewalld(what: str, subnet: Subnet, zone: str) -> None:
    """Add or remove a source of a zone, until firewalld reads its configuration again."""
    _run((_FIREWALL_CMD, f"--zone={zone}", f"--{what}-source={subnet}"))


def _run(command: Sequence[str]) -> None:
    try:
        done = programs.run(command)
    except Unsupported as err:
        raise NotFound(
            f"cannot let the pod through a firewall of the host: {err.message}",
            f"install the package that has {command[0]}, or take the plugin firewall out of the network",
            program=command[0],
        ) from err
    if done.status:
        raise HostFailure(
            f"cannot let the pod through a firewall of the host: {' '.join(command)}: {done.complaint}",
            "try that command by hand; without the plugin firewall in the network, nothing of this is done",
            program=command[0],
        )
