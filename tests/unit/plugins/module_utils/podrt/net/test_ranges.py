# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Choosing addresses."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import (
    AddressRange,
    Assigned,
    choose_address,
)


class Held:
    """Fake leases of a network."""

    def __init__(self, *taken: str) -> None:
        self.taken = taken

    def is_taken(self, address: Address) -> bool:
        return str(address) in self.taken

    def shown_holder(self, address: Address) -> str:
        return f'pod "of-{address}" has it' if self.is_taken(address) else ""


def span(subnet: str, **more: str) -> AddressRange:
    return AddressRange.from_fields(Fields({"subnet": subnet, **more}, "ipam"))


DEFAULT = span("172.16.28.0/24")


def choose(ranges: tuple[AddressRange, ...], held: Held, wanted: str = "") -> str:
    found = choose_address(ranges, held, Address.parse(wanted) if wanted else None, "net")
    return str(found.address)


@pytest.mark.behaviour("E13")
@pytest.mark.parametrize(
    ("ranges", "taken", "expected"),
    [
        ((DEFAULT,), (), "172.16.28.2"),
        ((DEFAULT,), ("172.16.28.2", "172.16.28.3", "172.16.28.5"), "172.16.28.4"),
        ((span("10.0.0.0/24", gateway="10.0.0.2"),), ("10.0.0.1",), "10.0.0.3"),
        ((span("10.0.0.0/24", rangeStart="10.0.0.9"),), (), "10.0.0.9"),
        ((span("10.0.0.0/30"), span("10.1.0.0/30")), ("10.0.0.2",), "10.1.0.2"),
        ((span("fd00::/64"),), (), "fd00::2"),
    ],
    ids=["first", "gap", "gateway", "start", "second range", "ipv6"],
)
def test_the_lowest_free_address_is_chosen(
    ranges: tuple[AddressRange, ...], taken: tuple[str, ...], expected: str
) -> None:
    assert choose(ranges, Held(*taken)) == expected


@pytest.mark.behaviour("E13")
def test_the_broadcast_address_is_never_chosen() -> None:
    with pytest.raises(Conflict, match="no IP addresses available in network: net"):
        choose((span("10.0.0.0/30"),), Held("10.0.0.2"))


def test_an_address_comes_with_its_prefix_and_gateway() -> None:
    found = choose_address([DEFAULT], Held(), None, "net")
    assert found == Assigned(Address.parse("172.16.28.2"), 24, Address.parse("172.16.28.1"))


@pytest.mark.behaviour("E14")
def test_a_wanted_address_is_chosen() -> None:
    assert choose((DEFAULT,), Held("172.16.28.2"), "172.16.28.123") == "172.16.28.123"


@pytest.mark.behaviour("E14")
@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("10.0.0.1", InvalidSpec, "10.0.0.1 not in network: 172.16.28.0/24"),
        (
            "172.16.28.0",
            InvalidSpec,
            "172.16.28.0 is no address of a pod: it means 172.16.28.0/24 itself, or all of it",
        ),
        (
            "172.16.28.255",
            InvalidSpec,
            "172.16.28.255 is no address of a pod: it means 172.16.28.0/24 itself, or all of it",
        ),
        ("172.16.28.1", InvalidSpec, "requested IP must differ gateway IP"),
        (
            "172.16.28.9",
            Conflict,
            'requested IP address "172.16.28.9" is not available in network: net: pod "of-172.16.28.9" has it',
        ),
    ],
    ids=["outside", "subnet", "broadcast", "gateway", "taken"],
)
def test_a_wanted_address_that_cannot_be_is_refused(
    wanted: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        choose((DEFAULT,), Held("172.16.28.9"), wanted)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "members",
    [
        {"subnet": "10.0.0.0/31"},
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"},
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"},
        {"subnet": "10.0.0.0/24", "gateway": "fd00::1"},
        {},
    ],
    ids=str,
)
def test_a_range_that_makes_no_sense_is_refused(members: dict[str, str]) -> None:
    with pytest.raises(InvalidSpec):
        AddressRange.from_fields(Fields(members, "ipam"))
