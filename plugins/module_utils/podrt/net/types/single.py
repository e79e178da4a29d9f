# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks whose interfaces belong to the pod alone: dummy, tap, a device of the host, and lo. Pure.

Source: containernetworking/plugins dummy, tap, host-device and loopback.
"""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value
from ..netargs import mac_of
from ..result import NetInterface
from ..steps import POD_SIDE, BringUp, MakeLink, MakeTap, MoveLink
from .shared import beyond, link_name, made, on_link_addresses, pod_switches, route_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...fields import Fields
    from ..place import LinkOptions, Place
    from ..result import NetResult
    from ..steps import NetStep

# The members that name a device, in the order in which they count.
_BEYOND = ("selinuxContext", "bridge")  # of tap
_NAMES_OF_DEVICE = ("device", "hwaddr", "kernelpath", "pciBusID")


class Loopback(Value):
    """The loopback interface of the pod, which is up in every pod."""

    needs_address = False

    def steps(self, _options: LinkOptions, _place: Place) -> Iterator[NetStep]:
        """Bring it up."""
        yield BringUp(POD_SIDE, "lo")

    def result(self, _before: NetResult, place: Place, sandbox: str) -> NetResult:
        """It."""
        return made(place, NetInterface("lo", "00:00:00:00:00:00", sandbox))


class Dummy(Value):
    """An interface that leads nowhere, for addresses."""

    def steps(self, options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """The interface."""
        yield MakeLink("dummy", place.if_name, mac=place.macs[1], mtu=options.mtu)
        yield from _settled(options, place)

    def result(self, _before: NetResult, place: Place, sandbox: str) -> NetResult:
        """That of the pod."""
        return made(place, NetInterface(place.if_name, place.macs[1].hex(":"), sandbox))


class Tap(Value):
    """An interface whose packets a program of the pod reads, such as a virtual machine.

    owner, group: the users who may, -1 for root alone. beyond: see shared.
    """

    owner: int = -1
    group: int = -1
    multi_queue: bool = False
    beyond: tuple[str, ...] = ()
    needs_address = False

    @classmethod
    def from_fields(cls, fields: Fields) -> Tap:
        """Read owner, group and multiQueue. Raises InvalidSpec with the place."""
        return cls(
            fields.integer_of(31, "owner", -1, least=-1),
            fields.integer_of(31, "group", -1, least=-1),
            fields.boolean("multiQueue", False),
            beyond(fields, _BEYOND),
        )

    def steps(self, options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """The interface, which stays without a program."""
        yield MakeTap(place.if_name, self.owner, self.group, self.multi_queue, place.macs[1], options.mtu)
        yield from _settled(options, place)

    def result(self, _before: NetResult, place: Place, sandbox: str) -> NetResult:
        """That of the pod."""
        return made(place, NetInterface(place.if_name, place.macs[1].hex(":"), sandbox))


class HostDevice(Value):
    """An interface of the host that moves into the pod. by: the member that names it."""

    by: str
    name: str
    needs_address = False

    @classmethod
    def from_fields(cls, fields: Fields) -> HostDevice:
        """Read device, hwaddr, kernelpath or pciBusID. Raises InvalidSpec with the place."""
        by = next((member for member in _NAMES_OF_DEVICE if fields.text(member, "")), "")
        if not by:
            raise InvalidSpec(
                "no device is named",
                f"give one of {', '.join(_NAMES_OF_DEVICE)}",
                where=fields.where_of("device"),
            )
        if by == "hwaddr":
            mac_of(fields.text(by), fields.where_of(by))
        return cls(by, link_name(fields, by) if by == "device" else fields.text(by))

    def steps(self, options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """It moves, under the name of the pod's interface. Its alias says whose it is, and where it belongs."""
        yield MoveLink(self.by, self.name, place.if_name, place.uuid, options.mtu)
        yield from _settled(options, place)

    def result(self, _before: NetResult, place: Place, sandbox: str) -> NetResult:
        """That of the pod."""
        return made(place, NetInterface(place.if_name, "", sandbox))

    @property
    def known_name(self) -> str:
        """The name of the interface on the host, "" where another member names it."""
        return self.name if self.by == "device" else ""

    @property
    def needed_links(self) -> tuple[str, ...]:
        """The interfaces that the host must have."""
        return (self.known_name,) if self.known_name else ()


def _settled(options: LinkOptions, place: Place) -> Iterator[NetStep]:
    yield from pod_switches(options, place)
    yield BringUp(POD_SIDE, place.if_name)
    yield from on_link_addresses(place)
    yield from route_steps(place)
