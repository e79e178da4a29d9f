# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink messages of the rarer types of networks, as bytes. Pure; the tests prove what they do against iproute2.

Source: linux/if_link.h, linux/neighbour.h, linux/fib_rules.h, linux/rtnetlink.h.
"""

from __future__ import annotations

from struct import Struct

from .addresses import V4_BITS
from .rtmsg import (
    AF_BRIDGE,
    IFF_UP,
    IFINFO_BYTES,
    IFLA_ADDRESS,
    IFLA_BRPORT_ISOLATED,
    IFLA_BRPORT_LEARNING,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_LINK,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    RTM_GETROUTE,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTM_SETLINK,
    RTMSG,
    NetlinkRequest,
    attribute,
    attributes,
    ifinfo,
    link_info,
    number_attribute,
    number_of,
    set_port,
    text_attribute,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .addresses import Address
    from .steps import IsolatePort, MakeLink, TuneLink

_RTM_DELROUTE, _RTM_NEWNEIGH, _RTM_NEWRULE = 25, 28, 32
_IFLA_BRPORT_UNICAST_FLOOD = 9
_NDMSG = Struct("=BxxxiHBB")
_NDA_LLADDR, _NUD_NOARP, _NTF_MASTER = 2, 0x40, 0x04
_IFLA_TXQLEN = 13
_IFF_PROMISC, _IFF_ALLMULTI = 0x100, 0x200
# The attribute of a kind that its setting is, and its format.
_SETTINGS = {"macvlan": (1, Struct("=I")), "ipvlan": (1, Struct("=H")), "vlan": (1, Struct("=H"))}
_RULE = Struct("=BBBBBBBBI")
_TO_TABLE = 1
_FRA_SRC = 2
_RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 4, 5, 15
_RTN_UNICAST = 1
_MAIN = 254
_AF_INET, _AF_INET6 = 2, 10
# The destination of link-local addresses, which every interface has.
_LINK_LOCAL = bytes((0xFE, 0x80))
_RTA_DST = 1


def new_link(step: MakeLink, parent: int, netns_fd: int) -> NetlinkRequest:
    """Make an interface, down, in a network namespace. parent: the index in that of the socket, 0 for none."""
    data = b""
    if step.kind in _SETTINGS:
        kind, packed = _SETTINGS[step.kind]
        data = attribute(kind, packed.pack(step.setting))
    body = (
        ifinfo()
        + text_attribute(IFLA_IFNAME, step.link)
        + (attribute(IFLA_ADDRESS, step.mac) if step.mac else b"")
        + (number_attribute(IFLA_MTU, step.mtu) if step.mtu else b"")
        + (number_attribute(IFLA_LINK, parent) if parent else b"")
        + number_attribute(IFLA_NET_NS_FD, netns_fd)
        + link_info(step.kind, data)
    )
    what = f"make the interface {step.link} of type {step.kind}"
    return NetlinkRequest(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, what)


def tune_link(index: int, step: TuneLink) -> NetlinkRequest:
    """Change properties of an interface."""
    flags = changed = 0
    for flag, wanted in ((_IFF_PROMISC, step.promiscuous), (_IFF_ALLMULTI, step.all_multicast)):
        changed |= flag if wanted is not None else 0
        flags |= flag if wanted else 0
    body = (
        ifinfo(index=index, flags=flags, changed=changed)
        + (attribute(IFLA_ADDRESS, step.mac) if step.mac else b"")
        + (number_attribute(IFLA_MTU, step.mtu) if step.mtu else b"")
        + (number_attribute(_IFLA_TXQLEN, step.tx_queue) if step.tx_queue else b"")
    )
    return NetlinkRequest(RTM_SETLINK, 0, body, f"change the interface {step.link}")


def isolate_port(index: int, step: IsolatePort) -> tuple[NetlinkRequest, ...]:
    """Keep a port of a bridge from other such ports, and if it has one MAC address alone, have the bridge know it."""
    on, off = b"\1", b"\0"
    switches = attribute(IFLA_BRPORT_ISOLATED, on)
    if not step.only:
        return (set_port(index, switches),)
    switches += attribute(IFLA_BRPORT_LEARNING, off) + attribute(_IFLA_BRPORT_UNICAST_FLOOD, off)
    body = _NDMSG.pack(AF_BRIDGE, index, _NUD_NOARP, _NTF_MASTER, 0) + attribute(_NDA_LLADDR, step.only)
    what = f"give the port {step.link} of a bridge its MAC address"
    return set_port(index, switches), NetlinkRequest(_RTM_NEWNEIGH, NLM_F_CREATE, body, what)


def move_link(index: int, name: str, alias: str, netns_fd: int) -> NetlinkRequest:
    """Move an interface to a network namespace, down, under a name and with an alias."""
    body = (
        ifinfo(index=index, changed=IFF_UP)
        + text_attribute(IFLA_IFNAME, name)
        + text_attribute(IFLA_IFALIAS, alias)
        + number_attribute(IFLA_NET_NS_FD, netns_fd)
    )
    return NetlinkRequest(RTM_SETLINK, 0, body, f"move the interface {name}")


def rename_link(index: int, name: str, alias: str) -> NetlinkRequest:
    """Give an interface that is down a name and an alias."""
    body = (
        ifinfo(index=index, changed=IFF_UP)
        + text_attribute(IFLA_IFNAME, name)
        + text_attribute(IFLA_IFALIAS, alias)
    )
    return NetlinkRequest(RTM_SETLINK, 0, body, f"give the interface {name} its name back")


def mac_of_link(body: bytes) -> bytes:
    """The MAC address in the answer about an interface."""
    return dict(attributes(body[IFINFO_BYTES:])).get(IFLA_ADDRESS, b"")


def dump_main_routes(family: int) -> NetlinkRequest:
    """Ask for every route of a family."""
    return NetlinkRequest(
        RTM_GETROUTE, NLM_F_DUMP, RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "list the routes"
    )


def is_movable(body: bytes, index: int) -> bool:
    """Whether a route in an answer is one of the main table, by an interface, that is not link-local."""
    members = dict(attributes(body[RTMSG.size :]))
    table = number_of(members[_RTA_TABLE]) if _RTA_TABLE in members else body[4]
    by = number_of(members[_RTA_OIF]) if _RTA_OIF in members else 0
    local = members.get(_RTA_DST, b"")[:2] == _LINK_LOCAL
    return table == _MAIN and by == index and body[7] == _RTN_UNICAST and not local


def has_gateway(body: bytes) -> bool:
    """Whether a route in an answer has a gateway."""
    return _RTA_GATEWAY in dict(attributes(body[RTMSG.size :]))


def is_default(body: bytes) -> bool:
    """Whether a route in an answer leads everywhere."""
    return body[1] == 0


def moved_route(body: bytes, table: int) -> tuple[NetlinkRequest, NetlinkRequest]:
    """Add a route of an answer to another table, and delete it where it is."""
    head = bytearray(body[: RTMSG.size])
    head[4] = table
    kept = b"".join(
        attribute(kind, data)
        for kind, data in attributes(body[RTMSG.size :])
        if kind in _OF_MOVED and kind != _RTA_TABLE
    )
    return (
        NetlinkRequest(
            RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, bytes(head) + kept, f"add a route to table {table}"
        ),
        NetlinkRequest(_RTM_DELROUTE, 0, body, "delete a route that has moved"),
    )


def new_rule(address: Address, table: int) -> NetlinkRequest:
    """Route packets from an address by a table."""
    family = _AF_INET if address.bits == V4_BITS else _AF_INET6
    body = _RULE.pack(family, 0, address.bits, 0, table, 0, 0, _TO_TABLE, 0)
    body += attribute(_FRA_SRC, address.packed)
    return NetlinkRequest(
        _RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, body, f"route packets from {address} by table {table}"
    )


# Destination, source, interface, gateway, priority, preferred source, metrics. Others only the kernel may give.
_OF_MOVED = (1, 2, _RTA_OIF, _RTA_GATEWAY, 6, 7, 8)
