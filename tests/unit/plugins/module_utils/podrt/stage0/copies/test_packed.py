# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Files as members of an archive, and IDs of a pod's own users."""

from __future__ import annotations

import io
import os
import pathlib
import socket
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.subids import IdRange
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.copies.packed import Packing

USERS = IdRange(0x80000)


def packed(place: pathlib.Path, name: str, notes: list[str], users: IdRange | None = None) -> tarfile.TarFile:
    fd = os.open(place, os.O_PATH | os.O_NOFOLLOW)
    try:
        data = b"".join(Packing(users, notes.append).members(fd, "", name))
    finally:
        os.close(fd)
    return tarfile.open(fileobj=io.BytesIO(data + bytes(1024)))


def test_a_tree_in_the_order_of_its_names(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "f").write_text("content")
    os.link(tmp_path / "b" / "f", tmp_path / "c")
    os.symlink("/nowhere", tmp_path / "a")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        notes: list[str] = []
        archive = packed(tmp_path, "top", notes)
    assert archive.getnames() == ["top", "top/a", "top/b", "top/b/f", "top/c"]
    assert archive.getmember("top/c").linkname == "top/b/f"
    assert archive.extractfile("top/b/f").read() == b"content"  # type: ignore[union-attr]
    assert notes == ["top/s is a socket, and left out"]


def test_a_single_file_has_the_name_that_is_wanted(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_text("x")
    assert packed(tmp_path / "f", "other", []).getnames() == ["other"]


@pytest.mark.parametrize(
    ("owner", "expected"),
    [(0, 0), (5, 5), (0x80000, 0), (0x80000 + 7, 7), (0x8FFFF, 0xFFFF), (0x90000, 0x90000)],
)
def test_ids_are_those_in_the_pod(tmp_path: pathlib.Path, owner: int, expected: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    (tmp_path / "f").write_text("x")
    os.chown(tmp_path / "f", owner, owner)
    (member,) = packed(tmp_path / "f", "f", [], USERS).getmembers()
    assert (member.uid, member.gid) == (expected, expected)


@pytest.mark.parametrize(
    ("root", "revision"), [(0x80000, 2), (0x90000, 0)], ids=["the pod's", "that of another pod"]
)
def test_a_capability_counts_again_for_any_root(tmp_path: pathlib.Path, root: int, revision: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    (tmp_path / "f").write_text("x")
    value = bytes((1, 0, 0, 3)) + bytes((0, 4)) + bytes(14) + root.to_bytes(4, "little")
    os.setxattr(tmp_path / "f", "security.capability", value)
    (member,) = packed(tmp_path / "f", "f", [], USERS).getmembers()
    kept = member.pax_headers.get("SCHILY.xattr.security.capability", "")
    assert (len(kept), ord(kept[3]) if kept else 0) == ((20, 2) if revision else (0, 0))


@pytest.mark.usefixtures("no_descriptor_left")
def test_a_tree_that_is_too_deep_is_refused(tmp_path: pathlib.Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 140)
    deep.mkdir(parents=True)
    with pytest.raises(InvalidSpec, match="beneath more than 128 directories"):
        packed(tmp_path, "top", [])
