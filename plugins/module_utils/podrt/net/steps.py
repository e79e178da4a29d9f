# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps on links, addresses and routes, one Value each. Pure; links.py does them."""

from __future__ import annotations

from ..value import Value
from .addresses import Address, Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from .ranges import Assigned
    from .rates import Rate

HOST_SIDE = "host"
POD_SIDE = "pod"


class MakeVeth(Value):
    """A veth pair, down, one end on the host, the other in the pod. bridge: that of the host's end, or ""."""

    host_if: str
    pod_if: str
    macs: tuple[bytes, bytes]
    mtu: int = 0
    bridge: str = ""
    hairpin: bool = False


class EnsureBridge(Value):
    """A bridge of the host, made (down) when it is missing."""

    name: str
    mac: bytes
    mtu: int = 0


class EnsureBridgeAddress(Value):
    """The address of a bridge; a different one in the same subnet is an error."""

    name: str
    address: Address
    prefix: int


class AddAddress(Value):
    """An address of an interface. prefix_route: whether its subnet is on-link."""

    side: str
    link: str
    address: Address
    prefix: int
    prefix_route: bool = True


class AddRoute(Value):
    """A route, on-link without a gateway. more: see Route. source: the address of packets that may choose theirs."""

    side: str
    link: str
    dst: Subnet
    gateway: Address | None = None
    more: tuple[tuple[str, int], ...] = ()
    source: Address | None = None


class MakeLink(Value):
    """An interface in the pod, down, of a kind of the kernel. parent: the one that it shares, and its side.

    setting: the mode or the number of a VLAN, as the kind has it. mac b"": the kernel's choice.
    """

    kind: str
    link: str
    parent: str = ""
    parent_side: str = HOST_SIDE
    setting: int = 0
    mac: bytes = b""
    mtu: int = 0


class MakeTap(Value):
    """A tap interface in the pod, down. owner, group: the users that may open it, -1 for root alone."""

    link: str
    owner: int
    group: int
    multi_queue: bool
    mac: bytes
    mtu: int = 0


class MoveLink(Value):
    """An interface of the host that moves into the pod, down, under another name. by: what names it, see HostDevice.

    owner: the UUID of the pod, for its alias.
    """

    by: str
    name: str
    link: str
    owner: str
    mtu: int = 0


class TuneLink(Value):
    """Properties of an interface, see Tuning."""

    link: str
    mac: bytes = b""
    mtu: int = 0
    promiscuous: bool | None = None
    all_multicast: bool | None = None
    tx_queue: int = 0
    side: str = POD_SIDE


class ShapeLink(Value):
    """Limits of what the host's end of a pod's interface sends to the pod, and gets from it.

    shaper: the name of the interface where the latter waits. mtu 0: the kernel's default.
    """

    link: str
    shaper: str
    to_pod: Rate
    from_pod: Rate
    mtu: int = 0


class MoveRoutes(Value):
    """The routes of an interface of the pod move into a table, which packets from its addresses are routed by."""

    link: str
    table: int
    addresses: tuple[Assigned, ...]


class IsolatePort(Value):
    """A port of a bridge that reaches no other such port. only: its one MAC address, which the bridge need not learn.

    Without learning, and without frames for MAC addresses that are not known, a port cannot take those of another.
    """

    link: str
    only: bytes = b""


class LetThrough(Value):
    """Firewalls of others let the addresses of a pod through. owner: its UUID. zone: that of firewalld for them."""

    owner: str
    addresses: tuple[Address, ...]
    zone: str


class FilterVlans(Value):
    """A bridge of the host that tells VLANs apart. One that was not made here has to do so already."""

    name: str


class PortVlans(Value):
    """The VLANs of a port of a bridge. access: that of frames without a tag, 0 for the bridge's default one.

    trunk: ranges of those whose frames have tags, from the first to the last. keeps_default: whether the port stays in
    the default one as well.
    """

    link: str
    access: int = 0
    trunk: tuple[tuple[int, int], ...] = ()
    keeps_default: bool = True


class VlanGateway(Value):
    """An interface of the host in a VLAN of a bridge. port: the other end of it, which is a port of the bridge.

    macs: of the port, and of the interface. One that was not made here stays as it is.
    """

    link: str
    bridge: str
    port: PortVlans
    macs: tuple[bytes, bytes]
    mtu: int = 0


class IgnoreRouters(Value):
    """A link of the host ignores router advertisements and redirects. A foreign bridge stays as it is."""

    link: str


class BringUp(Value):
    """An interface is up: its last step, after the switches that apply from then on."""

    side: str
    link: str


class SetSysctl(Value):
    """A switch of a network namespace. key: below /proc/sys."""

    key: str
    value: str
    side: str = HOST_SIDE


# The steps that make the interface of a pod: what else is on it goes and comes with that.
MAKING = (MakeVeth, MakeLink, MakeTap, MoveLink)

if TYPE_CHECKING:
    VlanStep = Union[FilterVlans, PortVlans, VlanGateway]
    RareStep = Union[
        MakeLink, MakeTap, MoveLink, TuneLink, MoveRoutes, IsolatePort, ShapeLink, LetThrough, VlanStep
    ]
    NetStep = Union[
        MakeVeth,
        EnsureBridge,
        EnsureBridgeAddress,
        AddAddress,
        AddRoute,
        IgnoreRouters,
        BringUp,
        SetSysctl,
        RareStep,
    ]
