# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that join a pod to a network, from its configuration and the pod's addresses, and what comes of them. Pure.

A type of network is a row of _BUILDERS. Source: behaviours E16, E17.
"""

from __future__ import annotations

from ..errors import Conflict, InvalidSpec
from ..value import Value
from .addresses import V4_BITS, V6_BITS, Address, Subnet
from .kinds import Bridge
from .ranges import Assigned
from .result import NetInterface, NetResult
from .steps import (
    HOST_SIDE,
    POD_SIDE,
    AddAddress,
    AddRoute,
    BringUp,
    EnsureBridge,
    EnsureBridgeAddress,
    IgnoreRouters,
    MakeVeth,
    SetSysctl,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .conf import NetConf
    from .plugin import Plugin
    from .steps import NetStep

    Builder = Callable[["NetConf", "Plugin", "Place"], Iterator[NetStep]]

_HOST_IF_PREFIX = "veth"
_UUID_DIGITS = 10
_INDEX_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# For a bridge without an address to derive its MAC address from: locally administered.
_BRIDGE_MAC = bytes((0x0A, 0x58, 0, 0, 0, 1))
# The kernel's own link-local address is tentative for a second, and until then cannot be used to find neighbours.
_LINK_LOCAL = Address(V6_BITS, 0xFE80 << 112 | 1)
_LINK_LOCAL_PREFIX = 64


class Place(Value):
    """Where a pod joins a network: the names of its interface inside and on the host. given: addresses and routes."""

    uuid: str
    index: int
    given: NetResult = NetResult()

    def check(self) -> None:
        """Raise InvalidSpec for more networks than the names of interfaces have room for."""
        if self.index >= len(_INDEX_DIGITS):
            raise InvalidSpec(f"a pod can join {len(_INDEX_DIGITS)} networks at most", where="networks")

    @property
    def addresses(self) -> tuple[Assigned, ...]:
        """The addresses of the interface."""
        return self.given.ips

    @property
    def if_name(self) -> str:
        """The interface inside: eth0, eth1, ..."""
        return f"eth{self.index}"

    @property
    def host_if(self) -> str:
        """The interface on the host, named so that it can be found without any record."""
        return host_if_prefix(self.uuid) + _INDEX_DIGITS[self.index]

    @property
    def macs(self) -> tuple[bytes, bytes]:
        """The MAC addresses of the host's end and of the pod's, locally administered, from the UUID."""
        seed = bytes.fromhex(_hex_of(self.uuid)[-8:])
        return bytes((0x0A, 0x59)) + _mixed(seed, self.index), bytes((0x0A, 0x5A)) + _mixed(seed, self.index)


def host_if_prefix(uuid: str) -> str:
    """The prefix of the names of a pod's interfaces on the host; one character follows."""
    return _HOST_IF_PREFIX + _hex_of(uuid)[:_UUID_DIGITS]


def steps_of(conf: NetConf, place: Place) -> tuple[NetStep, ...]:
    """The steps of all plugins that are built in. Raises InvalidSpec for an incomplete configuration."""
    return tuple(
        step for plugin in conf.plugins if plugin.is_built_in for step in plugin_steps(conf, plugin, place)
    )


def plugin_steps(conf: NetConf, plugin: Plugin, place: Place) -> tuple[NetStep, ...]:
    """The steps of one plugin that is built in, in order. Raises InvalidSpec for an incomplete configuration."""
    if plugin.makes_link and not place.addresses:
        raise InvalidSpec(
            f'network "{conf.name}" gives no address', "add an ipam section", where=conf.file_name
        )
    return tuple(_BUILDERS[plugin.type](conf, plugin, place))


def result_of(plugin: Plugin, place: Place, sandbox: str) -> NetResult:
    """What the steps of a plugin make. sandbox: the path of the pod's network namespace."""
    mac_outside, mac_inside = (mac.hex(":") for mac in place.macs)
    links = [NetInterface(place.host_if, mac_outside), NetInterface(place.if_name, mac_inside, sandbox)]
    if isinstance(plugin.own, Bridge):
        links.insert(0, NetInterface(plugin.own.name))
    on = (len(links) - 1,) * len(place.addresses)
    dns = plugin.dns if plugin.dns.to_json() else place.given.dns
    return place.given.replace(interfaces=tuple(links), on=on, dns=dns)


def gateway_link(conf: NetConf, place: Place) -> str:
    """The interface of the host that holds the gateway of the network."""
    return bridge_of(conf) or place.host_if


def bridge_of(conf: NetConf) -> str:
    """The bridge of the host that a network's pods are ports of, "" without one, or if a program makes it."""
    own = conf.main.own
    return own.name if isinstance(own, Bridge) and conf.main.is_built_in else ""


def not_a_bridge(name: str) -> Conflict:
    """The error for a bridge whose name another link of the host has."""
    return Conflict(
        f'"{name}" already exists but is not a bridge', "give the network another bridge", link=name
    )


def has_address(step: EnsureBridgeAddress, held: Iterable[tuple[Address, int]]) -> bool:
    """Whether a bridge with these addresses has the one of a step. Raises Conflict for another one in its subnet."""
    wanted = f"{step.address}/{step.prefix}"
    for address, prefix in held:
        if (address, prefix) == (step.address, step.prefix):
            return True
        if Subnet.around(address, prefix).holds(step.address):
            raise Conflict(
                f'"{step.name}" already has an IP address different from {wanted}: {address}/{prefix}',
                "remove that address or give the network another gateway",
                link=step.name,
            )
    return False


def _ptp(conf: NetConf, plugin: Plugin, place: Place) -> Iterator[NetStep]:
    yield from _forwarding(place)
    yield from _veth(plugin, place)
    for assigned in place.addresses:
        gateway = assigned.gateway
        if gateway is None:
            raise InvalidSpec(f'network "{conf.name}" of type ptp needs a gateway', where=conf.file_name)
        bits = gateway.bits
        yield AddAddress(HOST_SIDE, place.host_if, gateway, bits)
        yield AddRoute(HOST_SIDE, place.host_if, Subnet.around(assigned.address, bits))
        if bits != V4_BITS:
            yield AddAddress(HOST_SIDE, place.host_if, _LINK_LOCAL, _LINK_LOCAL_PREFIX)
        yield AddAddress(POD_SIDE, place.if_name, assigned.address, assigned.prefix, prefix_route=False)
        yield AddRoute(POD_SIDE, place.if_name, Subnet.around(gateway, bits))
        yield AddRoute(POD_SIDE, place.if_name, assigned.subnet, gateway)
    yield from _routes(place, ())


def _bridge(_conf: NetConf, plugin: Plugin, place: Place) -> Iterator[NetStep]:
    own = plugin.own if isinstance(plugin.own, Bridge) else Bridge()
    gateways = [found for found in place.addresses if found.gateway is not None]
    yield EnsureBridge(own.name, _bridge_mac(gateways) if own.gateway else _BRIDGE_MAC, plugin.mtu)
    yield IgnoreRouters(own.name)
    yield BringUp(HOST_SIDE, own.name)
    if own.gateway:
        yield from _forwarding(place)
        for found in gateways:
            yield EnsureBridgeAddress(own.name, found.gateway or found.address, found.prefix)
    yield from _veth(plugin, place, own)
    for found in place.addresses:
        yield AddAddress(POD_SIDE, place.if_name, found.address, found.prefix)
    defaults = tuple(Subnet(found.address.bits, 0, 0) for found in gateways) if own.default_gateway else ()
    yield from _routes(place, defaults)


def _nothing(_conf: NetConf, _plugin: Plugin, _place: Place) -> Iterator[NetStep]:
    """Ports are published once all networks are there, see attach."""
    yield from ()


_BUILDERS: dict[str, Builder] = {"ptp": _ptp, "bridge": _bridge, "portmap": _nothing}


def _veth(plugin: Plugin, place: Place, bridge: Bridge | None = None) -> Iterator[NetStep]:
    """The pair of interfaces. Other switches of the pod's end come from the defaults of the pod's namespace."""
    name, hairpin = (bridge.name, bridge.hairpin) if bridge else ("", False)
    yield MakeVeth(place.host_if, place.if_name, place.macs, plugin.mtu, name, hairpin)
    yield IgnoreRouters(place.host_if)
    if plugin.accept_ra:
        yield SetSysctl(f"net/ipv6/conf/{place.if_name}/accept_ra", "1", POD_SIDE)
    if plugin.accept_redirects:
        yield SetSysctl(f"net/ipv6/conf/{place.if_name}/accept_redirects", "1", POD_SIDE)
        yield SetSysctl(f"net/ipv4/conf/{place.if_name}/accept_redirects", "1", POD_SIDE)
    yield BringUp(HOST_SIDE, place.host_if)
    yield BringUp(POD_SIDE, place.if_name)


def _forwarding(place: Place) -> Iterator[NetStep]:
    families = {found.address.bits for found in place.addresses}
    if V4_BITS in families:
        yield SetSysctl("net/ipv4/ip_forward", "1")
    if families - {V4_BITS}:
        yield SetSysctl("net/ipv6/conf/all/forwarding", "1")


def _routes(place: Place, more: tuple[Subnet, ...]) -> Iterator[NetStep]:
    asked = [(route.dst, route.gateway) for route in place.given.routes]
    known = [dst for dst, gateway in asked]
    asked += [(dst, None) for dst in more if dst not in known]
    for dst, gateway in asked:
        way = gateway or _gateway_for(dst, place)
        yield AddRoute(POD_SIDE, place.if_name, dst, way)


def _gateway_for(dst: Subnet, place: Place) -> Address | None:
    for found in place.addresses:
        if found.address.bits == dst.bits and found.gateway is not None:
            return found.gateway
    return None


def _bridge_mac(gateways: Sequence[Assigned]) -> bytes:
    for found in gateways:
        if found.is_v4 and found.gateway is not None:
            return bytes((0x0A, 0x58)) + found.gateway.packed
    return _BRIDGE_MAC


def _hex_of(uuid: str) -> str:
    return uuid.replace("-", "").lower()


def _mixed(seed: bytes, index: int) -> bytes:
    return bytes(((seed[0] + index) & 0xFF, *seed[1:]))
