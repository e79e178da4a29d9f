# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name servers of the host, for the pods of plays that ask for nothing else.

A stub resolver on the loopback of the host, such as that of systemd-resolved, cannot be reached from the network of a
pod. What it forwards to is in a file of its own. Source: systemd-resolved(8), NetworkManager.conf(5), resolv.conf(5).
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec
from ..host.reading import WORD, read_bytes, read_trusted
from ..value import Value
from .addresses import V4_BITS, Address
from .ipam import NetDns
from .resolv import resolv_conf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.dirs import PodDir

RESOLV = "/etc/resolv.conf"
_BEHIND = ("/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")
HEADER = "# The name servers of the host, kept up to date by stagecraft.pods"
_LOOPBACK_V4 = 127
# What a hint in a message names at most.
_SHOWN = 3


class HostServers(Value):
    """The DNS settings of the host, with the servers that pods reach. unreachable: those on its loopback, if no others
    are known.
    """

    dns: NetDns
    unreachable: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The resolv.conf for a pod, "" if there is no server for it."""
        dns = self.dns
        if not dns.nameservers:
            return ""
        return resolv_conf(dns.nameservers, dns.search, dns.options, dns.domain, HEADER)

    @property
    def warning(self) -> str:
        """What users should hear, "" for nothing."""
        if not self.unreachable:
            return ""
        return (
            f"the name servers of this host are on its loopback, {', '.join(self.unreachable[:_SHOWN])}, where no pod "
            "reaches them, and it is not known what is behind them: the pod has no name server. "
            "Give it some by dns, or dns: [none] for those of the image"
        )


def host_servers(*, shares_network: bool) -> HostServers:
    """The DNS settings of the host. shares_network: whether the pod has the network of the host."""
    own = _read(RESOLV)
    if shares_network or not own.nameservers:
        return HostServers(own)
    reached = _reached(own)
    if len(reached) == len(own.nameservers):
        return HostServers(own)
    for path in _BEHIND:
        behind = _read(path)
        servers = tuple(dict.fromkeys((*reached, *_reached(behind))))
        if servers:
            return HostServers(own.replace(nameservers=servers, search=own.search or behind.search))
    return HostServers(own.replace(nameservers=reached), () if reached else own.nameservers)


def server_warning(*, shares_network: bool) -> str:
    """What users should hear of the servers, "" for nothing."""
    return host_servers(shares_network=shares_network).warning


def parse_resolv(text: str) -> NetDns:
    """Read a resolv.conf as the C library does: of search and domain, the last counts, and options add up. Pure."""
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "domain": [], "options": []}
    for line in text.splitlines():
        if line[:1] in ("#", ";"):
            continue
        word, *values = line.split() or [""]
        if word == "nameserver":
            found[word] += values[:1]
        elif word == "options":
            found[word] += values
        elif word in ("search", "domain"):
            found.update(search=[], domain=[])
            found[word] = values if word == "search" else values[:1]
    return NetDns(
        tuple(dict.fromkeys(found["nameserver"])),
        "".join(found["domain"]),
        tuple(found["search"]),
        tuple(dict.fromkeys(found["options"])),
    )


def held(pod: PodDir) -> str | None:
    """What a running pod has of them: the content of its file; None if it has none, or an app has changed that."""
    with suppress(OSError, Corrupt):
        text = read_bytes(pod.servers, WORD, beneath=pod.path).decode(errors="replace")
        return text.rstrip("\n") + "\n" if text.startswith(HEADER) else None
    return None


def compared(pod: PodDir, *, shares_network: bool) -> tuple[str, str]:
    """The servers that a running pod has of the host, and those that the host has now, as one line each.

    Both are the same where an app has changed the file, and where the host has none that the pod reaches.
    """
    now, known = host_servers(shares_network=shares_network).text, held(pod)
    if not now or known is None or known == now:
        return "", ""
    return _shown(known), _shown(now)


def _shown(text: str) -> str:
    return ", ".join(line for line in text.splitlines()[1:] if line)


def rewrite(fd: int, text: str) -> None:
    """Replace the content of a resolv.conf that apps have open or mounted: in one write of what has to be there.

    It never gets shorter: what is left over becomes empty lines. One that an app has blown up does. Raises OSError.
    """
    data = text.encode()
    size = os.fstat(fd).st_size
    if size > WORD:
        os.ftruncate(fd, WORD)
        size = WORD
    if size < len(data):
        os.pwrite(fd, b"\n" * (len(data) - size), size)
    os.pwrite(fd, data.ljust(size, b"\n"), 0)


def _read(path: str) -> NetDns:
    """The settings in a file, none without it."""
    with suppress(OSError, Corrupt):
        return parse_resolv(read_trusted(path, WORD).decode(errors="replace"))
    return NetDns()


def _reached(dns: NetDns) -> tuple[str, ...]:
    """The servers that are not on a loopback, and not of one link of the host."""
    return tuple(server for server in dns.nameservers if _is_reached(server))


def _is_reached(server: str) -> bool:
    try:
        address = Address.parse(server)
    except InvalidSpec:
        return False  # with a zone, as fe80::1%eth0, it is of a link that the pod does not have
    if address.bits == V4_BITS:
        return address.packed[0] not in (0, _LOOPBACK_V4)
    return address.number > 1
