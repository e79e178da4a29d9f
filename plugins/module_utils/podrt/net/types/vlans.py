# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VLANs of a network of type bridge. Pure. Source: containernetworking/plugins bridge."""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value
from ..netargs import is_link_name
from ..steps import HOST_SIDE, BringUp, EnsureBridgeAddress, IgnoreRouters, PortVlans, VlanGateway

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...fields import Fields
    from ..ranges import Assigned
    from ..steps import NetStep

_FIRST, _LAST = 1, 4094
# The MAC addresses of a gateway without one of IPv4 to derive it from, and of its port, but for the number of the VLAN.
_MAC, _PORT_MAC = bytes((0x0A, 0x58, 0, 1)), bytes((0x0A, 0x59, 0, 1))


class BridgeVlans(Value):
    """The VLANs that the pods of a network are in, see PortVlans."""

    access: int = 0
    trunk: tuple[tuple[int, int], ...] = ()
    keeps_default: bool = True

    @classmethod
    def from_fields(cls, fields: Fields, bridge: str, *, gateway: bool) -> BridgeVlans:
        """Read vlan, vlanTrunk and preserveDefaultVlan.

        gateway: whether the host is in the VLAN as well. Raises InvalidSpec with the place.
        """
        access = _number(fields, "vlan") if fields.integer("vlan", 0) else 0
        trunk = tuple(part for item in fields.each("vlanTrunk") for part in _ranges(item))
        if access and trunk:
            raise InvalidSpec(
                "a port has either vlan or vlanTrunk",
                "take one of them out",
                where=fields.where_of("vlanTrunk"),
            )
        vlans = cls(access, trunk, fields.boolean("preserveDefaultVlan", True))
        if access and gateway and not is_link_name(vlans.holder(bridge)):
            raise InvalidSpec(
                f'"{vlans.holder(bridge)}" is too long a name for the interface of the host in this VLAN',
                "give the bridge a shorter name",
                where=fields.where_of("bridge"),
            )
        return vlans

    def holder(self, bridge: str) -> str:
        """The interface of the host that has the gateways: one for the VLAN, or the bridge itself."""
        return f"{bridge}.{self.access}" if self.access else bridge

    def port(self, link: str) -> PortVlans:
        """What a port has of them."""
        return PortVlans(link, self.access, self.trunk, self.keeps_default)

    def gateway_steps(self, bridge: str, gateways: Sequence[Assigned], mtu: int) -> Iterator[NetStep]:
        """The interface of the host in the VLAN, with the gateways. Its end at the bridge is named after both."""
        holder = self.holder(bridge)
        port = self.port(f"{bridge}_{self.access}")
        yield VlanGateway(holder, bridge, port, self._macs(gateways), mtu)
        yield IgnoreRouters(holder)
        yield BringUp(HOST_SIDE, holder)
        for found in gateways:
            yield EnsureBridgeAddress(holder, found.gateway or found.address, found.prefix)

    def _macs(self, gateways: Sequence[Assigned]) -> tuple[bytes, bytes]:
        number = self.access.to_bytes(2, "big")
        packed = next((each.gateway.packed for each in gateways if each.is_v4 and each.gateway), b"")
        return _PORT_MAC + number, _MAC[:2] + packed if packed else _MAC + number


def _number(fields: Fields, member: str) -> int:
    number = fields.integer(member)
    if not _FIRST <= number <= _LAST:
        raise InvalidSpec(
            f"{number} is not the number of a VLAN", f"use {_FIRST} to {_LAST}", where=fields.where_of(member)
        )
    return number


def _ranges(item: Fields) -> Iterator[tuple[int, int]]:
    """The VLANs of an element of vlanTrunk: one, or all from the first to the last, or both."""
    if not any(map(item.has, ("id", "minID", "maxID"))):
        raise InvalidSpec("no VLAN is named", "give id, or minID and maxID", where=item.where)
    if item.has("id"):
        number = _number(item, "id")
        yield number, number
    if item.has("minID") or item.has("maxID"):
        first, last = _number(item, "minID"), _number(item, "maxID")
        if first > last:
            raise InvalidSpec(f"minID {first} is greater than maxID {last}", where=item.where_of("minID"))
        yield first, last
