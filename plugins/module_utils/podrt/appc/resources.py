# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Isolators of memory, processors and block devices beside the plain limits of isolators, one type each.

resource/block-bandwidth, block-iops and network-bandwidth are appc's: one limit for every device. The others are ours,
with the meaning that docker gives to the options of these names. Source: appc schema/types/isolator_resources.go.
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value
from .quantity import format_bytes, limit_of, parse_units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    from ..fields import Fields

    Resource = Union[
        "MemoryReservation",
        "MemorySwap",
        "Cpuset",
        "BlkioWeight",
        "DeviceRates",
        "EveryDevice",
        "NetworkBandwidth",
    ]

NO_SWAP_LIMIT = -1
LEAST_WEIGHT, MOST_WEIGHT = 10, 1000  # docker's; those of the kernel's files are other ranges
_LARGEST = 2**63 - 1
_MOST_BANDWIDTH = _LARGEST // 8  # in bits, it is a number for programs of CNI
_MOST_IOPS = 2**32 - 2  # the next number is "max" to the kernel
_MOST_NUMBER = 8191  # source: the largest NR_CPUS of the architectures
DEVICE_RATES = ("read-bps", "write-bps", "read-iops", "write-iops")
_OFTEN = 'write numbers and ranges, such as "0-2,4"'


class MemoryReservation(Value):
    """os/linux/memory-reservation: the bytes that the kernel leaves an app when memory is scarce."""

    size: int
    name = "os/linux/memory-reservation"

    def check(self) -> None:
        """Raise InvalidSpec for a number that the kernel does not take."""
        _check_range(self.size, 1, _LARGEST)

    def to_json(self) -> object:
        """The value of the isolator."""
        return format_bytes(self.size)


class MemorySwap(Value):
    """os/linux/memory-swap: the bytes of memory and swap together, NO_SWAP_LIMIT for any amount of swap."""

    total: int
    name = "os/linux/memory-swap"

    def check(self) -> None:
        """Raise InvalidSpec for a number that the kernel does not take."""
        if self.total != NO_SWAP_LIMIT:
            _check_range(self.total, 1, _LARGEST)

    def to_json(self) -> object:
        """The value of the isolator."""
        return str(self.total) if self.total == NO_SWAP_LIMIT else format_bytes(self.total)


class Cpuset(Value):
    """os/linux/cpuset-cpus and -mems: processors, or nodes of memory, as the kernel writes their numbers: 0-2,4."""

    of: str
    numbers: str

    @property
    def name(self) -> str:
        """The name of the isolator."""
        return f"os/linux/cpuset-{self.of}"

    def to_json(self) -> object:
        """The value of the isolator."""
        return self.numbers


class BlkioWeight(Value):
    """os/linux/block-weight: the share of the time of block devices, LEAST_WEIGHT to MOST_WEIGHT."""

    weight: int
    name = "os/linux/block-weight"

    def check(self) -> None:
        """Raise InvalidSpec for a weight out of range."""
        _check_range(self.weight, LEAST_WEIGHT, MOST_WEIGHT)

    def to_json(self) -> object:
        """The value of the isolator."""
        return self.weight


class DeviceRates(Value):
    """os/linux/block-read-bps and the like, one of DEVICE_RATES: by path of a device, bytes or requests a second."""

    of: str
    rates: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        """The name of the isolator."""
        return f"os/linux/block-{self.of}"

    def check(self) -> None:
        """Raise InvalidSpec unless every path is absolute, and every rate one that the kernel takes."""
        for path, rate in self.rates:
            if not path.startswith("/"):
                raise InvalidSpec(f'"{path}" is not an absolute path', "write /dev/sda", where=path)
            _check_range(rate, 1, _LARGEST if self.of.endswith("bps") else _MOST_IOPS, path)

    def to_json(self) -> object:
        """The value of the isolator."""
        return dict(self.rates)


class EveryDevice(Value):
    """resource/block-bandwidth and -iops: bytes or requests a second, of reads and of writes, of each block device."""

    of: str
    limit: int

    @property
    def name(self) -> str:
        """The name of the isolator."""
        return f"resource/block-{self.of}"

    def check(self) -> None:
        """Raise InvalidSpec for a rate that the kernel does not take."""
        _check_range(self.limit, 1, _LARGEST if self.of == "bandwidth" else _MOST_IOPS, "limit")

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return {"default": True, "limit": format_bytes(self.limit)}


class NetworkBandwidth(Value):
    """resource/network-bandwidth: bytes a second of each interface of the pod, each way. See net.rates."""

    limit: int
    name = "resource/network-bandwidth"

    def check(self) -> None:
        """Raise InvalidSpec for a rate out of range."""
        _check_range(self.limit, 1, _MOST_BANDWIDTH, "limit")

    def to_json(self) -> object:
        """The value of the appc isolator."""
        return {"default": True, "limit": format_bytes(self.limit)}


def parse_numbers(text: str, where: str = "") -> str:
    """Numbers and ranges, such as 0-2,4, in the kernel's one spelling. Raises InvalidSpec."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdigit() and len(end) <= len(str(_MOST_NUMBER)) for end in ends):
            raise InvalidSpec(f'"{text}" is no list of numbers', _OFTEN, where=where)
        low, high = int(ends[0]), int(ends[1])
        if not low <= high <= _MOST_NUMBER:
            raise InvalidSpec(f'"{part}" is no range of numbers up to {_MOST_NUMBER}', _OFTEN, where=where)
        found.update(range(low, high + 1))
    return format_numbers(found)


def numbers_in(text: str) -> frozenset[int]:
    """The numbers of such a list in the kernel's spelling; none in an empty one."""
    ranges = (part.partition("-") for part in text.strip().split(",") if part)
    return frozenset(
        number for first, _dash, last in ranges for number in range(int(first), int(last or first) + 1)
    )


def format_numbers(numbers: set[int]) -> str:
    """The kernel's spelling of numbers: 0-2,4."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def resource_of(name: str, fields: Fields) -> Resource:
    """Read the isolator of a name. Raises InvalidSpec with the place."""
    return _READERS[name](fields)


def check_beside(isolator: Value, limit: int) -> None:
    """Raise InvalidSpec, naming the option, unless an isolator goes with a limit of memory, 0 for none."""
    if isinstance(isolator, MemorySwap) and not limit:
        hint = "set memory too: memory_swap is the sum of memory and swap"
        raise InvalidSpec("it has no memory limit beside it", hint, where="memory_swap")
    if isinstance(isolator, MemorySwap) and NO_SWAP_LIMIT != isolator.total < limit:
        hint = "it is the sum of memory and swap; leave it out for no swap"
        raise InvalidSpec("it is less than the memory limit", hint, where="memory_swap")
    if isinstance(isolator, MemoryReservation) and limit and isolator.size > limit:
        hint = "reserve at most as much as memory allows"
        raise InvalidSpec("it is more than the memory limit", hint, where="memory_reservation")


def _reservation(fields: Fields) -> Resource:
    return fields.made(MemoryReservation, parse_units(fields.text("value"), fields.where_of("value")))


def _swap(fields: Fields) -> Resource:
    text = fields.text("value")
    unlimited = text.strip() == str(NO_SWAP_LIMIT)
    total = NO_SWAP_LIMIT if unlimited else parse_units(text, fields.where_of("value"))
    return fields.made(MemorySwap, total)


def _cpuset(of: str) -> Callable[[Fields], Resource]:
    return lambda fields: Cpuset(of, parse_numbers(fields.text("value"), fields.where_of("value")))


def _device_rates(of: str) -> Callable[[Fields], Resource]:
    def read(fields: Fields) -> Resource:
        members = fields.within("value")
        held = fields.raw("value")
        paths = sorted(held) if isinstance(held, dict) else []
        return members.made(DeviceRates, of, tuple((path, _rate(held, path, members)) for path in paths))

    return read


def _rate(held: object, path: str, members: Fields) -> int:
    rate = held.get(path) if isinstance(held, dict) else None
    if not isinstance(rate, int) or isinstance(rate, bool):
        raise InvalidSpec("expected a whole number", "write digits", where=members.where_of(path))
    return rate


def _every_device(of: str) -> Callable[[Fields], Resource]:
    def read(fields: Fields) -> Resource:
        members = fields.within("value")
        return members.made(EveryDevice, of, limit_of(members, parse_units))

    return read


def _check_range(number: int, least: int, most: int, where: str = "") -> None:
    if not least <= number <= most:
        raise InvalidSpec(f"{number} is out of range", f"use {least} to {most}", where=where)


def _bandwidth(fields: Fields) -> Resource:
    members = fields.within("value")
    return members.made(NetworkBandwidth, limit_of(members, parse_units))


_READERS: dict[str, Callable[[Fields], Resource]] = {
    "os/linux/memory-reservation": _reservation,
    "os/linux/memory-swap": _swap,
    "os/linux/cpuset-cpus": _cpuset("cpus"),
    "os/linux/cpuset-mems": _cpuset("mems"),
    "os/linux/block-weight": lambda fields: fields.made(BlkioWeight, fields.integer("value")),
    **{f"os/linux/block-{of}": _device_rates(of) for of in DEVICE_RATES},
    "resource/block-bandwidth": _every_device("bandwidth"),
    "resource/block-iops": _every_device("iops"),
    "resource/network-bandwidth": _bandwidth,
}
