# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of type ptp: a veth pair between each pod and the host. Pure. Source: behaviours E16."""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value
from ..addresses import V4_BITS, V6_BITS, Address, Subnet
from ..result import NetInterface
from ..steps import HOST_SIDE, POD_SIDE, AddAddress, AddRoute
from .shared import forwarding, made, route_steps, veth_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..place import LinkOptions, Place
    from ..result import NetResult
    from ..steps import NetStep

# The kernel's own link-local address is tentative for a second, and until then cannot be used to find neighbours.
_LINK_LOCAL = Address(V6_BITS, 0xFE80 << 112 | 1)
_LINK_LOCAL_PREFIX = 64
# Source: rtnetlink(7), RT_SCOPE_HOST: no other route leads by this one.
_TO_POD = (("scope", 254),)


class Ptp(Value):
    """A veth pair between the pod and the host; it has no members."""

    def steps(self, options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """Each side reaches the other's address alone, and the pod all else by the host's."""
        yield from forwarding(place)
        yield from veth_steps(options, place)
        for assigned in place.addresses:
            gateway = assigned.gateway
            if gateway is None:
                raise InvalidSpec("of type ptp needs a gateway")
            bits = gateway.bits
            yield AddAddress(HOST_SIDE, place.host_if, gateway, bits)
            to_pod = Subnet.around(assigned.address, bits)
            yield AddRoute(HOST_SIDE, place.host_if, to_pod, None, _TO_POD if bits == V4_BITS else ())
            if bits != V4_BITS:
                yield AddAddress(HOST_SIDE, place.host_if, _LINK_LOCAL, _LINK_LOCAL_PREFIX)
            yield AddAddress(POD_SIDE, place.if_name, assigned.address, assigned.prefix, prefix_route=False)
            own = assigned.address
            yield AddRoute(POD_SIDE, place.if_name, Subnet.around(gateway, bits), source=own)
            yield AddRoute(POD_SIDE, place.if_name, assigned.subnet, gateway, source=own)
        yield from route_steps(place)

    def result(self, _before: NetResult, place: Place, sandbox: str) -> NetResult:
        """Both ends."""
        outside, inside = (mac.hex(":") for mac in place.macs)
        return made(place, NetInterface(place.host_if, outside), NetInterface(place.if_name, inside, sandbox))
