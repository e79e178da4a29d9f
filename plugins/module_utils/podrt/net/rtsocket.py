# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A netlink socket for the network configuration, or the netfilter, of one network namespace. Source: netlink(7)."""

from __future__ import annotations

import _socket
import os
from struct import Struct

from ..contexts import contextmanager, suppress
from ..value import Value
from .addresses import Address, Subnet
from .rtmsg import (
    IFA_ADDRESS,
    IFA_LOCAL,
    IFADDR_BYTES,
    IFINFO_BYTES,
    IFLA_ADDRESS,
    IFLA_BRPORT_ISOLATED,
    IFLA_BRPORT_LEARNING,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_OPERSTATE,
    address_index,
    address_prefix,
    attributes,
    dump_addresses,
    dump_links,
    dump_routes,
    get_link,
    link_index,
    link_is_up,
    number_of,
    route_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import TypeVar

    from .rtmsg import NetlinkRequest

    T = TypeVar("T", bound="RouteSocket")

_AF_NETLINK = 16
NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_NLM_F_REQUEST = 0x1
_NLM_F_ACK = 0x4
_NLM_F_DUMP_INTR = 0x10
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLMSGERR_ATTR_MSG = 1
_BUFFER_BYTES = 65536
_DUMP_TRIES = 5
_IF_OPER_UP = b"\6"

_HEADER = Struct("=IHHII")
_ERRNO = Struct("=i")


# The alias of a bridge that was made here, and is ours to remove.
OUR_BRIDGE = "made by stagecraft.pods"


class Link(Value):
    """An interface as the kernel describes it. kind: "" for a device. master: the index of its bridge, or 0.

    peer: the index of the other end of a veth, in the namespace of that end; 0 for none. is_isolated, learns: of a port
    of a bridge. is_connected: the kernel passes frames on, which starts a moment after both ends of a veth are up.
    """

    name: str
    index: int
    kind: str = ""
    alias: str = ""
    master: int = 0
    is_up: bool = False
    peer: int = 0
    is_isolated: bool = False
    learns: bool = True
    is_connected: bool = False


class RouteSocket:
    """A netlink socket, which stays in the network namespace that it was opened in."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        """Open it in the network namespace of this process. Raises OSError."""
        self._socket = _socket.socket(_AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, messages: Sequence[NetlinkRequest]) -> None:
        """Send requests, in order and at once. Raises OSError for the first that failed; later ones are tried."""
        if messages:
            first = self._sequence + 1
            self._socket.send(b"".join(map(self._framed, messages)))
            self._await(first, messages, set(range(first, first + len(messages))))

    def commit(self, messages: Sequence[NetlinkRequest]) -> None:
        """Send the requests of a transaction of nfnetlink, with those that begin and end it. Raises OSError.

        The last one between these is acknowledged, and that once all have been done.
        """
        first, last = self._sequence + 1, len(messages) - 2
        self._socket.send(
            b"".join(self._framed(each, acknowledged=at == last) for at, each in enumerate(messages))
        )
        self._await(first, messages, {first + last})

    def _await(self, first: int, messages: Sequence[NetlinkRequest], waiting: set[int]) -> None:
        """Wait for the acknowledgements of messages. first: the number of the first one; waiting: theirs.

        A transaction that is refused as a whole has that as the error of its first message, and no more.
        """
        failed: OSError | None = None
        while waiting:
            for kind, _flags, sequence, body in self._receive():
                if kind == _NLMSG_ERROR and 0 <= sequence - first < len(messages):
                    failed = failed or _failure(body, messages[sequence - first])
                    waiting = set() if sequence == first and sequence not in waiting else waiting - {sequence}
        if failed:
            raise failed

    def ask(self, message: NetlinkRequest) -> list[bytes]:
        """The bodies of the answers to a request. Raises OSError."""
        for _try in range(_DUMP_TRIES):
            answers, interrupted = self._ask_once(message)
            if not interrupted:
                return answers
        raise OSError(4, f"cannot {message.attempt}: it changes all the time")

    def find(self, name: str) -> Link | None:
        """An interface by name, None without one."""
        try:
            return _link(self.ask(get_link(name))[0])
        except OSError as err:
            if err.errno == 19:
                return None
            raise

    def mac(self, name: str) -> bytes:
        """The MAC address of an interface. Raises OSError."""
        return dict(attributes(self.ask(get_link(name))[0][IFINFO_BYTES:])).get(IFLA_ADDRESS, b"")

    def index(self, name: str) -> int:
        """The index of an interface. Raises OSError."""
        return link_index(self.ask(get_link(name))[0])

    def links(self) -> tuple[Link, ...]:
        """Every interface."""
        return tuple(_link(body) for body in self.ask(dump_links()))

    def addresses(self, index: int = 0) -> Iterator[tuple[int, Address, int]]:
        """Every address, or those of one interface: its index, the address, its prefix length. Raises OSError."""
        for body in self._of_one(dump_addresses(index), index):
            members = dict(attributes(body[IFADDR_BYTES:]))
            packed = members.get(IFA_LOCAL, members.get(IFA_ADDRESS, b""))
            if index in (0, address_index(body)):
                yield address_index(body), Address.unpacked(packed), address_prefix(body)

    def routes(self, index: int = 0) -> Iterator[tuple[int, Subnet]]:
        """Every route, or those of one interface: its index, and the destination. Raises OSError."""
        for body in self._of_one(dump_routes(index), index):
            link, prefix, dst = route_of(body)
            if index in (0, link):
                yield link, Subnet.around(Address.unpacked(dst), prefix)

    def _of_one(self, message: NetlinkRequest, index: int) -> list[bytes]:
        """Ask about one interface, with the switch that has the kernel leave out the others.

        A kernel before 4.20 lacks it, and lists all.
        """
        if index:
            with suppress(OSError):
                self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        return self.ask(message)

    def _ask_once(self, message: NetlinkRequest) -> tuple[list[bytes], bool]:
        self._socket.send(self._framed(message))
        answers: list[bytes] = []
        interrupted = False
        while True:
            for kind, flags, sequence, body in self._receive():
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTR)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    failed = _failure(body, message) if kind == _NLMSG_ERROR else None
                    if failed:
                        raise failed
                    return answers, interrupted
                answers.append(body)

    def _framed(self, message: NetlinkRequest, *, acknowledged: bool = True) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(message.body)
        flags = message.flags | _NLM_F_REQUEST | (_NLM_F_ACK if acknowledged else 0)
        header = _HEADER.pack(length, message.kind, flags, self._sequence, 0)
        return header + message.body + bytes(-length % 4)

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(_BUFFER_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, sequence, _port = _HEADER.unpack_from(data, at)
            yield kind, flags, sequence, data[at + _HEADER.size : at + length]
            at += length + -length % 4


def open_in(netns_fd: int) -> RouteSocket:
    """Open a socket in another network namespace. Raises OSError."""
    with entered(netns_fd):
        return RouteSocket()


@contextmanager
def entered(netns_fd: int) -> Iterator[None]:
    """Enter another network namespace, which /proc/sys/net then shows as well, and return at the end.

    netns_fd: such as /proc/PID/ns/net. The process must be single-threaded. Raises OSError.
    """
    from ..host.syscalls import CLONE_NEWNET, setns

    with returning():
        setns(netns_fd, CLONE_NEWNET)
        yield


@contextmanager
def returning() -> Iterator[None]:
    """Return to this network namespace at the end, whichever was entered. Raises OSError."""
    from ..host.syscalls import CLONE_NEWNET, setns

    home = own_netns()
    try:
        yield
    finally:
        try:
            setns(home, CLONE_NEWNET)
        finally:
            os.close(home)


def own_netns() -> int:
    """A descriptor of the network namespace of this process. Raises OSError."""
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _failure(body: bytes, message: NetlinkRequest) -> OSError | None:
    number = -_ERRNO.unpack_from(body)[0]
    if not number:
        return None
    # After the error number comes the header of the request, then the kernel's message.
    reason = dict(attributes(body[_ERRNO.size + _HEADER.size :])).get(_NLMSGERR_ATTR_MSG, b"")
    detail = f" ({reason.rstrip(bytes(1)).decode(errors='replace')})" if reason else ""
    return OSError(number, f"cannot {message.attempt}: {os.strerror(number)}{detail}")


def _link(body: bytes) -> Link:
    members = dict(attributes(body[IFINFO_BYTES:]))
    info = dict(attributes(members.get(IFLA_LINKINFO, b"")))
    port = dict(attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")))
    return Link(
        _string(members.get(IFLA_IFNAME, b"")),
        link_index(body),
        _string(info.get(IFLA_INFO_KIND, b"")),
        _string(members.get(IFLA_IFALIAS, b"")),
        number_of(members[IFLA_MASTER]) if IFLA_MASTER in members else 0,
        link_is_up(body),
        number_of(members[IFLA_LINK]) if IFLA_LINK in members else 0,
        port.get(IFLA_BRPORT_ISOLATED) == b"\1",
        port.get(IFLA_BRPORT_LEARNING) != b"\0",
        members.get(IFLA_OPERSTATE) == _IF_OPER_UP,
    )


def _string(data: bytes) -> str:
    return data.rstrip(bytes(1)).decode(errors="replace")
