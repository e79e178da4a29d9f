# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that become archives again."""

from __future__ import annotations

import hashlib
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import repacked
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import layers, tar
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.workspace import Workspace
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.savedimages import (
    Member,
    tar_of,
)

OWN = {"uid": os.getuid(), "gid": os.getgid()}


def entered(paths: Paths, data: bytes) -> str:
    """Put a layer into the store; return its ID."""
    layer_id = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with Workspace(paths) as workspace:
        layers.commit(paths, workspace, layers.unpack_layer(workspace, layer_id, iter((data,))), layer_id)
    return layer_id


def again(paths: Paths, *members: Member) -> bytes:
    owned = [(name, {**what, **OWN} if isinstance(what, dict) else what) for name, what in members]
    return b"".join(repacked.archive_of(paths, entered(paths, tar_of(*owned))))


def names(data: bytes) -> list[str]:
    return [entry.name for entry in tar.TarReader(iter((data,)))]


@pytest.fixture(name="paths")
def _paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(data=str(tmp_path))


@pytest.mark.root
def test_the_order_is_that_of_names_and_not_of_the_archive(paths: Paths, tmp_path: pathlib.Path) -> None:
    one = again(
        paths, ("b", b"2"), ("a-", b""), ("a", None), ("a/x", b"1"), ("a/l", {"type": b"1", "linkname": "b"})
    )
    two = again(
        Paths(data=f"{tmp_path}/other"),
        *(("a", None), ("a/l", b"2"), ("a/x", b"1"), ("b", {"type": b"1", "linkname": "a/l"}), ("a-", b"")),
    )
    assert names(one) == ["./a/", "./a/l", "./a/x", "./a-", "./b"] == names(two)
    assert one == two


@pytest.mark.root
def test_an_archive_that_was_made_so_is_a_fixed_point(paths: Paths, tmp_path: pathlib.Path) -> None:
    once = again(
        paths,
        *(("d/e/f", b"x" * 600), (".wh.gone", b""), ("full/.wh..wh..opq", b""), ("s", "d/e")),
        *((".wh..wh..opq", b""), ("old", {"mtime": 1.5}), ("p", {"type": b"6"})),
    )
    assert names(once)[:4] == ["./.wh..wh..opq", "./d/e/f", "./full/.wh..wh..opq", "./.wh.gone"]
    other = Paths(data=f"{tmp_path}/other")
    assert b"".join(repacked.archive_of(other, entered(other, once))) == once


def test_a_layer_that_has_gone_is_named(paths: Paths) -> None:
    with pytest.raises(NotFound, match=r"the layer sha256:1+ is not in the store"):
        list(repacked.archive_of(paths, "sha256:" + "1" * 64))
