# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The netlink messages of VLANs of a bridge, as bytes. Pure; the tests prove what they do against iproute2.

Source: linux/if_link.h, linux/if_bridge.h.
"""

from __future__ import annotations

from struct import Struct

from .rtmsg import (
    AF_BRIDGE,
    IFINFO_BYTES,
    IFLA_INFO_DATA,
    IFLA_LINKINFO,
    NLM_F_DUMP,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_SETLINK,
    NetlinkRequest,
    attribute,
    attributes,
    ifinfo,
    link_index,
    link_info,
    number_attribute,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .steps import PortVlans

_IFLA_BR_VLAN_FILTERING = 7
_IFLA_AF_SPEC, _IFLA_EXT_MASK = 26, 29
_RTEXT_FILTER_BRVLAN_COMPRESSED = 4
_IFLA_BRIDGE_VLAN_INFO = 2
_VLAN_INFO = Struct("=HH")
# What a VLAN is to a port: that of frames that come without a tag, and one whose frames leave without.
PVID, UNTAGGED = 0x2, 0x4
_RANGE_BEGIN, _RANGE_END = 0x8, 0x10


def filter_vlans(index: int, name: str) -> NetlinkRequest:
    """Have a bridge tell VLANs apart."""
    body = ifinfo(index=index) + link_info("bridge", attribute(_IFLA_BR_VLAN_FILTERING, b"\1"))
    return NetlinkRequest(RTM_NEWLINK, 0, body, f"have the bridge {name} filter VLANs")


def filters_vlans(body: bytes) -> bool:
    """Whether the bridge in an answer tells VLANs apart."""
    info = dict(attributes(dict(attributes(body[IFINFO_BYTES:])).get(IFLA_LINKINFO, b"")))
    return dict(attributes(info.get(IFLA_INFO_DATA, b""))).get(_IFLA_BR_VLAN_FILTERING) == b"\1"


def wanted_vlans(step: PortVlans) -> dict[int, int]:
    """The VLANs that a port is to have, and what they are to it."""
    tagged = {number: 0 for first, last in step.trunk for number in range(first, last + 1)}
    return {**tagged, **({step.access: PVID | UNTAGGED} if step.access else {})}


def add_vlans(index: int, step: PortVlans) -> NetlinkRequest:
    """Put a port into VLANs."""
    entries = [_VLAN_INFO.pack(PVID | UNTAGGED, step.access)] if step.access else []
    for first, last in step.trunk:
        if first == last:
            entries.append(_VLAN_INFO.pack(0, first))
        else:
            entries += [_VLAN_INFO.pack(_RANGE_BEGIN, first), _VLAN_INFO.pack(_RANGE_END, last)]
    return NetlinkRequest(RTM_SETLINK, 0, _of_port(index, entries), f"put the port {step.link} into VLANs")


def drop_vlans(index: int, numbers: Iterable[int], name: str) -> NetlinkRequest:
    """Take a port out of VLANs."""
    entries = [_VLAN_INFO.pack(0, number) for number in numbers]
    return NetlinkRequest(RTM_DELLINK, 0, _of_port(index, entries), f"take the port {name} out of VLANs")


def dump_vlans() -> NetlinkRequest:
    """Ask for the VLANs of all ports."""
    body = ifinfo(family=AF_BRIDGE) + number_attribute(_IFLA_EXT_MASK, _RTEXT_FILTER_BRVLAN_COMPRESSED)
    return NetlinkRequest(RTM_GETLINK, NLM_F_DUMP, body, "list the VLANs of bridges")


def vlans_in(answers: Iterable[bytes]) -> Mapping[int, Mapping[int, int]]:
    """The VLANs of each port in the answers, by the index of the port, and what they are to it."""
    return {link_index(body): _vlans_of(body) for body in answers}


def _vlans_of(body: bytes) -> dict[int, int]:
    found: dict[int, int] = {}
    begin = 0
    for kind, data in attributes(dict(attributes(body[IFINFO_BYTES:])).get(_IFLA_AF_SPEC, b"")):
        if kind != _IFLA_BRIDGE_VLAN_INFO:
            continue
        flags, number = _VLAN_INFO.unpack_from(data)
        if flags & _RANGE_BEGIN:
            begin = number
            continue
        first = begin if flags & _RANGE_END else number
        found.update(dict.fromkeys(range(first, number + 1), flags & (PVID | UNTAGGED)))
    return found


def _of_port(index: int, entries: Iterable[bytes]) -> bytes:
    listed = b"".join(attribute(_IFLA_BRIDGE_VLAN_INFO, entry) for entry in entries)
    return ifinfo(family=AF_BRIDGE, index=index) + attribute(_IFLA_AF_SPEC, listed)
