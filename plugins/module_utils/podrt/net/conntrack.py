# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that the kernel tracks, made to forget what has become untrue. By hand, as rtmsg: 1 to 4 ms.

A packet of a connection that is tracked goes where the first one went, whatever the rules say by now: a client that
keeps its UDP port would speak to a pod that has ended, or to none, for as long as it goes on speaking.
Source: linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c.
"""

from __future__ import annotations

import errno
from struct import Struct

from ..contexts import suppress
from ..value import Value
from .addresses import Address
from .rtmsg import NetlinkRequest, attribute, attributes
from .rtsocket import NETLINK_NETFILTER, RouteSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from .rules import PortForward

_GET, _DELETE = 0x101, 0x102
_DUMP = 0x300
_NESTED = 0x8000
_NFGENMSG = Struct("=BBH")
_PORT = Struct("!H")

_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCES, _TARGETS = (1, 3), (2, 4)  # IPv4 and IPv6
_PROTO_NUMBER, _PROTO_TARGET_PORT = 1, 3
_PROTOCOLS = {6: "tcp", 17: "udp"}
# No connection tracking in this kernel, or none that can be asked.
_ABSENT = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)


class Flow(Value):
    """One direction of a connection. protocol: "" for one that has no ports."""

    source: Address
    target: Address
    protocol: str = ""
    target_port: int = 0


class Connection(Value):
    """A tracked connection: how its first packet came, how its answers go. key: what names it to the kernel."""

    there: Flow
    back: Flow
    family: int
    key: bytes


def forget_addresses(addresses: Collection[Address]) -> None:
    """End what is tracked from or to these addresses, through published ports as well. Raises OSError."""
    if addresses:
        _forget(
            lambda found: any(
                address in addresses
                for flow in (found.there, found.back)
                for address in (flow.source, flow.target)
            )
        )


def forget_ports(forwards: Sequence[PortForward], target: Address) -> None:
    """End what is tracked to published ports of this host and leads elsewhere than to the pod. Raises OSError.

    To a pod that had the port before, or to none: clients that kept asking while no pod ran.
    """
    wanted = {(forward.protocol, forward.host_port): forward.host_ip for forward in forwards}
    if not wanted:
        return
    with RouteSocket() as host:
        local = {address for _index, address, _prefix in host.addresses()}

    def leads_elsewhere(found: Connection) -> bool:
        there = found.there
        host_ip = wanted.get((there.protocol, there.target_port), "")
        if host_ip == "" or found.back.source == target:
            return False
        return there.target in local if host_ip is None else str(there.target) == host_ip

    _forget(leads_elsewhere)


def connections(netfilter: RouteSocket) -> Iterator[Connection]:
    """Every connection that is tracked.

    Asked for all and chosen from here: the kernel's own choice by IPv6 address gives all but what was meant.
    """
    dump = NetlinkRequest(_GET, _DUMP, _NFGENMSG.pack(0, 0, 0), "list the tracked connections")
    for body in netfilter.ask(dump):
        found = _parse(body)
        if found:
            yield found


def _forget(is_meant: Callable[[Connection], bool]) -> None:
    try:
        with RouteSocket(NETLINK_NETFILTER) as netfilter:
            for found in list(connections(netfilter)):
                if is_meant(found):
                    body = _NFGENMSG.pack(found.family, 0, 0) + found.key
                    with suppress(FileNotFoundError):  # it has ended by itself
                        netfilter.send([NetlinkRequest(_DELETE, 0, body, "end a tracked connection")])
    except OSError as err:
        if err.errno not in _ABSENT:
            raise


def _parse(body: bytes) -> Connection | None:
    found = dict(attributes(body[_NFGENMSG.size :]))
    there, back = (_flow(found.get(kind, b"")) for kind in (_TUPLE_ORIG, _TUPLE_REPLY))
    if there is None or back is None:
        return None
    key = attribute(_TUPLE_ORIG | _NESTED, found[_TUPLE_ORIG])
    key += b"".join(attribute(kind, found[kind]) for kind in (_ID, _ZONE) if kind in found)
    return Connection(there, back, body[0], key)


def _flow(data: bytes) -> Flow | None:
    parts = dict(attributes(data))
    ip = dict(attributes(parts.get(_TUPLE_IP, b"")))
    proto = dict(attributes(parts.get(_TUPLE_PROTO, b"")))
    source = next((ip[kind] for kind in _SOURCES if kind in ip), b"")
    target = next((ip[kind] for kind in _TARGETS if kind in ip), b"")
    if not source or not target:
        return None
    port = proto.get(_PROTO_TARGET_PORT, b"")
    return Flow(
        Address.unpacked(source),
        Address.unpacked(target),
        _PROTOCOLS.get(proto.get(_PROTO_NUMBER, b"\0")[0], ""),
        int(_PORT.unpack(port)[0]) if len(port) == _PORT.size else 0,
    )
