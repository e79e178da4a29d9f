# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the neighbours of a pod on its links which MAC addresses its addresses have now.

A pod often gets the address of one that has ended, such as the one that it replaces. Others that have spoken to that
one would send to its interface for up to a minute. Source: RFC 826, RFC 5227 (3), RFC 4861 (7.2.6), RFC 4443 (2.3).
"""

from __future__ import annotations

import _socket
import os
import struct

from ..contexts import suppress
from ..errors import InvalidSpec
from .netargs import mac_of
from .rtsocket import entered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .addresses import Address
    from .info import NetInfo

_ARP, _IPV6 = 0x0806, 0x86DD
_REQUEST, _ADVERTISEMENT, _ICMPV6 = 1, 136, 58
_OVERRIDE = 0x20000000
_EVERYONE, _NOBODY = b"\xff" * 6, bytes(6)
_ALL_NODES = b"\xff\x02" + bytes(13) + b"\x01"
_MAC_BYTES = 6


def announce(netns_fd: int, infos: Sequence[NetInfo]) -> None:
    """Announce the addresses of a pod in networks where others are on its link. netns_fd: its network namespace.

    Whatever fails is left: the neighbours find out by themselves, if later. The process must be single-threaded.
    """
    shared = [info for info in infos if os.path.basename(info.plugins[0]) != "ptp"]
    if shared:
        with suppress(OSError), entered(netns_fd):
            for info in shared:
                _announce(info)


def frame_of(address: Address, mac: bytes) -> bytes:
    """The frame that announces an address: a gratuitous ARP request, or an unsolicited advertisement. Pure."""
    if address.family == _socket.AF_INET:
        head = struct.pack("!6s6sHHHBBH", _EVERYONE, mac, _ARP, 1, 0x0800, _MAC_BYTES, 4, _REQUEST)
        return head + mac + address.packed + _NOBODY + address.packed
    body = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, _OVERRIDE) + address.packed + b"\x02\x01" + mac
    pseudo = address.packed + _ALL_NODES + struct.pack("!II", len(body), _ICMPV6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    ip = struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, 255) + address.packed + _ALL_NODES
    return struct.pack("!6s6sH", b"\x33\x33" + _ALL_NODES[-4:], mac, _IPV6) + ip + body


def _announce(info: NetInfo) -> None:
    macs = [each.mac for each in info.result.interfaces if each.sandbox and each.name == info.if_name]
    try:  # a program may say anything
        mac = mac_of(macs[0] if macs else "", "mac")
    except InvalidSpec:
        return
    if not mac:
        return
    raw = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
    try:
        raw.bind((info.if_name, 0))
        for each in info.result.addresses:
            with suppress(OSError):
                raw.send(frame_of(each.address, mac))
    finally:
        raw.close()


def _checksum(data: bytes) -> int:
    """The sum of the internet protocols over an even number of bytes. Source: RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
