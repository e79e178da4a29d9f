# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table that drops what comes with a source address that its sender does not have. Pure.

    set links  the host's ends of networks of type ptp
    set own    such an end . IPv4 address of its pod
    set own6   the same of IPv6

A pod may send with any of its addresses on any of its links: an answer may take another way than the question. On a
bridge, whose ports the host does not tell apart, nothing is looked at. route_localnet has the kernel accept 127.0.0.0/8
from links of pods, as the source too. The table is one of its own for both families, which pods of releases
before it neither fill nor flush.
"""

from __future__ import annotations

from ..appc.alphabet import ALNUM, is_made_of
from ..errors import InvalidSpec
from .addresses import V4_BITS, Address
from .elements import GUARD_TABLE, LINKS, OWN, OWN6, Element

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .info import NetInfo

# Neighbour discovery begins at the unspecified address, and goes on with link-local ones, which lead no further.
GUARD = f"""\
add table {GUARD_TABLE}
add set {GUARD_TABLE} {LINKS} {{ type ifname; }}
add set {GUARD_TABLE} {OWN} {{ type ifname . ipv4_addr; }}
add set {GUARD_TABLE} {OWN6} {{ type ifname . ipv6_addr; }}
add chain {GUARD_TABLE} early {{ type filter hook prerouting priority raw; policy accept; }}
flush chain {GUARD_TABLE} early
add rule {GUARD_TABLE} early iifname != "lo" ip saddr 127.0.0.0/8 drop
add rule {GUARD_TABLE} early iifname != @{LINKS} accept
add rule {GUARD_TABLE} early meta nfproto ipv4 iifname . ip saddr != @{OWN} drop
add rule {GUARD_TABLE} early ip6 saddr {{ ::, fe80::/10 }} accept
add rule {GUARD_TABLE} early meta nfproto ipv6 iifname . ip6 saddr != @{OWN6} drop
"""


def guards_of(uuid: str, infos: Sequence[NetInfo]) -> tuple[Element, ...]:
    """What keeps a pod to its addresses; nothing for a pod of a release that did not record all of these.

    Raises InvalidSpec.
    """
    addresses = [Address.parse(text, "addresses") for info in infos for text in info.addresses]
    found: list[Element] = []
    for link in (info.host_if for info in infos if info.plugin_path == "ptp" and info.addresses):
        if not is_made_of(link, ALNUM):
            raise InvalidSpec(f'"{link}" is not the name of a link of pods', where="hostIf")
        found.append(Element(LINKS, (link,), "", uuid))
        found += [
            Element(OWN if address.bits == V4_BITS else OWN6, (link, str(address)), "", uuid)
            for address in addresses
        ]
    return tuple(dict.fromkeys(found))
