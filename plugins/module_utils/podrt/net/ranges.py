# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of a pod's address, given the ranges and the reservations. Pure. Source: behaviours E13, E14."""

from __future__ import annotations

from ..errors import Conflict, InvalidSpec
from ..value import Value
from .addresses import V4_BITS, Address, Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from ..fields import Fields

    class Reservations(Protocol):
        """The reserved addresses of one network."""

        def is_taken(self, address: Address) -> bool:
            """Whether a pod holds the address."""

        def shown_holder(self, address: Address) -> str:
            """Who holds it, as a sentence, "" if it has become free."""


class AddressRange(Value):
    """The addresses from start to end, both included, of a subnet; the gateway is never given out."""

    subnet: Subnet
    start: Address
    end: Address
    gateway: Address

    def check(self) -> None:
        """Raise InvalidSpec unless start, end and gateway are in the subnet and in order."""
        for name, address in (("rangeStart", self.start), ("rangeEnd", self.end), ("gateway", self.gateway)):
            if not self.subnet.holds(address):
                raise InvalidSpec(f"{name} {address} not in network: {self.subnet}", where=f"ipam.{name}")
        if self.start.number > self.end.number:
            raise InvalidSpec(
                f"rangeStart {self.start} is above rangeEnd {self.end}", where="ipam.rangeStart"
            )

    def overlaps(self, other: AddressRange) -> bool:
        """Whether an address is in both."""
        if self.subnet.bits != other.subnet.bits:
            return False
        return self.start.number <= other.end.number and other.start.number <= self.end.number

    @classmethod
    def from_fields(cls, fields: Fields) -> AddressRange:
        """Read subnet, rangeStart, rangeEnd and gateway. Raises InvalidSpec with the place."""
        subnet = Subnet.parse(fields.text("subnet"), fields.where_of("subnet"))
        if subnet.bits - subnet.prefix < 2:
            raise InvalidSpec(
                f"network {subnet} is too small to allocate from", where=fields.where_of("subnet")
            )
        first = Address(subnet.bits, subnet.number + 1)
        # The highest address of an IPv6 subnet is not a broadcast address, but host-local leaves it out too.
        last = Address(subnet.bits, subnet.last.number - 1)

        def field(name: str, default: Address) -> Address:
            return Address.parse(fields.text(name), fields.where_of(name)) if fields.has(name) else default

        return cls(subnet, field("rangeStart", first), field("rangeEnd", last), field("gateway", first))


class Assigned(Value):
    """An address that an interface gets, the prefix length of its subnet, and the gateway if there is one."""

    address: Address
    prefix: int
    gateway: Address | None = None

    @property
    def subnet(self) -> Subnet:
        """The subnet that the address is in."""
        return Subnet.around(self.address, self.prefix)

    @property
    def is_v4(self) -> bool:
        """Whether this is an IPv4 address."""
        return self.address.bits == V4_BITS


def choose_address(
    ranges: Sequence[AddressRange], held: Reservations, requested: Address | None, net_name: str
) -> Assigned:
    """The address asked for, or else the lowest free one of the ranges.

    Raises InvalidSpec for a request that no range fits, Conflict when it is taken or nothing is free.
    """
    if requested is not None:
        return _requested(ranges, held, requested, net_name)
    for span in ranges:
        for number in range(span.start.number, span.end.number + 1):
            address = Address(span.subnet.bits, number)
            if address != span.gateway and not held.is_taken(address):
                return Assigned(address, span.subnet.prefix, span.gateway)
    raise Conflict(
        f"no IP addresses available in network: {net_name}",
        "remove pods with podctl gc, or give the network a larger subnet",
        network=net_name,
    )


def choose_kept(
    ranges: Sequence[AddressRange], held: Reservations, kept: Sequence[Address]
) -> Assigned | None:
    """The first of these addresses that is in a range and free, None without one."""
    for address in kept:
        for span in ranges:
            inside = span.subnet.holds(address) and span.start.number <= address.number <= span.end.number
            if inside and address != span.gateway and not held.is_taken(address):
                return Assigned(address, span.subnet.prefix, span.gateway)
    return None


def fitting_range(ranges: Sequence[AddressRange], wanted: Address) -> AddressRange:
    """The range whose subnet holds an address. Raises InvalidSpec without one, or for that of the gateway."""
    span = next((span for span in ranges if span.subnet.holds(wanted)), None)
    if span is None:
        subnets = ", ".join(str(span.subnet) for span in ranges)
        raise InvalidSpec(
            f"{wanted} not in network: {subnets}", "ask for an address of the network, or for none"
        )
    if wanted == span.gateway:
        raise InvalidSpec(
            "requested IP must differ gateway IP", f"{wanted} is the host's side: ask for another one"
        )
    if span.subnet.means_all(wanted):
        raise InvalidSpec(
            f"{wanted} is no address of a pod: it means {span.subnet} itself, or all of it",
            "ask for one between the first and the last of the network",
        )
    return span


def _requested(
    ranges: Sequence[AddressRange], held: Reservations, wanted: Address, net_name: str
) -> Assigned:
    span = fitting_range(ranges, wanted)
    if held.is_taken(wanted):
        who = held.shown_holder(wanted)
        raise Conflict(
            f'requested IP address "{wanted}" is not available in network: {net_name}' + (who and f": {who}"),
            "ask for another one, or for none",
            network=net_name,
        )
    return Assigned(wanted, span.subnet.prefix, span.gateway)
