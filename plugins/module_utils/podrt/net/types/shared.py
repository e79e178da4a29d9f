# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that several types of networks have in common. Pure."""

from __future__ import annotations

from ...errors import InvalidSpec
from ..addresses import V4_BITS, Subnet
from ..netargs import LINK_NAME_HINT, is_link_name
from ..steps import (
    HOST_SIDE,
    POD_SIDE,
    AddAddress,
    AddRoute,
    BringUp,
    IgnoreRouters,
    MakeVeth,
    SetSysctl,
)
from ..switches import FORWARDING6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...fields import Fields
    from ..addresses import Address
    from ..place import LinkOptions, Place
    from ..result import NetInterface, NetResult
    from ..steps import NetStep

# Source: rtnetlink(7), RT_SCOPE_LINK: what is reached without a gateway.
_SCOPE_LINK = 253


def link_name(fields: Fields, member: str, default: str | None = None) -> str:
    """The name of a link in a configuration. Raises InvalidSpec with the place."""
    name = fields.text(member, default)
    if not is_link_name(name):
        raise InvalidSpec(
            f'"{name}" is not a name for a {"bridge" if member == "bridge" else "link"}',
            LINK_NAME_HINT,
            where=fields.where_of(member),
        )
    return name


def made(place: Place, *interfaces: NetInterface) -> NetResult:
    """The result of interfaces that have been made. The last one is the pod's, and has the addresses."""
    return place.given.replace(interfaces=interfaces, on=(len(interfaces) - 1,) * len(place.addresses))


def veth_steps(
    options: LinkOptions,
    place: Place,
    bridge: str = "",
    *,
    hairpin: bool = False,
    then: tuple[NetStep, ...] = (),
) -> Iterator[NetStep]:
    """The pair of interfaces. Other switches of the pod's end come from the defaults of the pod's namespace.

    then: steps before they are up.
    """
    yield MakeVeth(place.host_if, place.if_name, place.macs, options.mtu, bridge, hairpin)
    yield from then
    yield IgnoreRouters(place.host_if)
    yield from pod_switches(options, place)
    yield BringUp(HOST_SIDE, place.host_if)
    yield BringUp(POD_SIDE, place.if_name)


def pod_switches(options: LinkOptions, place: Place) -> Iterator[NetStep]:
    """What the pod's interface accepts from the network, if that is asked for."""
    if options.accept_ra:
        yield SetSysctl(f"net/ipv6/conf/{place.if_name}/accept_ra", "1", POD_SIDE)
    if options.accept_redirects:
        yield SetSysctl(f"net/ipv6/conf/{place.if_name}/accept_redirects", "1", POD_SIDE)
        yield SetSysctl(f"net/ipv4/conf/{place.if_name}/accept_redirects", "1", POD_SIDE)


def forwarding(place: Place) -> Iterator[NetStep]:
    """The host forwards packets of the families that the pod has addresses of."""
    families = {found.address.bits for found in place.addresses}
    if V4_BITS in families:
        yield SetSysctl("net/ipv4/ip_forward", "1")
    if families - {V4_BITS}:
        yield SetSysctl(FORWARDING6, "1")


def on_link_addresses(place: Place) -> Iterator[NetStep]:
    """The addresses of the pod, in a subnet that is on its link."""
    for found in place.addresses:
        yield AddAddress(POD_SIDE, place.if_name, found.address, found.prefix)


def route_steps(place: Place, more: tuple[Subnet, ...] = ()) -> Iterator[NetStep]:
    """The routes that were given, and those to more subnets by the gateway."""
    known = [route.dst for route in place.given.routes]
    for route in place.given.routes:
        on_link = dict(route.more).get("scope", 0) >= _SCOPE_LINK
        way = route.gateway or (None if on_link else _gateway_for(route.dst, place))
        yield AddRoute(POD_SIDE, place.if_name, route.dst, way, route.more)
    for dst in more:
        if dst not in known:
            yield AddRoute(POD_SIDE, place.if_name, dst, _gateway_for(dst, place))


def _gateway_for(dst: Subnet, place: Place) -> Address | None:
    for found in place.addresses:
        if found.address.bits == dst.bits and found.gateway is not None:
            return found.gateway
    return None


def beyond(fields: Fields, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the members of a type that are not built in and ask for something: then CNI's program is executed."""
    return tuple(name for name in names if fields.raw(name))
