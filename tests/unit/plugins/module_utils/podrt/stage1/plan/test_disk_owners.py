# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Owners on disk of what is copied into volumes, also those in capabilities and access lists."""

from __future__ import annotations

import os
import struct

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.plan.disk_owners import DiskOwners

FIRST = 524288
HOSTS = DiskOwners()
EMPTY = DiskOwners(first=FIRST)
HIDDEN = DiskOwners(((0, FIRST, 65536),), FIRST)
# A volume that users of the host can reach: its files of root are no user's of the pod.
REACHABLE = DiskOwners(((1, FIRST + 1, 65535),), FIRST)
CAPABILITY = "security.capability"
SETS = struct.pack("<IIII", 1 << 10, 0, 0, 0)
V2 = struct.pack("<I", 0x02000001) + SETS


def v3(root: int) -> bytes:
    return struct.pack("<I", 0x03000001) + SETS + struct.pack("<I", root)


@pytest.mark.parametrize(
    ("owners", "seen", "on_disk"),
    [
        (HOSTS, 7, 7),
        (EMPTY, FIRST + 7, FIRST + 7),
        (HIDDEN, FIRST, 0),
        (HIDDEN, FIRST + 7, 7),
        (HIDDEN, 7, None),
        (REACHABLE, FIRST + 7, 7),
        (REACHABLE, FIRST, None),
    ],
)
def test_an_owner_has_another_number_on_disk(owners: DiskOwners, seen: int, on_disk: int | None) -> None:
    assert owners.on_disk(seen) == on_disk
    wanted = 65534 if on_disk is None else on_disk
    assert owners.of(seen, seen) == (wanted, wanted)


@pytest.mark.parametrize(("owner", "mode"), [(FIRST + 7, 0o6755), (FIRST, 0o755)])
def test_no_program_has_the_rights_of_an_owner_that_the_volume_does_not_have(owner: int, mode: int) -> None:
    found = os.stat_result((0o106755, 1, 1, 1, owner, owner, 0, 0, 0, 0))
    assert REACHABLE.mode(found) == mode


@pytest.mark.parametrize(
    ("owners", "seen", "on_disk"),
    [
        (HOSTS, V2, V2),
        (HOSTS, v3(7), v3(7)),
        (EMPTY, V2, v3(FIRST)),
        (EMPTY, v3(FIRST), v3(FIRST)),
        (HIDDEN, V2, V2),
        (HIDDEN, v3(FIRST), V2),
        (HIDDEN, v3(7), b""),
        (REACHABLE, V2, b""),
        (REACHABLE, v3(FIRST), b""),
        (HIDDEN, b"short", b""),
    ],
)
def test_a_capability_is_one_of_the_root_that_the_volume_has(
    owners: DiskOwners, seen: bytes, on_disk: bytes
) -> None:
    assert owners.attribute(CAPABILITY, seen) == on_disk


def test_the_users_in_an_access_list_are_those_on_disk() -> None:
    def acl(user: int, group: int) -> bytes:
        entries = ((0x01, 6, 2**32 - 1), (0x02, 4, user), (0x08, 4, group), (0x20, 0, 2**32 - 1))
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)

    name = "system.posix_acl_access"
    assert HIDDEN.attribute(name, acl(FIRST + 7, FIRST)) == acl(7, 0)
    assert REACHABLE.attribute(name, acl(FIRST + 7, FIRST)) == acl(7, 65534)
    assert HOSTS.attribute(name, acl(7, 8)) == acl(7, 8)
    assert HIDDEN.attribute("user.note", b"x") == b"x"
