# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of DHCP, as a client sends and reads them. Pure.

An answer can come from any host on the network: it is read with bounds, and what makes no sense counts as not given.
Source: RFC 2131, RFC 2132, RFC 3397 (search lists), RFC 3442 (routes).
"""

from __future__ import annotations

from struct import Struct

from ..appc.alphabet import ALNUM, is_made_of
from ..value import Value
from .addresses import V4_BITS, Address, Route, Subnet
from .ipam import NetDns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DISCOVER, OFFER, REQUEST, ACK, NAK, RELEASE = 1, 2, 3, 5, 6, 7
_FIXED = Struct("!BBBBIHHIIII16s64s128s4s")
_ASK, _ANSWER, _ETHERNET, _MAC_BYTES = 1, 2, 1, 6
_BROADCAST = 0x8000
_MAGIC = bytes((99, 130, 83, 99))
_LEAST = 300  # some relays drop what is shorter than messages of BOOTP
_PAD, _END = 0, 255
_MASK, _ROUTER, _DNS, _DOMAIN, _MTU, _TIME, _TYPE, _SERVER = 1, 3, 6, 15, 26, 51, 53, 54
_WANTED_ADDRESS, _WANTED_OPTIONS, _T1, _T2, _CLIENT, _SEARCH, _ROUTES = 50, 55, 58, 59, 61, 119, 121
_ASKED = bytes((_MASK, _ROUTER, _DNS, _DOMAIN, _MTU, _SEARCH, _ROUTES))
# What a lease without a time is taken for, and the least that is heeded, so that no server has a pod ask all the time.
_HOUR, _LEAST_TIME = 3600, 20
_LONGEST_TIME = 10 * 365 * 86400
_MOST_SERVERS, _MOST_ROUTES, _MOST_NAMES, _LONGEST_NAME = 3, 32, 6, 253
_LEAST_MTU, _MOST_MTU = 576, 65535
_LINK_LOCAL = Subnet(V4_BITS, 0xA9FE0000, 16)
# What a route without a gateway has. Source: rtnetlink(7), RT_SCOPE_LINK.
ON_LINK = (("scope", 253),)


class DhcpAsker(Value):
    """Who asks: the MAC address of the interface, and the identity, which another client must not have."""

    mac: bytes
    identity: bytes
    transaction: int


class DhcpAnswer(Value):
    """An answer that can be used. kind: OFFER, ACK or NAK. times: seconds until it is renewed, rebound, and over."""

    kind: int
    address: Address
    server: Address
    prefix: int = V4_BITS
    router: Address | None = None
    routes: tuple[Route, ...] = ()
    dns: NetDns = NetDns()
    mtu: int = 0
    times: tuple[int, int, int] = (0, 0, 0)


def discover(asker: DhcpAsker) -> bytes:
    """Look for servers."""
    return _message(asker, DISCOVER, [(_WANTED_OPTIONS, _ASKED)])


def request(asker: DhcpAsker, offer: DhcpAnswer) -> bytes:
    """Take an offer."""
    asked = [
        (_WANTED_ADDRESS, offer.address.packed),
        (_SERVER, offer.server.packed),
        (_WANTED_OPTIONS, _ASKED),
    ]
    return _message(asker, REQUEST, asked)


def renew(asker: DhcpAsker, address: Address) -> bytes:
    """Ask for the same address for longer, as one that has it: of its server, or of any."""
    return _message(asker, REQUEST, [(_WANTED_OPTIONS, _ASKED)], address, answers_to_all=False)


def release(asker: DhcpAsker, lease: DhcpAnswer) -> bytes:
    """Give the address back."""
    return _message(asker, RELEASE, [(_SERVER, lease.server.packed)], lease.address, answers_to_all=False)


def read_answer(data: bytes, asker: DhcpAsker) -> DhcpAnswer | None:
    """An answer to this client, None for anything else."""
    if len(data) < _FIXED.size:
        return None
    fixed = _FIXED.unpack_from(data)
    ours = (_ANSWER, _ETHERNET, _MAC_BYTES, asker.transaction, asker.mac, _MAGIC)
    if (*fixed[:3], fixed[4], fixed[11][:_MAC_BYTES], fixed[14]) != ours:
        return None
    options = dict(_options(data[_FIXED.size :]))
    kind, server = options.get(_TYPE, b""), _address(options.get(_SERVER, b""))
    address = Address(V4_BITS, fixed[8])
    if kind == bytes((NAK,)) and server:
        return DhcpAnswer(NAK, address, server)
    subnet = Subnet.around(address, _prefix(options.get(_MASK, b"")))
    if kind not in (bytes((OFFER,)), bytes((ACK,))) or not _is_given(address) or subnet.means_all(address):
        return None
    if server is None or not _is_usable(server):
        return None
    router = _address(options.get(_ROUTER, b"")[:4])
    mtu = int.from_bytes(options.get(_MTU, b"")[:2], "big")
    return DhcpAnswer(
        kind[0],
        address,
        server,
        subnet.prefix,
        router if router and _leads(router, address, subnet) else None,
        tuple(_usable_routes(options.get(_ROUTES, b""), address, subnet)),
        _dns(options),
        mtu if _LEAST_MTU <= mtu <= _MOST_MTU else 0,
        _times(options),
    )


def _message(
    asker: DhcpAsker,
    kind: int,
    options: Sequence[tuple[int, bytes]],
    address: Address | None = None,
    *,
    answers_to_all: bool = True,
) -> bytes:
    """A message. answers_to_all: the interface has no address yet that an answer could be sent to."""
    fixed = _FIXED.pack(
        *(_ASK, _ETHERNET, _MAC_BYTES, 0, asker.transaction, 0),
        _BROADCAST if answers_to_all else 0,
        *(address.number if address else 0, 0, 0, 0),
        *(asker.mac, b"", b"", _MAGIC),
    )
    every = [(_TYPE, bytes((kind,))), (_CLIENT, b"\0" + asker.identity[:_LONGEST_NAME]), *options]
    body = b"".join(bytes((number, len(data))) + data for number, data in every) + bytes((_END,))
    return (fixed + body).ljust(_LEAST, b"\0")


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The options, those that are split put together. Source: RFC 3396."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            break
        end = at + 2 + data[at + 1]
        found[data[at]] = found.get(data[at], b"") + data[at + 2 : end]
        at = end
    yield from found.items()


def _address(data: bytes) -> Address | None:
    return Address.unpacked(data) if len(data) == V4_BITS // 8 else None


def _is_usable(address: Address) -> bool:
    """Whether a host can have it: no loopback, multicast or broadcast address, and not 0."""
    first = address.number >> 24
    return first not in (0, 127) and first < 224


def _is_given(address: Address) -> bool:
    """Whether a server may assign an address: none that is link-local, such as that of clouds' metadata services.

    Source: RFC 3927, 1.6.
    """
    return _is_usable(address) and not _LINK_LOCAL.holds(address)


def _leads(gateway: Address, own: Address, subnet: Subnet) -> bool:
    """Whether a host can be the gateway of one with an address of its own in a subnet."""
    return _is_usable(gateway) and gateway != own and not subnet.means_all(gateway)


def _prefix(mask: bytes) -> int:
    """The length of a mask; that of one address without one that makes sense."""
    number = int.from_bytes(mask, "big")
    length = bin(number).count("1")
    whole = (1 << V4_BITS) - (1 << (V4_BITS - length))
    return length if len(mask) == V4_BITS // 8 and number == whole and length else V4_BITS


def _usable_routes(data: bytes, own: Address, subnet: Subnet) -> Iterator[Route]:
    """The routes of a server, without those by what is no gateway. By none at all, one is on the link."""
    for route in _routes(data):
        if route.gateway is None:
            yield route.replace(more=ON_LINK)
        elif _leads(route.gateway, own, subnet):
            yield route


def _routes(data: bytes) -> Iterator[Route]:
    at = count = 0
    while at < len(data) and count < _MOST_ROUTES:
        prefix = data[at]
        used = (prefix + 7) // 8
        end = at + 1 + used + 4
        if prefix > V4_BITS or end > len(data):
            return
        base = Address.unpacked(data[at + 1 : at + 1 + used].ljust(4, b"\0"))
        gateway = Address.unpacked(data[end - 4 : end])
        yield Route(Subnet.around(base, prefix), gateway if gateway.number else None)
        at, count = end, count + 1


def _dns(options: dict[int, bytes]) -> NetDns:
    packed = options.get(_DNS, b"")
    servers = [Address.unpacked(packed[at : at + 4]) for at in range(0, len(packed) // 4 * 4, 4)]
    domain = options.get(_DOMAIN, b"").rstrip(b"\0").decode("ascii", "replace")
    return NetDns(
        tuple(str(server) for server in servers if _is_usable(server))[:_MOST_SERVERS],
        domain if _is_domain(domain) else "",
        tuple(filter(_is_domain, _names(options.get(_SEARCH, b""))))[:_MOST_NAMES],
    )


def _is_domain(name: str) -> bool:
    """Whether a name is one for resolv.conf, where a line break would begin another line."""
    return bool(name) and len(name) <= _LONGEST_NAME and is_made_of(name, ALNUM + "-._")


def _names(data: bytes) -> Iterator[str]:
    """The names of a search list, each a row of labels, which may end with a pointer to an earlier one."""
    at = 0
    while at < len(data):
        labels, at = _labels(data, at)
        yield ".".join(labels)


def _labels(data: bytes, at: int) -> tuple[list[str], int]:
    """The labels of a name, and where the next one begins. A pointer leads backwards, so this ends."""
    labels: list[str] = []
    after, limit = 0, len(data)
    while at < len(data) and len(labels) < _LONGEST_NAME:
        length = data[at]
        if length >> 6 == 3 and at + 1 < len(data):
            target = (length & 0x3F) << 8 | data[at + 1]
            after = after or at + 2
            if target >= min(at, limit):
                return [], after
            at = limit = target
        elif length == 0:
            return labels, after or at + 1
        else:
            labels.append(data[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
    return [], after or len(data)


def _times(options: dict[int, bytes]) -> tuple[int, int, int]:
    """When to renew, when to ask any server, and when the lease is over, in seconds. Source: RFC 2131, 4.4.5."""
    over = max(_LEAST_TIME, min(_seconds(options.get(_TIME, b""), _HOUR), _LONGEST_TIME))
    renew, rebind = (
        max(over // 4, min(_seconds(options.get(option, b""), default), over))
        for option, default in ((_T1, over // 2), (_T2, over * 7 // 8))
    )
    return min(renew, rebind), rebind, over


def _seconds(data: bytes, default: int) -> int:
    return int.from_bytes(data, "big") if len(data) == V4_BITS // 8 else default
