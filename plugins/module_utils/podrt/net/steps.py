# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps on links, addresses and routes, one Value each. Pure; links.py does them."""

from __future__ import annotations

from ..value import Value
from .addresses import Address, Subnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

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
    """A route, on-link without a gateway."""

    side: str
    link: str
    dst: Subnet
    gateway: Address | None = None


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


if TYPE_CHECKING:
    NetStep = Union[
        MakeVeth, EnsureBridge, EnsureBridgeAddress, AddAddress, AddRoute, IgnoreRouters, BringUp, SetSysctl
    ]
