# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of an interface of a pod from a DHCP server. Effects: messages on the pod's network.

The pod's first process renews it, and gives it back at the end: see stage1/pid1/leases. Source: RFC 2131.
"""

from __future__ import annotations

import _socket
import os
import select
import time

from ..errors import HostFailure
from ..value import Value
from . import dhcpmsg
from .addresses import V4_BITS, Route, Subnet
from .dhcpmsg import ACK, NAK, OFFER, ON_LINK, DhcpAnswer, DhcpAsker
from .info import is_here
from .ranges import Assigned
from .result import NetResult, result_of_addresses
from .rtsocket import entered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVER_PORT, CLIENT_PORT = 67, 68
_TO_ALL = "255.255.255.255"
# How long each try waits for an answer: half a minute together, in which a server may try whether the address is free.
_TRIES = (2.0, 4.0, 8.0, 16.0)
_LONGEST = 4096


class DhcpLease(Value):
    """A lease of an interface, and the messages that keep it and give it back."""

    if_name: str
    answer: DhcpAnswer
    keeps: bytes
    ends: bytes

    @property
    def facts(self) -> tuple[str | int, ...]:
        """What the pod's first process needs of it, see frames.LEASE."""
        where = (self.if_name, str(self.answer.address), str(self.answer.server))
        return (*where, self.keeps.hex(), self.ends.hex(), *self.answer.times)


def acquire(netns_fd: int, if_name: str, mac: bytes, identity: str, net_name: str) -> DhcpLease:
    """Get a lease for an interface of a pod, which is up. identity: of the pod on this network.

    Raises HostFailure when no server gives one, OSError.
    """
    asker = DhcpAsker(mac, identity.encode(), int.from_bytes(os.urandom(4), "big"))
    with entered(netns_fd):
        talk = _open(if_name)
    try:
        answer = _negotiate(talk, asker)
    finally:
        talk.close()
    if answer is None:
        raise HostFailure(
            f'no DHCP server gives an address on network "{net_name}"',
            "is there one on the network that the interface is part of?",
            network=net_name,
        )
    if is_here(str(answer.address)):
        raise HostFailure(
            f'the DHCP server {answer.server} of network "{net_name}" gives {answer.address}, an address of this host',
            "look for a second server on the network that the interface is part of",
            network=net_name,
        )
    return DhcpLease(if_name, answer, dhcpmsg.renew(asker, answer.address), dhcpmsg.release(asker, answer))


def given_by(lease: DhcpLease, more: tuple[Route, ...]) -> NetResult:
    """The result of a lease. more: routes of the configuration, which need no gateway of their own."""
    answer = lease.answer
    # A server that gives routes gives all of them. Source: RFC 3442, "DHCP Client Behavior".
    routes = answer.routes or ((Route(Subnet(V4_BITS, 0, 0), answer.router),) if answer.router else ())
    known = [route.dst for route in routes]
    assigned = Assigned(answer.address, answer.prefix, answer.router)
    every = (*routes, *(route for route in more if route.dst not in known))
    return result_of_addresses((assigned,), tuple(_in_order(assigned, every))).replace(dns=answer.dns)


def _in_order(assigned: Assigned, routes: Sequence[Route]) -> Iterator[Route]:
    """Routes after those that lead to their gateways, which clouds have outside the subnet of a host.

    Source: RFC 3442, "Link-local routes", which are without a gateway.
    """
    on_link = [route for route in routes if route.more == ON_LINK]
    gateways = [route.gateway or assigned.gateway for route in routes if route not in on_link]
    for gateway in dict.fromkeys(filter(None, gateways)):
        if not any(subnet.holds(gateway) for subnet in (assigned.subnet, *(each.dst for each in on_link))):
            on_link.append(Route(Subnet.around(gateway, gateway.bits), None, ON_LINK))
    yield from on_link
    yield from (route for route in routes if route not in on_link)


def _open(if_name: str) -> _socket.socket:
    talk = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    for option in (_socket.SO_REUSEADDR, _socket.SO_BROADCAST):
        talk.setsockopt(_socket.SOL_SOCKET, option, 1)
    talk.setsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, if_name.encode())
    talk.bind(("0.0.0.0", CLIENT_PORT))
    return talk


def _negotiate(talk: _socket.socket, asker: DhcpAsker) -> DhcpAnswer | None:
    """Ask until a server has given a lease, None when there was time enough."""
    for patience in _TRIES:
        end = time.monotonic() + patience
        talk.sendto(dhcpmsg.discover(asker), (_TO_ALL, SERVER_PORT))
        offer = next((each for each in _answers(talk, asker, end) if each.kind == OFFER), None)
        if offer is None:
            continue
        talk.sendto(dhcpmsg.request(asker, offer), (_TO_ALL, SERVER_PORT))
        for answer in _answers(talk, asker, max(end, time.monotonic() + patience)):
            if answer.server == offer.server and answer.kind in (ACK, NAK):
                if answer.kind == ACK:
                    return answer
                break
    return None


def _answers(talk: _socket.socket, asker: DhcpAsker, end: float) -> Iterator[DhcpAnswer]:
    """The answers that come until a time."""
    poll = select.poll()
    poll.register(talk, select.POLLIN)
    while poll.poll(max(0.0, end - time.monotonic()) * 1000):
        answer = dhcpmsg.read_answer(talk.recv(_LONGEST), asker)
        if answer:
            yield answer
        if time.monotonic() >= end:
            return
