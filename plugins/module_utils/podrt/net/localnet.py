# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch route_localnet of links, with which ports published on 127.0.0.1 of the host lead to pods.

It also lets hosts on such a link reach services on 127.0.0.1 of this host, which a rule of our nftables table prevents
(CVE-2020-8558). So the switch goes on after that rule, and off before it. No record lists the links that have it: those
of a pod are named after it; a bridge, or an interface in a VLAN of it, has it while a port of any pod leads to it. A
foreign one that had it before keeps it: one where it was switched on here has a file /run/pods/localnet/NAMESPACE-LINK.
So has any other link of the host that a program says leads to its pods.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..host.files import PRIVATE_FILE, make_dirs, write_new
from .hostlock import bridge_lock
from .links import is_link_of
from .rtmsg import get_route, route_of
from .rtsocket import OUR_BRIDGE, RouteSocket
from .switches import is_off, localnet_key, set_sysctl, switch_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..host.paths import Paths
    from .addresses import Address
    from .rtsocket import Link

_OF_ONE_POD = "veth"


def open_loopback(paths: Paths, name: str) -> None:
    """Let 127.0.0.1 of the host reach a link. One that is not there, such as a program may name, is left.

    Raises OSError, HostFailure.
    """
    with RouteSocket() as host:
        link = host.find(name)
    if link is None:
        return
    if not _is_shared(link):
        set_sysctl(localnet_key(name), "1")
        return
    with bridge_lock(paths, name):
        if link.alias != OUR_BRIDGE and is_off(localnet_key(name)):
            make_dirs(paths.localnet)
            write_new(_mark(paths, name), b"", PRIVATE_FILE)
        set_sysctl(localnet_key(name), "1")


def close_loopback(paths: Paths, uuid: str, others: Sequence[Address]) -> None:
    """Undo open_loopback for a pod's links and for bridges that no other pod needs. others: targets of their ports.

    Raises OSError, HostFailure.
    """
    with RouteSocket() as host:
        for link in host.links():
            if is_link_of(uuid, link.name):
                switch_off(localnet_key(link.name))
            elif _is_shared(link) and not is_off(localnet_key(link.name)):
                _close_shared(paths, host, link, others)


def _is_shared(link: Link) -> bool:
    """Whether pods can share a link: any but those of one pod. That of a VLAN has a dot in its name, see vlans."""
    return link.kind != _OF_ONE_POD or "." in link.name


def _close_shared(paths: Paths, host: RouteSocket, link: Link, others: Sequence[Address]) -> None:
    mark = _mark(paths, link.name)
    if link.alias != OUR_BRIDGE and not os.path.lexists(mark):
        return
    with bridge_lock(paths, link.name):
        if any(_way_to(host, address) == link.index for address in others):
            return
        switch_off(localnet_key(link.name))
        with suppress(FileNotFoundError):
            os.unlink(mark)


def _way_to(host: RouteSocket, address: Address) -> int:
    """The index of the link that leads to an address, 0 for none."""
    try:
        return route_of(host.ask(get_route(address))[0])[0]
    except OSError:
        return 0


def _mark(paths: Paths, link: str) -> str:
    return paths.localnet_mark(os.stat("/proc/self/ns/net").st_ino, link)
