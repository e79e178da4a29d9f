# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table that drops packets of pods with spoofed source addresses. Pure.

    set links  the host's ends of networks of type ptp
    set own    such an end . IPv4 address of its pod
    set own6   the same for IPv6
    set ports  the host's ends of isolated networks

A pod may send from any of its addresses on any of its links: a reply may take another way than the request. Bridges,
whose ports the host cannot tell apart, are not checked. With route_localnet the kernel accepts 127.0.0.0/8 from links
of pods, also as the source.

What a port of a bridge receives is the bridge's, except for frames to the addresses that bridges keep for themselves,
such as that of LLDP. These pass by the rules of bridges, and what is in them comes to the host as from the port itself,
where pods of isolated networks have nothing to say.

The table is separate and for both families; pods of releases before it neither fill nor flush it.
Source: br_handle_frame of the kernel's net/bridge/br_input.c; IEEE 802.1Q, 8.6.3.
"""

from __future__ import annotations

from ..appc.alphabet import ALNUM, is_made_of
from ..errors import InvalidSpec
from .addresses import V4_BITS
from .elements import GUARD_TABLE, LINKS, OWN, OWN6, PORTS, Element

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .info import NetInfo

# Neighbour discovery uses the unspecified address and then link-local ones, which are not routed.
GUARD = f"""\
add table {GUARD_TABLE}
add set {GUARD_TABLE} {LINKS} {{ type ifname; }}
add set {GUARD_TABLE} {OWN} {{ type ifname . ipv4_addr; }}
add set {GUARD_TABLE} {OWN6} {{ type ifname . ipv6_addr; }}
add set {GUARD_TABLE} {PORTS} {{ type ifname; }}
add chain {GUARD_TABLE} early {{ type filter hook prerouting priority raw; policy accept; }}
flush chain {GUARD_TABLE} early
add rule {GUARD_TABLE} early iifname != "lo" ip saddr 127.0.0.0/8 drop
add rule {GUARD_TABLE} early iifname @{PORTS} drop
add rule {GUARD_TABLE} early iifname != @{LINKS} accept
add rule {GUARD_TABLE} early meta nfproto ipv4 iifname . ip saddr != @{OWN} drop
add rule {GUARD_TABLE} early ip6 saddr {{ ::, fe80::/10 }} accept
add rule {GUARD_TABLE} early meta nfproto ipv6 iifname . ip6 saddr != @{OWN6} drop
"""


def guards_of(uuid: str, infos: Sequence[NetInfo]) -> tuple[Element, ...]:
    """The elements that keep a pod to its addresses; none for a pod of a release that did not record all of these.

    Raises InvalidSpec.
    """
    addresses = [each.address for info in infos if info.guarded for each in info.result.addresses]
    elements: list[Element] = []
    for link in (_checked(info.host_if) for info in infos if info.plugins[0] == "ptp" and info.guarded):
        elements.append(Element(LINKS, (link,), "", uuid))
        elements += [
            Element(OWN if address.bits == V4_BITS else OWN6, (link, str(address)), "", uuid)
            for address in addresses
        ]
    elements += [
        Element(PORTS, (_checked(info.host_if),), "", uuid)
        for info in infos
        if info.isolated and info.guarded
    ]
    return tuple(dict.fromkeys(elements))


def _checked(link: str) -> str:
    if not is_made_of(link, ALNUM):
        raise InvalidSpec(f'"{link}" is not the name of a link of pods', where="hostIf")
    return link
