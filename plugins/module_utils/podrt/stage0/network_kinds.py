# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of networks that tasks define: the options that each takes, and its members of the configuration. Pure.

A type is a row of KINDS.
"""

from __future__ import annotations

from ..host.digests import sha256
from ..net.addresses import Address, Route, Subnet
from ..net.ipam import NetDns
from ..net.kinds import FLANNEL
from ..net.netargs import LONGEST_LINK
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    OwnMembers = dict[str, Union[str, int, bool]]

# Where the subnets of a type come from. CHOSEN: one of IPv4 is chosen, unless others are asked for. WRITTEN: they are
# those of other hosts, so they are written out. OPTIONAL, and OPTIONAL_WRITTEN: the same, but there may be none.
# ELSEWHERE: the type has no option for them.
CHOSEN, WRITTEN, OPTIONAL, OPTIONAL_WRITTEN, ELSEWHERE = (
    "chosen",
    "written",
    "optional",
    "optional-written",
    "elsewhere",
)
_ADDRESSED = ("subnets", "routes", "default_route")


class SubnetSpec(Value):
    """A subnet that a definition asks for. subnet: None for one to be chosen, of that many bits. where: its option."""

    bits: int
    subnet: Subnet | None = None
    start: Address | None = None
    end: Address | None = None
    gateway: Address | None = None
    where: str = ""


class NetworkSpec(Value):
    """The definition of a network. more: raw members, plugins: those that follow in the chain, as canonical JSON.

    gateway: whether the host has an address on the bridge, by which pods reach it and what is beyond it.
    owner, group: the users that may open a tap, None for root alone.
    """

    name: str
    type: str = "bridge"
    subnets: tuple[SubnetSpec, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: NetDns = NetDns()
    bridge: str = ""
    mtu: int = 0
    ip_masq: bool = True
    hairpin: bool = False
    isolated: bool = False
    default_route: bool = True
    more: str = "{}"
    plugins: tuple[str, ...] = ()
    master: str = ""
    mode: str = ""
    vlan_id: int | None = None
    gateway: bool = True
    device: str = ""
    owner: int | None = None
    group: int | None = None
    multi_queue: bool = False
    subnet_file: str = ""

    @property
    def link(self) -> str:
        """The bridge that the pods are ports of, "" for a type without one."""
        if "bridge" not in options_of_type(self.type):
            return ""
        name = f"br-{self.name}"
        if len(name) > LONGEST_LINK:
            name = f"br-{sha256(self.name.encode()).hexdigest()[:12]}"
        return self.bridge or name

    @property
    def routes_by_bridge(self) -> bool:
        """Whether the default route of the pods is the bridge itself, whatever its address."""
        return self.type == "bridge" and self.gateway


class NetworkKind(Value):
    """A type of networks: which of the options that not all types have it takes, and the members that they make.

    subnets: where these come from. leads_out: whether pods have a default route by it unless the definition says no.
    """

    options: tuple[str, ...]
    members: Callable[[NetworkSpec], OwnMembers]
    subnets: str = CHOSEN
    leads_out: bool = True


def _bridge(spec: NetworkSpec) -> OwnMembers:
    return {
        "bridge": spec.link,
        "isGateway": spec.gateway,
        **({"isDefaultGateway": spec.gateway} if spec.default_route or not spec.gateway else {}),
        "ipMasq": spec.ip_masq,
        **({"hairpinMode": True} if spec.hairpin else {}),
        **({"isolated": True} if spec.isolated else {}),
        **_mtu(spec),
    }


def _ptp(spec: NetworkSpec) -> OwnMembers:
    return {"ipMasq": spec.ip_masq, **_mtu(spec)}


def _below(spec: NetworkSpec) -> OwnMembers:
    """Of a link below a device of the host."""
    members = {"master": spec.master or None, "mode": spec.mode or None, "vlanId": spec.vlan_id}
    return {**{name: value for name, value in members.items() if value is not None}, **_mtu(spec)}


def _host_device(spec: NetworkSpec) -> OwnMembers:
    return {**({"device": spec.device} if spec.device else {}), **_mtu(spec)}


def _tap(spec: NetworkSpec) -> OwnMembers:
    users = {"owner": spec.owner, "group": spec.group}
    return {
        **{name: number for name, number in users.items() if number is not None},
        **({"multiQueue": True} if spec.multi_queue else {}),
        **_mtu(spec),
    }


def _flannel(spec: NetworkSpec) -> OwnMembers:
    return {"subnetFile": spec.subnet_file} if spec.subnet_file else {}


def _mtu(spec: NetworkSpec) -> OwnMembers:
    return {"mtu": spec.mtu} if spec.mtu else {}


def _plain(_spec: NetworkSpec) -> OwnMembers:
    return {}


KINDS = {
    "bridge": NetworkKind(
        (
            *_ADDRESSED,
            *("bridge", "gateway", "mtu", "ip_masq", "hairpin", "isolated", "internal", "open_firewalls"),
        ),
        _bridge,
    ),
    "ptp": NetworkKind((*_ADDRESSED, "mtu", "ip_masq", "internal", "open_firewalls"), _ptp),
    "macvlan": NetworkKind((*_ADDRESSED, "master", "mode", "mtu"), _below, WRITTEN),
    "ipvlan": NetworkKind((*_ADDRESSED, "master", "mode", "mtu"), _below, WRITTEN),
    "vlan": NetworkKind((*_ADDRESSED, "master", "vlan_id", "mtu"), _below, WRITTEN),
    "host-device": NetworkKind(
        (*_ADDRESSED, "device", "mtu"), _host_device, OPTIONAL_WRITTEN, leads_out=False
    ),
    "tap": NetworkKind(
        (*_ADDRESSED, "owner", "group", "multi_queue", "mtu"), _tap, OPTIONAL, leads_out=False
    ),
    "dummy": NetworkKind(("subnets", "mtu"), _mtu, leads_out=False),
    "loopback": NetworkKind((), _plain, ELSEWHERE, leads_out=False),
    FLANNEL: NetworkKind(("subnet_file",), _flannel, ELSEWHERE, leads_out=False),
}
# Any other type, such as that of an external plugin, gets its members as they are, from the option conf.
OTHER = NetworkKind(_ADDRESSED, _plain)
OF_SOME = tuple(dict.fromkeys(option for kind in KINDS.values() for option in kind.options))


def kind_of(name: str) -> NetworkKind:
    """The row of a type."""
    return KINDS.get(name, OTHER)


def may_choose_subnets(name: str) -> bool:
    """Whether networks of a type can have any subnet, so that one can be chosen for them."""
    return kind_of(name).subnets in (CHOSEN, OPTIONAL)


def options_of_type(name: str) -> tuple[str, ...]:
    """The options that a type takes beside those of all types."""
    return kind_of(name).options
