# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove stale entries from the kernel's connection tracking. By hand, as rtmsg: 1 to 4 ms.

A packet of a tracked connection goes where the first one went, whatever the rules are now: a client that keeps its UDP
port would talk to a pod that has ended, or to none, for as long as it sends.
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
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
# The kernel has no connection tracking, or no access to it.
_ABSENT = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)


class Flow(Value):
    """One direction of a connection. protocol: "" for one without ports."""

    source: Address
    target: Address
    protocol: str = ""
    target_port: int = 0


class Connection(Value):
    """A tracked connection: the flow of its first packet, and that of replies. key: attributes that identify it."""

    there: Flow
    back: Flow
    family: int
    key: bytes


def forget_addresses(addresses: Collection[Address]) -> None:
    """Forget connections from or to these addresses, through published ports as well. Raises OSError."""
    if addresses:
        _forget(
            lambda connection: any(
                address in addresses
                for flow in (connection.there, connection.back)
                for address in (flow.source, flow.target)
            )
        )


def forget_ports(forwards: Sequence[PortForward], targets: Collection[Address]) -> None:
    """Forget connections to published ports of this host that lead elsewhere than to the pod. Raises OSError.

    They lead to a pod that had the port before, or to none: clients may have kept sending while no pod ran. targets:
    the addresses of the pod that its ports lead to, one of a family; others are not published over it.
    """
    families = {target.bits for target in targets}
    wanted = {
        (forward.protocol, forward.host_port, bits, forward.at)
        for forward in forwards
        for bits in forward.families
        if bits in families
    }
    if not wanted:
        return
    with RouteSocket() as host:
        local = {address for _index, address, _prefix in host.addresses()}

    def leads_elsewhere(connection: Connection) -> bool:
        there = connection.there
        port = (there.protocol, there.target_port, there.target.bits)
        if connection.back.source in targets:
            return False
        return (*port, str(there.target)) in wanted or ((*port, "") in wanted and there.target in local)

    _forget(leads_elsewhere)


def connections(netfilter: RouteSocket) -> Iterator[Connection]:
    """Every tracked connection.

    All are dumped and filtered here: the kernel's own filter by IPv6 address returns all but the matches.
    """
    dump = NetlinkRequest(_GET, _DUMP, _NFGENMSG.pack(0, 0, 0), "list the tracked connections")
    for body in netfilter.ask(dump):
        connection = _parse(body)
        if connection:
            yield connection


def _forget(is_meant: Callable[[Connection], bool]) -> None:
    try:
        with RouteSocket(NETLINK_NETFILTER) as netfilter:
            for connection in list(connections(netfilter)):
                if is_meant(connection):
                    body = _NFGENMSG.pack(connection.family, 0, 0) + connection.key
                    with suppress(FileNotFoundError):  # it has ended by itself
                        netfilter.send([NetlinkRequest(_DELETE, 0, body, "end a tracked connection")])
    except OSError as err:
        if err.errno not in _ABSENT:
            raise


def _parse(body: bytes) -> Connection | None:
    parts = dict(attributes(body[_NFGENMSG.size :]))
    there, back = (_flow(parts.get(kind, b"")) for kind in (_TUPLE_ORIG, _TUPLE_REPLY))
    if there is None or back is None:
        return None
    key = attribute(_TUPLE_ORIG | _NESTED, parts[_TUPLE_ORIG])
    key += b"".join(attribute(kind, parts[kind]) for kind in (_ID, _ZONE) if kind in parts)
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
