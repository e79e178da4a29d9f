# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a network has room on a host: subnets that nothing else has, and a bridge or a VLAN of its own. Pure."""

from __future__ import annotations

from ..errors import Conflict
from ..host.digests import sha256
from ..net.addresses import V4_BITS, V6_BITS, Subnet
from ..net.plan import bridge_of, not_a_bridge
from ..net.ranges import AddressRange
from ..net.types.bridge import Bridge
from ..net.types.parented import Parented
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..net.addresses import Address
    from ..net.conf import NetConf
    from ..net.network_plan import HostFacts

    Routes = Sequence[tuple[str, Subnet]]

# Where free subnets are looked for, and how large they are: other engines and Kubernetes have theirs elsewhere.
_POOL, _PREFIX = Subnet.parse("10.192.0.0/10"), 24
# An address of IPv6 that only a site has: fd, 40 digits of the network's own, and 16 of a subnet. Source: RFC 4193.
_SITE, _SITE_BITS, _PREFIX6 = 0xFD << 120, 40, 64
_TRIES = 16
_LINK_LOCAL, _MULTICAST = Subnet.parse("fe80::/10"), Subnet.parse("ff00::/8")


class TakenSubnet(Value):
    """A subnet that something else has. by: what, for a sentence."""

    subnet: Subnet
    by: str


def range_sets_of(conf: NetConf) -> tuple[tuple[AddressRange, ...], ...]:
    """The ranges that a network leases addresses of: one of each set."""
    return conf.main.ipam.range_sets if conf.plugins else ()


def subnets_of(conf: NetConf) -> tuple[Subnet, ...]:
    """The subnets that a network gives its pods addresses of."""
    spans = [span.subnet for ranges in range_sets_of(conf) for span in ranges]
    static = conf.main.ipam.static if conf.plugins else ()
    return tuple(dict.fromkeys([*spans, *(each.subnet for each in static)]))


def are_parts_of_a_lan(one: NetConf, other: NetConf) -> bool:
    """Whether the pods of two networks are on the LAN of one device of the host, and have no address in common."""
    if not any(_device_of(one)) or _device_of(one) != _device_of(other):
        return False
    return not any(span.overlaps(held) for span in _spans_of(one) for held in _spans_of(other))


def gateways_of(conf: NetConf) -> tuple[tuple[Address, int], ...]:
    """The addresses of the host on the bridge of a network, with their prefix lengths."""
    own = conf.main.own if conf.plugins else None
    if not (isinstance(own, Bridge) and own.gateway):
        return ()
    spans = [span for ranges in range_sets_of(conf) for span in ranges[:1]]
    return tuple((span.gateway, span.subnet.prefix) for span in spans)


def taken_on(
    facts: HostFacts, routes: Routes, networks: Sequence[NetConf], own_links: Sequence[str]
) -> tuple[TakenSubnet, ...]:
    """What other networks have, and the host's addresses and routes. own_links: those of the network itself."""
    found = [
        TakenSubnet(subnet, f'network "{conf.name}"') for conf in networks for subnet in subnets_of(conf)
    ]
    found += [
        TakenSubnet(Subnet.around(address, prefix), f"the host, whose {link} has {address}/{prefix}")
        for link, address, prefix in facts.addresses
        if link not in own_links
    ]
    found += [
        TakenSubnet(subnet, f"the host, which has a route to {subnet}" + (f" through {link}" if link else ""))
        for link, subnet in routes
        if subnet.prefix and link not in own_links
    ]
    return tuple(each for each in found if not _on_every_link(each.subnet))


def check_free(subnet: Subnet, taken: Sequence[TakenSubnet], name: str, where: str, hint: str) -> None:
    """Raise Conflict if anything else has addresses of a subnet."""
    for other in taken:
        if subnet.overlaps(other.subnet):
            raise Conflict(
                f'the subnet {subnet} of network "{name}" is in use by {other.by}',
                hint,
                where=where,
                subnet=str(other.subnet),
            )


def check_bridge(conf: NetConf, networks: Sequence[NetConf], facts: HostFacts) -> None:
    """Raise Conflict if another network has the bridge, or if the host's link of that name is not a bridge.

    Networks in different VLANs of it are no obstacle to each other.
    """
    link, vlan = bridge_of(conf), _vlan_of(conf)
    for other in networks:
        if bridge_of(other) != link or (vlan and _vlan_of(other) not in (0, vlan)):
            continue
        raise Conflict(
            f'the bridge {link} of network "{conf.name}" is that of network "{other.name}"',
            "give each network a bridge of its own, or a VLAN of its own on one bridge",
            where="bridge",
        )
    if dict(facts.links).get(link, "bridge") != "bridge":
        err = not_a_bridge(link)
        err.facts["where"] = "bridge"
        raise err


def free_subnet(bits: int, name: str, taken: Sequence[TakenSubnet], seed: bytes) -> Subnet:
    """A subnet that nothing has, the same for the same network as long as that is so. Raises Conflict.

    seed: the host's, so that networks of two hosts have different subnets of IPv6.
    """
    for subnet in _pool() if bits == V4_BITS else _pool6(name, seed):
        if not any(subnet.overlaps(other.subnet) for other in taken):
            return subnet
    raise Conflict(
        f'no subnet is free for network "{name}"', "write one out in subnets", where="subnets", network=name
    )


def _vlan_of(conf: NetConf) -> int:
    """The VLAN that the pods of a network of type bridge are in, 0 without one, or with several."""
    vlans = conf.main.own.vlans if conf.plugins and isinstance(conf.main.own, Bridge) else None
    return vlans.access if vlans else 0


def _device_of(conf: NetConf) -> tuple[str, str]:
    """The type, and the device of the host, of a network whose pods are on the LAN of that; without them for others."""
    own = conf.main.own if conf.plugins else None
    if not isinstance(own, Parented) or own.kind == "vlan" or own.in_pod:
        return "", ""
    return own.kind, own.master


def _spans_of(conf: NetConf) -> tuple[AddressRange, ...]:
    """The addresses that a network gives its pods."""
    leased = (span for ranges in range_sets_of(conf) for span in ranges)
    static = conf.main.ipam.static if conf.plugins else ()
    fixed = (AddressRange(each.subnet, each.address, each.address, each.address) for each in static)
    return (*leased, *fixed)


def _pool() -> Iterator[Subnet]:
    size = 1 << (V4_BITS - _PREFIX)
    for number in range(_POOL.number, _POOL.last.number, size):
        yield Subnet(V4_BITS, number, _PREFIX)


def _pool6(name: str, seed: bytes) -> Iterator[Subnet]:
    for attempt in range(_TRIES):
        digest = sha256(seed + f" {name} {attempt}".encode()).digest()
        own = int.from_bytes(digest[: _SITE_BITS // 8], "big") << (V6_BITS - 8 - _SITE_BITS)
        yield Subnet(V6_BITS, _SITE | own, _PREFIX6)


def _on_every_link(subnet: Subnet) -> bool:
    return any(subnet.overlaps(each) for each in (_LINK_LOCAL, _MULTICAST))
