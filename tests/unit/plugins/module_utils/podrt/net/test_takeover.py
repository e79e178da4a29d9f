# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Leases that 0.1.0 kept in its data directory become the host's."""

from __future__ import annotations

import contextlib
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.locks import FileLock
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import takeover
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import AddressRange
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.reservations import (
    LeaseRequest,
    leases_of,
    release,
    reserve,
)

OLD, OTHER = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c9"


@pytest.fixture
def paths(tmp_path: pathlib.Path) -> Paths:
    os.mkdir(tmp_path / "data")
    return Paths(data=str(tmp_path / "data"), run=str(tmp_path / "run"), leases=str(tmp_path / "cni"))


def lease(directory: str, address: str, uuid: str) -> None:
    os.makedirs(directory, exist_ok=True)
    pathlib.Path(directory, address).write_bytes(f"{uuid}\r\neth0".encode())


def test_leases_of_an_older_release_are_moved_and_its_pods_find_them_where_they_were(paths: Paths) -> None:
    lease(f"{paths.data}/net/lan", "10.9.8.2", OLD)
    lease(f"{paths.data}/net/lan", "fd00::2", OLD)
    lease(f"{paths.data}/net/dmz", "10.9.9.2", OTHER)
    for leaf in ("lan/lock", "lan/lock.new"):
        pathlib.Path(paths.data, "net", leaf).touch()
    assert set(takeover.share_leases(paths)) == {OLD, OTHER}
    assert set(leases_of(f"{paths.leases}/lan", OLD)) == {"10.9.8.2", "fd00::2"}
    # The steps of 0.1.0 on its own path.
    assert leases_of(f"{paths.data}/net/dmz", OTHER) == ("10.9.9.2",)
    assert release(f"{paths.data}/net/dmz", OTHER) == ("10.9.9.2",)
    assert leases_of(f"{paths.leases}/dmz", OTHER) == ()
    assert takeover.share_leases(paths) == ()


def test_a_start_by_an_older_release_locks_out_one_of_this(paths: Paths) -> None:
    takeover.share_leases(paths)
    os.makedirs(f"{paths.leases}/lan")
    second = FileLock(f"{paths.leases}/lan/lock", timeout=0.1)
    with FileLock(f"{paths.data}/net/lan/lock"), pytest.raises(Conflict, match="cannot lock"), second:
        pass


def test_an_address_that_was_taken_over_is_not_given_out_again(paths: Paths) -> None:
    lease(f"{paths.data}/net/lan", "10.9.8.2", OLD)
    takeover.share_leases(paths)
    span = AddressRange.from_fields(Fields({"subnet": "10.9.8.0/29"}, ""))
    found = reserve(f"{paths.leases}/lan", ((span,),), LeaseRequest(OTHER, "eth0", "lan"))
    assert str(found.addresses[0].address) == "10.9.8.3"


def test_a_lease_that_the_host_has_given_to_another_pod_stays_that_ones(paths: Paths) -> None:
    lease(f"{paths.data}/net/lan", "10.9.8.2", OLD)
    lease(f"{paths.leases}/lan", "10.9.8.2", OTHER)
    takeover.share_leases(paths)
    assert leases_of(f"{paths.leases}/lan", OTHER) == ("10.9.8.2",)


@pytest.mark.parametrize("at", range(1, 12))
def test_a_takeover_can_be_cut_off_anywhere_and_goes_on(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    for number in range(2, 5):
        lease(f"{paths.data}/net/lan", f"10.9.8.{number}", OLD)
    count = 0

    class Cut(Exception):
        pass

    def counted(name: str):  # type: ignore[no-untyped-def]
        real = getattr(os, name)

        def call(*args: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count == at:
                raise Cut
            return real(*args, **more)

        return call

    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "rmdir", "symlink"):
            patched.setattr(os, name, counted(name))
        with contextlib.suppress(Cut):
            takeover.share_leases(paths)
    takeover.share_leases(paths)
    assert len(leases_of(f"{paths.leases}/lan", OLD)) == 3
    assert os.readlink(f"{paths.data}/net") == paths.leases


def test_another_configured_place_is_used_from_then_on(paths: Paths, tmp_path: pathlib.Path) -> None:
    takeover.share_leases(paths)
    moved = paths.replace(leases=str(tmp_path / "elsewhere"))
    takeover.share_leases(moved)
    assert os.readlink(f"{paths.data}/net") == moved.leases
