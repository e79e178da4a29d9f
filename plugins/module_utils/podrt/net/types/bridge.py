# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of type bridge: pods are ports of a bridge of the host. Pure. Source: behaviours E17."""

from __future__ import annotations

from ...value import Value
from ..addresses import Route, Subnet
from ..result import NetInterface
from ..steps import (
    HOST_SIDE,
    BringUp,
    EnsureBridge,
    EnsureBridgeAddress,
    FilterVlans,
    IgnoreRouters,
    IsolatePort,
    TuneLink,
)
from .shared import beyond, forwarding, link_name, made, on_link_addresses, route_steps, veth_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...fields import Fields
    from ..place import LinkOptions, Place
    from ..ranges import Assigned
    from ..result import NetResult
    from ..steps import NetStep
    from .vlans import BridgeVlans

# For a bridge without an address to derive its MAC address from: locally administered.
_MAC = bytes((0x0A, 0x58, 0, 0, 0, 1))
_BEYOND = ("macspoofchk", "disableContainerInterface")


class Bridge(Value):
    """A bridge of the host that pods are ports of. default_gateway: it is the pod's default route as well.

    port_isolation: ports reach the bridge, and by it the host, but not each other. isolated: nor by the host, nor by
    anything that they forge, see isolation. beyond: members that CNI's program alone knows, see shared. vlans: those
    that the ports are in, None where the bridge tells none apart.
    """

    name: str = "cni0"
    gateway: bool = False
    default_gateway: bool = False
    hairpin: bool = False
    port_isolation: bool = False
    isolated: bool = False
    promiscuous: bool = False
    beyond: tuple[str, ...] = ()
    vlans: BridgeVlans | None = None

    @classmethod
    def from_fields(cls, fields: Fields) -> Bridge:
        """Read bridge, isGateway, isDefaultGateway, hairpinMode, portIsolation, isolated, promiscMode and VLANs.

        Raises InvalidSpec with the place.
        """
        name = link_name(fields, "bridge", "cni0")
        is_default = fields.boolean("isDefaultGateway", False)
        gateway = fields.boolean("isGateway", False) or is_default
        return cls(
            name,
            gateway,
            is_default,
            fields.boolean("hairpinMode", False),
            fields.boolean("portIsolation", False),
            fields.boolean("isolated", False),
            fields.boolean("promiscMode", False),
            beyond(fields, _BEYOND),
            _vlans(fields, name, gateway=gateway),
        )

    @property
    def holder(self) -> str:
        """The interface of the host that has the gateways."""
        return self.vlans.holder(self.name) if self.vlans and self.gateway else self.name

    @property
    def has_trunks(self) -> bool:
        """Whether pods send frames with the tags of VLANs."""
        return bool(self.vlans and self.vlans.trunk)

    def steps(self, options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """The bridge, if it is missing, and a port of it."""
        gateways = [found for found in place.addresses if found.gateway is not None]
        has_gateways = self.gateway and self.holder == self.name
        yield EnsureBridge(self.name, _mac_of(gateways) if has_gateways else _MAC, options.mtu)
        yield IgnoreRouters(self.name)
        yield BringUp(HOST_SIDE, self.name)
        if self.promiscuous:
            yield TuneLink(self.name, promiscuous=True, side=HOST_SIDE)
        if self.vlans:
            yield FilterVlans(self.name)
        if self.gateway:
            yield from forwarding(place)
        if has_gateways:
            for found in gateways:
                yield EnsureBridgeAddress(self.name, found.gateway or found.address, found.prefix)
        elif self.gateway and self.vlans:
            yield from self.vlans.gateway_steps(self.name, gateways, options.mtu)
        then = tuple(self._port_steps(place))
        yield from veth_steps(options, place, self.name, hairpin=self.hairpin, then=then)
        yield from on_link_addresses(place)
        yield from route_steps(place, tuple(route.dst for route in self._defaults(place)))

    def _port_steps(self, place: Place) -> Iterator[NetStep]:
        """What the port is before it is up: in its VLANs first, since the bridge knows MAC addresses for each."""
        if self.vlans:
            yield self.vlans.port(place.host_if)
        if self.isolated or self.port_isolation:
            yield IsolatePort(place.host_if, place.macs[1] if self.isolated else b"")

    def _defaults(self, place: Place) -> tuple[Route, ...]:
        """The default routes that are not given already, if the bridge is one."""
        known = {route.dst for route in place.given.routes}
        found = [
            Route(Subnet(each.address.bits, 0, 0), each.gateway) for each in place.addresses if each.gateway
        ]
        return tuple(route for route in found if self.default_gateway and route.dst not in known)

    def result(self, _before: NetResult, place: Place, sandbox: str) -> NetResult:
        """The bridge and both ends, and first what has the gateway."""
        outside, inside = (mac.hex(":") for mac in place.macs)
        result = made(
            place,
            *map(NetInterface, dict.fromkeys((self.holder, self.name))),
            NetInterface(place.host_if, outside),
            NetInterface(place.if_name, inside, sandbox),
        )
        return result.replace(routes=(*result.routes, *self._defaults(place)))


def _vlans(fields: Fields, name: str, *, gateway: bool) -> BridgeVlans | None:
    if not fields.raw("vlan") and not fields.raw("vlanTrunk"):
        return None
    from .vlans import BridgeVlans  # few bridges have any

    return BridgeVlans.from_fields(fields, name, gateway=gateway)


def _mac_of(gateways: Sequence[Assigned]) -> bytes:
    for found in gateways:
        if found.is_v4 and found.gateway is not None:
            return bytes((0x0A, 0x58)) + found.gateway.packed
    return _MAC
