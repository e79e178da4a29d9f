# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A pod that is moved asks for its addresses, and gets those that fit and that no other pod has."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.dirs import PodDir
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address, Subnet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.kept import read_kept, write_kept
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import AddressRange
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.reservations import (
    LeaseRequest,
    reserve,
)

RECORD = {"netName": "br", "ifName": "eth0", "ip": "10.78.0.9", "mask": "255.255.255.0"}
RANGES = (
    (AddressRange(*(Subnet.parse("10.78.0.0/24"), *map(Address.parse, ("10.78.0.4", "10.78.0.9", "10.78.0.1")))),),
    (AddressRange(*(Subnet.parse("fd00:78::/64"), *map(Address.parse, ("fd00:78::1", "fd00:78::ff", "fd00:78::1")))),),
)  # fmt: skip


def pod(place: pathlib.Path, name: str) -> PodDir:
    (place / name).mkdir()
    return PodDir(str(place / name))


def test_the_record_of_one_pod_is_what_another_asks_for(tmp_path: pathlib.Path) -> None:
    old, new = pod(tmp_path, "old"), pod(tmp_path, "new")
    both = {**RECORD, "ip6": ["fd00:78::9/64"], "addresses": ["10.78.0.9", "fd00:78::9"]}
    pathlib.Path(old.net_info).write_text(json.dumps([both]))
    write_kept(old, new)
    assert read_kept(new) == (("br", Address.parse("10.78.0.9")), ("br", Address.parse("fd00:78::9")))


@pytest.mark.parametrize("record", [None, "{", "[]", "[{}]"])
def test_without_a_record_nothing_is_asked_for(tmp_path: pathlib.Path, record: str | None) -> None:
    old, new = pod(tmp_path, "old"), pod(tmp_path, "new")
    if record is not None:
        pathlib.Path(old.net_info).write_text(record)
    write_kept(old, new)
    assert read_kept(new) == ()


@pytest.mark.parametrize("text", ["", "br\n", "br later\n", "\0", " \n\n"])
def test_what_is_not_an_address_does_not_count(tmp_path: pathlib.Path, text: str) -> None:
    damaged = pod(tmp_path, "damaged")
    pathlib.Path(damaged.net_kept).write_text(text)
    assert read_kept(damaged) == ()


@pytest.mark.parametrize(
    ("kept", "leased", "given"),
    [
        (("10.78.0.9", "fd00:78::9"), (), ("10.78.0.9", "fd00:78::9")),
        (("fd00:78::9",), (), ("10.78.0.4", "fd00:78::9")),
        (("10.78.0.9",), ("10.78.0.9",), ("10.78.0.4", "fd00:78::2")),
        (("10.78.0.3", "10.79.0.9"), (), ("10.78.0.4", "fd00:78::2")),
        (("fd00:78::1",), (), ("10.78.0.4", "fd00:78::2")),
    ],
    ids=["both", "one", "taken", "outside", "gateway"],
)
@pytest.mark.parametrize("alive", [True, False])
def test_an_address_is_kept_where_it_fits_and_is_free(
    tmp_path: pathlib.Path,
    kept: tuple[str, ...],
    leased: tuple[str, ...],
    given: tuple[str, ...],
    alive: bool,
) -> None:
    for address in leased:
        reserve(str(tmp_path), RANGES[:1], LeaseRequest("other", "eth0", "br", (Address.parse(address),)))
    request = LeaseRequest("mine", "eth0", "br", kept=tuple(map(Address.parse, kept)))
    lease = reserve(str(tmp_path), RANGES, request, lambda _uuid: alive)
    if leased and not alive:
        assert (str(lease.addresses[0].address), lease.reclaimed) == (leased[0], ("other",))
    else:
        assert tuple(str(found.address) for found in lease.addresses) == given


def test_an_address_that_is_asked_for_goes_first(tmp_path: pathlib.Path) -> None:
    request = LeaseRequest("mine", "eth0", "br", (Address.parse("10.78.0.5"),), (Address.parse("10.78.0.9"),))
    lease = reserve(str(tmp_path), RANGES[:1], request)
    assert str(lease.addresses[0].address) == "10.78.0.5"
