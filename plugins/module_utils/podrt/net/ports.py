# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that no process of the host has a port to be published. Effects: a socket is bound and closed again."""

from __future__ import annotations

import _socket
import errno
import os

from ..appc.ports import ANY_V4, ANY_V6, hosts_clash
from ..contexts import suppress
from ..errors import Conflict
from ..host.reading import kernel_text_or
from .addresses import V4_BITS, V6_BITS, Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .rules import PortForward

_STATE_LISTEN = "0A"
_STATE_UDP = "07"
_SCTP = "sctp"
_EVERY = {V4_BITS: ANY_V4, V6_BITS: ANY_V6}


def sockets_in_use(forwards: Sequence[PortForward], families: Collection[int] = (V4_BITS,)) -> None:
    """Raise Conflict when a process of the host has one of the ports, naming both.

    families: those over which ports on every address are published, see probed.
    """
    for forward in forwards:
        probes = probed(forward.host_ip, families)
        if any(is_bound(forward.protocol, address, forward.host_port) for address in probes):
            holder = _listener(forward) or "another process"
            raise Conflict(
                f"port {forward} of the host is in use by {holder}",
                "stop it or publish another port",
                port=forward.host_port,
                holder=holder,
            )


def probed(host_ip: str | None, families: Collection[int]) -> tuple[str, ...]:
    """The addresses to look at for a port. families: as bits of addresses, those meant by every address."""
    if host_ip is not None:
        return (host_ip,)
    return tuple(address for bits, address in _EVERY.items() if bits in families)


def is_bound(protocol: str, address: str, port: int) -> bool:
    """Whether a process of the host is bound to a port."""
    if protocol == _SCTP:
        return any(_meets(address, held) for number, _inode, held in _sctp_sockets() if number == port)
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    kind = _socket.SOCK_STREAM if protocol == "tcp" else _socket.SOCK_DGRAM
    try:
        probe = _socket.socket(family, kind | _socket.SOCK_CLOEXEC)
    except OSError as err:
        if err.errno == errno.EAFNOSUPPORT:
            return False  # no process can have it either
        raise
    try:
        if family == _socket.AF_INET6:
            # A socket for both families is in the way of a probe for IPv4 as well, one for IPv4 of none here.
            probe.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # With this only a listening socket is in the way, not a connection in TIME_WAIT.
            probe.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
    except OSError as err:
        return err.errno == errno.EADDRINUSE
    finally:
        probe.close()
    return False


def _sctp_sockets() -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """The port, the inode and the addresses of each SCTP socket; none where the kernel has no SCTP loaded.

    They are read, since a socket of this process would make the kernel load its module.
    Source: sctp_eps_seq_show of the kernel's net/sctp/proc.c.
    """
    for line in kernel_text_or("/proc/net/sctp/eps", "").splitlines()[1:]:
        fields = line.split()
        yield int(fields[5]), fields[7], tuple(fields[8:])


def _meets(address: str, held: tuple[str, ...]) -> bool:
    """Whether a port on an address is one of a socket on these. One on :: may take connections of IPv4 as well."""
    return any(hosts_clash(address, other) or not Address.parse(other).number for other in held)


def _listener(forward: PortForward) -> str:
    """The process that has the port, as "nginx (pid 71)"; "" when it is unknown. Source: proc_net(5)."""
    inodes = set(_inodes(forward))
    if not inodes:
        return ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes & set(_sockets_of(pid)):
            return f"{kernel_text_or(f'/proc/{pid}/comm', '?')} (pid {pid})"
    return ""


def _inodes(forward: PortForward) -> Iterator[str]:
    if forward.protocol == _SCTP:
        for number, inode, _held in _sctp_sockets():
            if number == forward.host_port:
                yield f"socket:[{inode}]"
        return
    state = _STATE_LISTEN if forward.protocol == "tcp" else _STATE_UDP
    for table in (forward.protocol, f"{forward.protocol}6"):
        for line in kernel_text_or(f"/proc/net/{table}", "").splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == forward.host_port:
                yield f"socket:[{fields[9]}]"


def _sockets_of(pid: str) -> Iterator[str]:
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for fd in fds:
        with suppress(OSError):
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
