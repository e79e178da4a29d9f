# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Leases on disk."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import AddressRange
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.reservations import (
    LeaseRequest,
    leases_of,
    release,
    reserve,
)

V4 = (AddressRange.from_fields(Fields({"subnet": "10.0.0.0/29"}, "")),)
V6 = (AddressRange.from_fields(Fields({"subnet": "fd00::/64"}, "")),)


def take(directory: pathlib.Path, uuid: str, wanted: str = "") -> str:
    request = LeaseRequest(uuid, "eth0", "n", (Address.parse(wanted),) if wanted else ())
    return str(reserve(str(directory), [V4], request).addresses[0].address)


@pytest.mark.behaviour("E12")
def test_a_lease_is_a_file_as_host_local_writes_it(tmp_path: pathlib.Path) -> None:
    assert take(tmp_path, "uuid-1") == "10.0.0.2"
    assert (tmp_path / "10.0.0.2").read_bytes() == b"uuid-1\r\neth0"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["10.0.0.2", "lock"]


@pytest.mark.behaviour("E12")
def test_leases_of_other_plugins_are_respected(tmp_path: pathlib.Path) -> None:
    (tmp_path / "10.0.0.2").write_text("another-engine")
    (tmp_path / "last_reserved_ip.0").write_text("10.0.0.2")
    assert take(tmp_path, "uuid-1") == "10.0.0.3"
    assert leases_of(str(tmp_path), "another-engine") == ("10.0.0.2",)


def test_an_empty_lease_is_what_a_crash_left(tmp_path: pathlib.Path) -> None:
    (tmp_path / "10.0.0.2").write_text("")
    assert take(tmp_path, "uuid-1") == "10.0.0.2"


@pytest.mark.behaviour("E15")
def test_release_gives_back_what_the_pod_has_and_no_more(tmp_path: pathlib.Path) -> None:
    take(tmp_path, "uuid-1")
    take(tmp_path, "uuid-2")
    take(tmp_path, "uuid-1", "10.0.0.5")
    assert release(str(tmp_path), "uuid-1") == ("10.0.0.2", "10.0.0.5")
    assert release(str(tmp_path), "uuid-1") == ()
    assert leases_of(str(tmp_path), "uuid-2") == ("10.0.0.3",)
    assert take(tmp_path, "uuid-3") == "10.0.0.2"


def test_release_of_an_unknown_network_is_nothing(tmp_path: pathlib.Path) -> None:
    assert release(str(tmp_path / "nowhere"), "uuid-1") == ()
    assert not (tmp_path / "nowhere").exists()


def test_each_range_set_gives_an_address(tmp_path: pathlib.Path) -> None:
    request = LeaseRequest("uuid-1", "eth0", "n", (Address.parse("10.0.0.4"),))
    lease = reserve(str(tmp_path), [V4, V6], request)
    assert [str(found.address) for found in lease.addresses] == ["10.0.0.4", "fd00::2"]
    assert release(str(tmp_path), "uuid-1") == ("10.0.0.4", "fd00::2")
    both = request.replace(wanted=(Address.parse("fd00::7"), Address.parse("10.0.0.5")))
    lease = reserve(str(tmp_path), [V4, V6], both)
    assert [str(found.address) for found in lease.addresses] == ["10.0.0.5", "fd00::7"]


def test_a_dead_lease_is_reclaimed_only_when_told_and_needed(tmp_path: pathlib.Path) -> None:
    for number in range(5):
        take(tmp_path, f"uuid-{number}")
    request = LeaseRequest("new", "eth0", "n")
    with pytest.raises(Conflict, match="no IP addresses available"):
        reserve(str(tmp_path), [V4], request)
    with pytest.raises(Conflict, match="no IP addresses available"):
        reserve(str(tmp_path), [V4], request, is_live=lambda _uuid: True)
    lease = reserve(str(tmp_path), [V4], request, is_live=lambda uuid: uuid != "uuid-3")
    assert (str(lease.addresses[0].address), lease.reclaimed) == ("10.0.0.5", ("uuid-3",))
    release(str(tmp_path), "uuid-1")
    lease = reserve(str(tmp_path), [V4], request, is_live=lambda _uuid: False)
    assert (str(lease.addresses[0].address), lease.reclaimed) == ("10.0.0.3", ())


@pytest.mark.behaviour("E14")
@pytest.mark.parametrize(
    ("content", "who"), [("uuid-1\r\neth0", "<uuid-1> has it"), (None, "{path} is not a lease")]
)
def test_who_has_an_address_that_is_asked_for_is_told(
    tmp_path: pathlib.Path, content: str | None, who: str
) -> None:
    path = tmp_path / "10.0.0.5"
    path.mkdir() if content is None else path.write_text(content)
    request = LeaseRequest("new", "eth0", "n", (Address.parse("10.0.0.5"),))
    said = 'requested IP address "10.0.0.5" is not available in network: n: ' + who.format(path=path)
    for is_live in (None, lambda _holder: True):
        with pytest.raises(Conflict) as caught:
            reserve(str(tmp_path), [V4], request, is_live, lambda holder: f"<{holder}>")
        assert (caught.value.message, caught.value.hint) == (said, "ask for another one, or for none")
