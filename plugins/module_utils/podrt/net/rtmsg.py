# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink messages of the start path, by hand: importing pyroute2 costs 150 ms, a whole ptp with these costs 3.

Pure; rtsocket sends them. Source: rtnetlink(7), linux/if_link.h, linux/rtnetlink.h, linux/veth.h; the tests prove that
pyroute2 makes the same messages.
"""

from __future__ import annotations

from struct import Struct

from ..value import Value
from .addresses import V4_BITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .addresses import Address, Subnet

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_SETLINK = 19
RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22
RTM_NEWROUTE = 24
RTM_GETROUTE = 26

NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_DUMP = 0x300

_AF_UNSPEC = 0
_AF_INET = 2
AF_BRIDGE = 7
IFF_UP = 1

IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_LINK = 5
IFLA_MASTER = 10
_IFLA_PROTINFO = 12
IFLA_OPERSTATE = 16
IFLA_LINKINFO = 18
IFLA_IFALIAS = 20
IFLA_NET_NS_FD = 28
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_INFO_SLAVE_DATA = 5
IFLA_BRPORT_LEARNING = 8
IFLA_BRPORT_ISOLATED = 33
_VETH_INFO_PEER = 1
_IFLA_BRPORT_MODE = 4
_NLA_F_NESTED = 0x8000
_NLA_TYPE = 0x3FFF

IFA_ADDRESS = 1
IFA_LOCAL = 2
_IFA_BROADCAST = 4
_IFA_FLAGS = 8
_IFA_F_NODAD = 0x02
_IFA_F_NOPREFIXROUTE = 0x200

_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RTA_PREFSRC = 7
_RTA_METRICS = 8
_OF_ROUTE = (("priority", 6), ("table", 15))
_METRICS = (("mtu", 2), ("advmss", 8))
_RT_TABLE_MAIN = 254
_RTPROT_BOOT = 3
_RT_SCOPE_UNIVERSE = 0
_RT_SCOPE_LINK = 253
_RTN_UNICAST = 1

_ATTRIBUTE = Struct("=HH")
_U32 = Struct("=I")
_IFINFO = Struct("=BxHiII")
IFINFO_BYTES = _IFINFO.size
_IFADDR = Struct("=BBBBI")
IFADDR_BYTES = _IFADDR.size
RTMSG = Struct("=BBBBBBBBI")


class NetlinkRequest(Value):
    """A request: its type, its flags beside REQUEST and ACK, its body, and its purpose, for errors."""

    kind: int
    flags: int
    body: bytes
    attempt: str


class VethEnds(Value):
    """A pair of interfaces. macs: the host's end, the pod's. master: index of a bridge for the host's end, or 0."""

    host_if: str
    pod_if: str
    macs: tuple[bytes, bytes]
    mtu: int = 0
    master: int = 0


def new_veth(ends: VethEnds, netns_fd: int) -> NetlinkRequest:
    """Make a veth pair whose peer is created in another network namespace. Both are down.

    Fixed MAC addresses keep udev's MACAddressPolicy from changing the host's end while ARP entries refer to it.
    """
    peer = (
        ifinfo()
        + text_attribute(IFLA_IFNAME, ends.pod_if)
        + attribute(IFLA_ADDRESS, ends.macs[1])
        + number_attribute(IFLA_NET_NS_FD, netns_fd)
        + _mtu(ends.mtu)
    )
    body = (
        ifinfo()
        + text_attribute(IFLA_IFNAME, ends.host_if)
        + attribute(IFLA_ADDRESS, ends.macs[0])
        + _mtu(ends.mtu)
        + (number_attribute(IFLA_MASTER, ends.master) if ends.master else b"")
        + link_info("veth", attribute(_VETH_INFO_PEER, peer))
    )
    return NetlinkRequest(
        RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"make the veth pair {ends.host_if}, {ends.pod_if}"
    )


def new_bridge(name: str, mac: bytes, mtu: int = 0) -> NetlinkRequest:
    """Make a bridge, down. Its MAC address is fixed, so it does not change with the bridge's ports."""
    body = (
        ifinfo()
        + text_attribute(IFLA_IFNAME, name)
        + attribute(IFLA_ADDRESS, mac)
        + _mtu(mtu)
        + link_info("bridge", b"")
    )
    return NetlinkRequest(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"make the bridge {name}")


def set_alias(name: str, alias: str) -> NetlinkRequest:
    """Give an interface an alias, which ip link shows."""
    body = ifinfo() + text_attribute(IFLA_IFNAME, name) + text_attribute(IFLA_IFALIAS, alias)
    return NetlinkRequest(RTM_SETLINK, 0, body, f"give the interface {name} an alias")


def set_hairpin(index: int) -> NetlinkRequest:
    """Let a port of a bridge send packets back out the way they came in."""
    return set_port(index, attribute(_IFLA_BRPORT_MODE, b"\1"))


def set_port(index: int, switches: bytes) -> NetlinkRequest:
    """Set switches of a port of a bridge. switches: the attributes of these."""
    body = ifinfo(family=AF_BRIDGE, index=index) + attribute(_IFLA_PROTINFO | _NLA_F_NESTED, switches)
    return NetlinkRequest(RTM_SETLINK, 0, body, f"set the switches of port {index} of a bridge")


def set_up(index: int) -> NetlinkRequest:
    """Bring an interface up."""
    return NetlinkRequest(RTM_NEWLINK, 0, ifinfo(index=index, flags=IFF_UP), f"bring interface {index} up")


def del_link(name: str) -> NetlinkRequest:
    """Remove an interface, and so its peer."""
    return NetlinkRequest(
        RTM_DELLINK, 0, ifinfo() + text_attribute(IFLA_IFNAME, name), f"remove the interface {name}"
    )


def get_link(name: str) -> NetlinkRequest:
    """Ask for an interface by name."""
    return NetlinkRequest(
        RTM_GETLINK, 0, ifinfo() + text_attribute(IFLA_IFNAME, name), f"find the interface {name}"
    )


def dump_links() -> NetlinkRequest:
    """Ask for every interface."""
    return NetlinkRequest(RTM_GETLINK, NLM_F_DUMP, ifinfo(), "list the interfaces")


def dump_addresses(index: int = 0) -> NetlinkRequest:
    """Ask for every address, or for those of one interface; a kernel before 4.20 lists all in either case."""
    return NetlinkRequest(
        RTM_GETADDR, NLM_F_DUMP, _IFADDR.pack(_AF_UNSPEC, 0, 0, 0, index), "list the addresses"
    )


def dump_routes(index: int = 0) -> NetlinkRequest:
    """Ask for every route, or for those of one interface, with the same exception."""
    body = RTMSG.pack(_AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
    if index:
        body += attribute(_RTA_OIF, _U32.pack(index))
    return NetlinkRequest(RTM_GETROUTE, NLM_F_DUMP, body, "list the routes")


def get_route(address: Address) -> NetlinkRequest:
    """Ask for the route to an address."""
    body = RTMSG.pack(address.family, address.bits, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, address.packed)
    return NetlinkRequest(RTM_GETROUTE, 0, body, f"find the way to {address}")


def route_of(body: bytes) -> tuple[int, int, bytes]:
    """The index of the interface, the prefix length and the destination in the answer about a route."""
    members = dict(attributes(body[RTMSG.size :]))
    family, prefix = body[0], body[1]
    dst = members.get(_RTA_DST, bytes(4 if family == _AF_INET else 16))
    return number_of(members.get(_RTA_OIF, bytes(4))), prefix, dst


def new_address(index: int, address: Address, prefix: int, *, prefix_route: bool = True) -> NetlinkRequest:
    """Add an address, without duplicate address detection; prefix_route False adds no route to its subnet."""
    flags = _IFA_F_NODAD if address.bits != V4_BITS else 0
    if not prefix_route:
        flags |= _IFA_F_NOPREFIXROUTE
    body = _IFADDR.pack(address.family, prefix, 0, 0, index) + attribute(IFA_LOCAL, address.packed)
    body += attribute(IFA_ADDRESS, address.packed) + _broadcast(address, prefix)
    if flags:
        body += number_attribute(_IFA_FLAGS, flags)
    return NetlinkRequest(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"add the address {address}/{prefix}")


def del_address(index: int, address: Address, prefix: int) -> NetlinkRequest:
    """Remove an address, and so the routes that need it."""
    body = _IFADDR.pack(address.family, prefix, 0, 0, index) + attribute(IFA_LOCAL, address.packed)
    return NetlinkRequest(RTM_DELADDR, 0, body, f"remove the address {address}/{prefix}")


def new_route(
    index: int,
    dst: Subnet,
    gateway: Address | None = None,
    more: Mapping[str, int] | None = None,
    source: Address | None = None,
) -> NetlinkRequest:
    """Add a route through an interface: on-link, or by a gateway. more: see Route; source: see AddRoute."""
    scope = _RT_SCOPE_UNIVERSE if gateway or dst.bits != V4_BITS else _RT_SCOPE_LINK
    scope = more.get("scope", scope) if more else scope
    family = dst.base.family
    body = RTMSG.pack(family, dst.prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
    if dst.prefix:
        body += attribute(_RTA_DST, dst.base.packed)
    if gateway:
        body += attribute(_RTA_GATEWAY, gateway.packed)
    body += number_attribute(_RTA_OIF, index)
    if source:
        body += attribute(_RTA_PREFSRC, source.packed)
    if more:
        body += _more_of_route(more)
    way = f" via {gateway}" if gateway else ""
    return NetlinkRequest(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, f"add the route to {dst}{way}")


def _more_of_route(more: Mapping[str, int]) -> bytes:
    metrics = b"".join(number_attribute(kind, more[name]) for name, kind in _METRICS if name in more)
    rest = b"".join(number_attribute(kind, more[name]) for name, kind in _OF_ROUTE if name in more)
    return rest + (attribute(_RTA_METRICS, metrics) if metrics else b"")


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute: length, type, data, padded to four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in the data of a message or of a nested attribute."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _NLA_TYPE, data[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4


def link_index(body: bytes) -> int:
    """The index in the answer about an interface."""
    return int(_IFINFO.unpack_from(body)[2])


def link_is_up(body: bytes) -> bool:
    """Whether the interface in an answer is up, connected or not."""
    return bool(_IFINFO.unpack_from(body)[3] & IFF_UP)


def address_index(body: bytes) -> int:
    """The index of the interface in the answer about an address."""
    return int(_IFADDR.unpack_from(body)[4])


def address_prefix(body: bytes) -> int:
    """The prefix length in the answer about an address."""
    return int(_IFADDR.unpack_from(body)[1])


def number_of(data: bytes) -> int:
    """An attribute of 32 bits."""
    return int(_U32.unpack_from(data)[0])


def ifinfo(family: int = _AF_UNSPEC, index: int = 0, flags: int = 0, changed: int | None = None) -> bytes:
    """The header of a message about an interface. changed: the flags that are set or cleared, None for those set."""
    return _IFINFO.pack(family, 0, index, flags, flags if changed is None else changed)


def text_attribute(kind: int, text: str) -> bytes:
    """An attribute that is a text, with a zero byte at its end."""
    return attribute(kind, text.encode() + b"\0")


def number_attribute(kind: int, number: int) -> bytes:
    """An attribute of 32 bits."""
    return attribute(kind, _U32.pack(number))


def _mtu(mtu: int) -> bytes:
    return number_attribute(IFLA_MTU, mtu) if mtu else b""


def link_info(kind: str, data: bytes) -> bytes:
    """The attribute of the kind of an interface. data: its own attributes."""
    nested = attribute(IFLA_INFO_DATA, data) if data else b""
    return attribute(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, kind.encode()) + nested)


def _broadcast(address: Address, prefix: int) -> bytes:
    if address.bits != V4_BITS or prefix >= V4_BITS - 1:
        return b""
    host_bits = V4_BITS - prefix
    return attribute(_IFA_BROADCAST, (address.number | (1 << host_bits) - 1).to_bytes(4, "big"))
