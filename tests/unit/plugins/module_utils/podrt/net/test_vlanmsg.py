# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VLANs of ports in messages. tests/integration/net/test_vlans.py proves what they do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtmsg import ifinfo, link_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.steps import PortVlans
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.vlanmsg import (
    add_vlans,
    drop_vlans,
    filter_vlans,
    filters_vlans,
    vlans_in,
    wanted_vlans,
)

RANGES = st.tuples(st.integers(1, 4094), st.integers(1, 4094)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(RANGES, max_size=4))
def test_the_vlans_of_a_trunk_read_back(ranges: list[tuple[int, int]]) -> None:
    step = PortVlans("veth0", 0, tuple(ranges))
    assert vlans_in([add_vlans(5, step).body]) == {5: wanted_vlans(step)}


@given(st.integers(1, 4094))
def test_the_vlan_of_untagged_frames_reads_back(number: int) -> None:
    found = vlans_in([add_vlans(5, PortVlans("veth0", number)).body])
    assert found == {5: {number: 0x6}} == {5: wanted_vlans(PortVlans("veth0", number))}


def test_a_port_without_any_has_none() -> None:
    assert vlans_in([ifinfo(index=5)]) == {5: {}}
    assert vlans_in([drop_vlans(5, (1, 9), "veth0").body]) == {5: {1: 0, 9: 0}}


def test_a_bridge_says_whether_it_tells_vlans_apart() -> None:
    assert filters_vlans(filter_vlans(5, "cni0").body)
    assert not filters_vlans(ifinfo(index=5) + link_info("bridge", b""))
    assert not filters_vlans(ifinfo(index=5))
