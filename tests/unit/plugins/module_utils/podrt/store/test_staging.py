# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of a file: verified as they come, in any order, kept until the file is whole or has been abandoned."""

from __future__ import annotations

import hashlib
import os
import pathlib
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, HostFailure
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, staging
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.staging import PIECE

DIGEST = "ab" * 32


@pytest.fixture(name="paths")
def _paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(data=str(tmp_path / "data"))


@pytest.fixture(name="arrived")
def _arrived(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "piece0"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_pieces_in_any_order_make_the_file(paths: Paths, arrived: pathlib.Path) -> None:
    whole = os.urandom(1 << 20) * 32 + b"end"
    assert staging.missing(paths, DIGEST, (0, PIECE, 2 * PIECE, len(whole))) == (0, 1, 2)
    for number, left in ((2, (0, 1)), (0, (1,)), (0, (1,)), (1, ())):
        data = whole[number * PIECE : (number + 1) * PIECE]
        arrived.write_bytes(data)
        staging.take(paths, DIGEST, number, number * PIECE, sha256(data), str(arrived))
        assert staging.missing(paths, DIGEST, (0, PIECE, 2 * PIECE, len(whole))) == left
    assert staging.digest_of(paths.staged_content(DIGEST)) == sha256(whole)
    assert os.stat(paths.staged_content(DIGEST)).st_mode & 0o777 == 0o640
    assert os.stat(paths.staging(DIGEST)).st_mode & 0o777 == 0o750
    staging.remove(paths, DIGEST)
    assert staging.missing(paths, DIGEST, (0, PIECE, 2 * PIECE, len(whole))) == (0, 1, 2)


def test_a_damaged_piece_does_not_count(paths: Paths, arrived: pathlib.Path) -> None:
    arrived.write_bytes(b"damaged")
    with pytest.raises(Corrupt, match="piece 0 of the file has arrived damaged"):
        staging.take(paths, DIGEST, 0, 0, sha256(b"whole"), str(arrived))
    assert staging.missing(paths, DIGEST, (0, 5)) == (0,)


def test_a_piece_is_a_file_of_a_bounded_size_and_no_link(paths: Paths, arrived: pathlib.Path) -> None:
    with pytest.raises(HostFailure, match="cannot keep a piece of the file"):
        staging.take(paths, DIGEST, 0, 0, sha256(b""), str(arrived))
    secret = arrived.with_name("secret")
    secret.write_bytes(b"s")
    arrived.symlink_to(secret)
    with pytest.raises(Corrupt):
        staging.take(paths, DIGEST, 0, 0, sha256(b"s"), str(arrived))
    arrived.unlink()
    with arrived.open("wb") as file:
        file.truncate(PIECE + 1)
    with pytest.raises(Corrupt, match="it is larger than"):
        staging.take(paths, DIGEST, 0, 0, sha256(bytes(PIECE + 1)), str(arrived))
    os.unlink(arrived)
    os.mkfifo(arrived)
    with pytest.raises(Corrupt):
        staging.take(paths, DIGEST, 0, 0, sha256(b""), str(arrived))
    assert staging.missing(paths, DIGEST, (0, 5)) == (0,)


@pytest.mark.root
def test_what_is_abandoned_goes_with_a_collection_or_the_next_file(
    paths: Paths, arrived: pathlib.Path
) -> None:
    arrived.write_bytes(b"x")
    old, young, third = DIGEST, "cd" * 32, "ef" * 32
    for digest in (old, young):
        staging.take(paths, digest, 0, 0, sha256(b"x"), str(arrived))
    then = time.time() - staging.ABANDONED_SECONDS - 60
    os.utime(paths.staging(old), (then, then))
    found = gc.unreferenced(paths, (), (), 0)
    assert [item.name for item in found.items] == [f"cas/staging/{old}"]
    assert gc.collect(paths, lambda: ((), ()), 0) == found
    assert os.listdir(paths.stagings) == [young]
    os.utime(paths.staging(young), (then, then))
    staging.take(paths, third, 0, 0, sha256(b"x"), str(arrived))
    assert os.listdir(paths.stagings) == [third]
    os.utime(paths.staging(third), (then, then))
    staging.keep(paths, third)
    assert staging.abandoned(paths) == []
