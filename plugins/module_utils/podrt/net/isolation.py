# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables table that keeps pods of isolated networks from one another, whatever frames they send. Pure.

    map networks  port of the bridge -> the chain of its network
    set macs      port . MAC address of its pod
    set pairs     port . MAC address . IPv4 address of its pod
    set pairs6    the same for IPv6, with the link-local address
    set targets   the same as numbers, for what neighbour discovery speaks of

The kernel does not forward between such ports, see IsolatePort; the rules are for all else. They see a frame before
the bridge learns from it, and before br_netfilter. Of its own subnets a pod reaches the gateway alone, so that the host
does not route to its neighbours either. The table is made for the first such pod, and ends with the last.
Source: nft(8); RFC 826, RFC 4861, RFC 5227.
"""

from __future__ import annotations

from ..appc.alphabet import ALNUM, is_made_of
from ..errors import InvalidSpec
from ..value import Value
from .addresses import V4_BITS, V6_BITS, Address, Subnet
from .elements import (
    ISOLATION_SETS,
    ISOLATION_TABLE,
    MACS,
    NETWORKS,
    PAIRS,
    PAIRS6,
    TARGETS,
    Element,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .info import NetInfo

_LINK_BYTES, _MAC_BYTES = 16, 8
_MAC_PARTS, _HEX = 6, "0123456789abcdef"
_CHAIN = "apart_"
_AS_NAME = str.maketrans("./:", "___")
_JUMP = "jump "
_LINK_LOCAL = 0xFE80 << 112
# What is no ARP of a pod's own, no answer of a DHCP server, no word of a router and about no other's address. 143 is a
# report of groups, which a pod sends before it has an address. nft before 1.0.9 has no word for the target of a
# neighbour message, the 128 bits after the first 64.
_CHECKS = """\
iifname . ether saddr != @macs drop
ether type != { ip, arp, ip6 } drop
arp htype != 1 drop
arp ptype != 0x0800 drop
arp hlen != 6 drop
arp plen != 4 drop
arp operation != { request, reply } drop
arp saddr ip 0.0.0.0 iifname . arp saddr ether @macs accept
iifname . arp saddr ether . arp saddr ip @pairs accept
udp sport { 67, 547 } drop
icmp type { redirect, router-advertisement } drop
igmp type membership-query drop
icmpv6 type { mld-listener-query, nd-router-advert, nd-redirect } drop
icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @targets drop
ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . ether saddr . @th,64,128 != @targets drop
iifname . ether saddr . ip saddr @pairs accept
iifname . ether saddr . ip6 saddr @pairs6 accept
ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, 143 } accept
drop
"""
_SKELETON = f"""\
add table {ISOLATION_TABLE}
add map {ISOLATION_TABLE} {NETWORKS} {{ type ifname : verdict; }}
add set {ISOLATION_TABLE} {MACS} {{ type ifname . ether_addr; }}
add set {ISOLATION_TABLE} {PAIRS} {{ type ifname . ether_addr . ipv4_addr; }}
add set {ISOLATION_TABLE} {PAIRS6} {{ type ifname . ether_addr . ipv6_addr; }}
add set {ISOLATION_TABLE} {TARGETS} {{ typeof iifname . ether saddr . @th,64,128; }}
add chain {ISOLATION_TABLE} checks
add chain {ISOLATION_TABLE} early {{ type filter hook prerouting priority -300; policy accept; }}
flush chain {ISOLATION_TABLE} checks
flush chain {ISOLATION_TABLE} early
add rule {ISOLATION_TABLE} early iifname vmap @{NETWORKS}
"""
ISOLATION = _SKELETON + "".join(
    f"add rule {ISOLATION_TABLE} checks {rule}\n" for rule in _CHECKS.splitlines()
)


class NetworkChain(Value):
    """The chain for what the pods of a network send. reached: its subnets, with the gateways."""

    reached: tuple[tuple[Subnet, Address | None], ...]

    @property
    def name(self) -> str:
        """The chain's name, the same for the same subnets and gateways."""
        text = "_and_".join(f"{subnet}_by_{gateway}" for subnet, gateway in self.reached)
        return _CHAIN + text.translate(_AS_NAME)

    @property
    def definition(self) -> str:
        """The commands that make or refresh it."""
        chain, rules = f"{ISOLATION_TABLE} {self.name}", []
        for subnet, gateway in self.reached:
            daddr = "ip daddr" if subnet.bits == V4_BITS else "ip6 daddr"
            other = f" {daddr} != {gateway}" if gateway else ""
            rules.append(f"{daddr} {subnet}{other} drop")
        rules.append("goto checks")
        return f"add chain {chain}\nflush chain {chain}\n" + "".join(
            f"add rule {chain} {rule}\n" for rule in rules
        )


def chains_of(infos: Sequence[NetInfo]) -> tuple[NetworkChain, ...]:
    """The chains of the isolated networks among those of a pod."""
    return tuple(dict.fromkeys(_chain(info) for info in infos if info.isolated))


def isolation_of(uuid: str, infos: Sequence[NetInfo]) -> tuple[Element, ...]:
    """The elements that keep a pod from the others of its isolated networks. Raises InvalidSpec.

    It may send from any of its addresses on any of its interfaces, as in guard.
    """
    addresses = [each.address for info in infos for each in info.result.addresses]
    elements = [element for info in infos if info.isolated for element in _port(uuid, info, addresses)]
    return tuple(dict.fromkeys(elements))


def isolation_removal(elements: Sequence[Element], chains: Sequence[str], uuid: str) -> str:
    """The commands that remove a pod's elements from the table, with what is then unused.

    elements, chains: the content of the table, which is there.
    """
    staying = [element for element in elements if element.owner != uuid]
    if not staying:
        return f"delete table {ISOLATION_TABLE}\n"
    used = {element.value for element in staying}
    idle = [name for name in chains if name.startswith(_CHAIN) and _JUMP + name not in used]
    return "".join(element.removal for element in elements if element.owner == uuid) + "".join(
        f"delete chain {ISOLATION_TABLE} {name}\n" for name in idle
    )


def packed_key(element: Element) -> bytes:
    """The key of an element of the table as the kernel has it. Source: linux/netfilter/nf_tables.h."""
    if element.container not in ISOLATION_SETS:
        raise ValueError(element.container)
    link, *more = element.key
    packed = link.encode().ljust(_LINK_BYTES, b"\0")
    if more:
        packed += bytes.fromhex(more[0].replace(":", "")).ljust(_MAC_BYTES, b"\0")
    for part in more[1:]:
        is_number = element.container == TARGETS
        packed += (Address(V6_BITS, int(part, 16)) if is_number else Address.parse(part)).packed
    return packed


def _chain(info: NetInfo) -> NetworkChain:
    return NetworkChain(tuple((each.subnet, each.gateway) for each in info.result.addresses))


def _port(uuid: str, info: NetInfo, addresses: Sequence[Address]) -> Iterator[Element]:
    link, mac = info.host_if, _mac(info)
    if not is_made_of(link, ALNUM):
        raise InvalidSpec(f'"{link}" is not the name of a link of pods', where="hostIf")
    yield Element(NETWORKS, (link,), _JUMP + _chain(info).name, uuid)
    yield Element(MACS, (link, mac), "", uuid)
    for address in (*addresses, _link_local(mac)):
        if address.bits == V4_BITS:
            yield Element(PAIRS, (link, mac, str(address)), "", uuid)
            continue
        yield Element(PAIRS6, (link, mac, str(address)), "", uuid)
        yield Element(TARGETS, (link, mac, f"0x{address.number:032x}"), "", uuid)


def _mac(info: NetInfo) -> str:
    """The MAC address of the pod's interface. Raises InvalidSpec."""
    found = (each.mac for each in info.result.interfaces if each.sandbox and each.name == info.if_name)
    mac = next(found, "").lower()
    parts = mac.split(":")
    if len(parts) != _MAC_PARTS or any(len(part) != 2 or not is_made_of(part, _HEX) for part in parts):
        raise InvalidSpec(f'"{mac}" is not the MAC address of an interface', where="result.interfaces")
    return mac


def _link_local(mac: str) -> Address:
    """The address that the kernel derives from a MAC address. Source: RFC 4291, appendix A."""
    parts = bytes.fromhex(mac.replace(":", ""))
    number = bytes((parts[0] ^ 2, *parts[1:3], 0xFF, 0xFE, *parts[3:]))
    return Address(V6_BITS, _LINK_LOCAL | int.from_bytes(number, "big"))
