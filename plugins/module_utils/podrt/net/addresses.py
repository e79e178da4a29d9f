# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv4 and IPv6 addresses and subnets as values; importing ipaddress would cost each start 2 ms."""

from __future__ import annotations

import _socket

from ..contexts import suppress
from ..errors import InvalidSpec
from ..host.reading import decimal
from ..value import Value

V4_BITS = 32
V6_BITS = 128
_LEAST_HOST_BITS = 2


class Address(Value):
    """One address. bits: 32 or 128. number: its value in network order."""

    bits: int
    number: int

    @classmethod
    def parse(cls, text: str, where: str = "") -> Address:
        """Read dotted or colon notation. Raises InvalidSpec naming where."""
        for family in (_socket.AF_INET, _socket.AF_INET6):
            try:
                packed = _socket.inet_pton(family, text)
            except OSError:
                continue
            return cls.unpacked(packed)
        raise InvalidSpec(
            f'"{text}" is not an IP address', "write one such as 10.78.0.2 or fd00:78::2", where=where
        )

    @classmethod
    def unpacked(cls, packed: bytes) -> Address:
        """An address from its bytes in network order."""
        return cls(len(packed) * 8, int.from_bytes(packed, "big"))

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return int(_socket.AF_INET if self.bits == V4_BITS else _socket.AF_INET6)

    @property
    def packed(self) -> bytes:
        """The bytes in network order."""
        return self.number.to_bytes(self.bits // 8, "big")

    def __str__(self) -> str:
        return _socket.inet_ntop(self.family, self.packed)


class Subnet(Value):
    """A network: its lowest address as a number, and how many leading bits are fixed."""

    bits: int
    number: int
    prefix: int

    @classmethod
    def parse(cls, text: str, where: str = "") -> Subnet:
        """Read ADDRESS/PREFIX; host bits are cleared. Raises InvalidSpec naming where."""
        address, prefix = parse_prefixed(text, where)
        return cls.around(address, prefix)

    @classmethod
    def around(cls, address: Address, prefix: int) -> Subnet:
        """The subnet of a prefix length that holds an address."""
        host_bits = address.bits - prefix
        return cls(address.bits, address.number >> host_bits << host_bits, prefix)

    @property
    def base(self) -> Address:
        """The lowest address."""
        return Address(self.bits, self.number)

    @property
    def last(self) -> Address:
        """The highest address, the broadcast address of IPv4."""
        return Address(self.bits, self.number + (1 << (self.bits - self.prefix)) - 1)

    @property
    def mask(self) -> Address:
        """The netmask in the notation of an address."""
        return Address(self.bits, (1 << self.bits) - (1 << (self.bits - self.prefix)))

    def holds(self, address: Address) -> bool:
        """Whether an address is inside."""
        return address.bits == self.bits and self.number <= address.number <= self.last.number

    def means_all(self, address: Address) -> bool:
        """Whether an address is the subnet's own or for all of it, and so no host's; a subnet of two has neither.

        Source: RFC 3021, RFC 6164.
        """
        if self.bits - self.prefix < _LEAST_HOST_BITS:
            return False
        return address == self.base or (address == self.last and self.bits == V4_BITS)

    def overlaps(self, other: Subnet) -> bool:
        """Whether two subnets have addresses in common."""
        return self.holds(other.base) or other.holds(self.base)

    def __str__(self) -> str:
        return f"{self.base}/{self.prefix}"


class Route(Value):
    """A route that a configuration asks for. gateway None: the gateway of the interface's address.

    more: the other members of CNI's route object, such as priority, by name.
    """

    dst: Subnet
    gateway: Address | None = None
    more: tuple[tuple[str, int], ...] = ()


def parse_prefixed(text: str, where: str = "") -> tuple[Address, int]:
    """Read ADDRESS/PREFIX and keep the host bits. Raises InvalidSpec naming where."""
    address_text, slash, prefix_text = text.partition("/")
    prefix = decimal(prefix_text) if slash else None
    with suppress(InvalidSpec):
        address = Address.parse(address_text, where)
        if prefix is not None and prefix <= address.bits:
            return address, prefix
    raise InvalidSpec(
        f'"{text}" is not an address with a prefix length', "write it as 172.16.28.0/24", where=where
    )
