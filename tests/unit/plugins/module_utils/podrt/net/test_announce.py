# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The frames by which a pod announces its addresses."""

from __future__ import annotations

import struct

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.announce import frame_of

MAC = bytes.fromhex("0a5800000002")


def test_an_ipv4_address_is_announced_by_a_request_for_itself() -> None:
    frame = frame_of(Address.parse("10.7.0.2"), MAC)
    assert frame.hex() == (
        "ffffffffffff0a5800000002080600010800060400010a58000000020a0700020000000000000a070002"
    )


def test_an_ipv6_address_is_announced_by_an_advertisement_with_its_checksum() -> None:
    address = Address.parse("fd00:7::2")
    frame = frame_of(address, MAC)
    assert frame[:14].hex() == "3333000000010a580000000286dd"
    version, length, following, hops = struct.unpack("!IHBB", frame[14:22])
    assert (version >> 28, length, following, hops) == (6, len(frame) - 54, 58, 255)
    assert (frame[22:38], frame[38:54].hex()) == (address.packed, "ff02" + "0" * 26 + "01")
    assert (frame[54], frame[58:62].hex(), frame[62:78]) == (136, "20000000", address.packed)
    assert frame[78:] == b"\x02\x01" + MAC
    data = frame[22:54] + struct.pack("!II", length, following) + frame[54:]
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
