# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Addresses and subnets."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import (
    Address,
    Subnet,
    parse_prefixed,
)


@given(st.ip_addresses())
def test_an_address_reads_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    found = Address.parse(str(address))
    assert Address.parse(str(found)) == found
    assert found.packed == address.packed


@given(st.ip_addresses(), st.integers(0, 128))
def test_a_subnet_is_that_of_the_standard_library(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int
) -> None:
    prefix = min(prefix, address.max_prefixlen)
    expected = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    found = Subnet.parse(f"{address}/{prefix}")
    assert found.base.packed == expected.network_address.packed
    assert found.last.packed == expected.broadcast_address.packed
    assert found.mask.packed == expected.netmask.packed
    assert found.holds(Address.parse(str(address)))


def test_a_subnet_holds_no_address_of_the_other_family() -> None:
    assert not Subnet.parse("0.0.0.0/0").holds(Address.parse("::1"))


def test_host_bits_are_kept_where_they_matter() -> None:
    assert parse_prefixed("10.0.0.5/24") == (Address.parse("10.0.0.5"), 24)


@pytest.mark.parametrize(
    "text", ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "10.0.0.0/", "x/8", ""]
)
def test_what_is_no_subnet_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^ipam\.subnet: "):
        Subnet.parse(text, "ipam.subnet")
