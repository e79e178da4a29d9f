# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The checksum of a directory does not depend on how it is computed, and costs no more than its files hold."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    blobs,
    checksum,
    commit,
    index,
    layers,
    locks,
    workspace,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.conftest import (
    is_layer_as_made,
)

pytestmark = pytest.mark.root


@pytest.fixture(name="reads")
def _reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of the files whose content is read."""
    found: list[int] = []
    whole = checksum._digest

    def digest(fd: int) -> bytes:
        found.append(os.fstat(fd).st_ino)
        return whole(fd)

    monkeypatch.setattr(checksum, "_digest", digest)
    return found


def linked(root: pathlib.Path, files: int, names: int) -> None:
    """Make files with several names each, which alternate in sorted order."""
    root.mkdir()
    for number in range(files):
        file = root / f"0-{number}"
        file.write_text(f"content {number}")
        for name in range(1, names):
            os.link(file, root / f"{name}-{number}")


@pytest.mark.finding("attack-F9")
def test_a_file_is_read_once_however_many_names_it_has(tmp_path, reads):
    linked(tmp_path / "root", 3, 50)
    checksum.checksum(str(tmp_path / "root"))
    assert len(reads) == 3


@pytest.mark.finding("attack-F9")
def test_what_is_remembered_is_bounded_and_changes_no_number(tmp_path, reads, monkeypatch):
    linked(tmp_path / "root", 5, 4)
    expected = checksum.checksum(str(tmp_path / "root"))
    for most in (0, 1, 4, 5):
        monkeypatch.setattr(checksum, "_MOST_REMEMBERED", most)
        reads.clear()
        assert checksum.checksum(str(tmp_path / "root")) == expected
        assert len(reads) == (5 if most == 5 else 20)


@pytest.mark.finding("attack-F9")
def test_an_archive_is_unpacked_summed_and_synced_while_nothing_is_locked(
    paths, make_aci, entry, reads, monkeypatch
):
    """The file has an attribute, so its digest is computed by reading it."""
    held: list[str] = []
    adding, lock_layer = locks.adding, layers.lock_layer
    monkeypatch.setattr(commit, "adding", lambda paths: held.append("store") or adding(paths))
    monkeypatch.setattr(layers, "lock_layer", lambda *args: held.append("layer") or lock_layer(*args))
    seen: list[tuple[str, list[str]]] = []
    seal, sync = layers.seal, workspace.Workspace.sync
    monkeypatch.setattr(layers, "seal", lambda *args: seen.append(("seal", held[:])) or seal(*args))
    monkeypatch.setattr(
        workspace.Workspace, "sync", lambda self: seen.append(("sync", held[:])) or sync(self)
    )
    file, content = entry("file", b"content")
    file.pax_headers = {"SCHILY.xattr.user.a": "b"}
    links = [entry(f"link{number}", b"") for number in range(20)]
    for info, _content in links:
        info.type, info.linkname = b"1", "file"
    data = make_aci({"name": "a"}, (file, content), *links)
    with workspace.Workspace(paths) as place:
        incoming = blobs.receive_archive(paths, place, iter([data]), "the archive")
        image = commit.commit(paths, incoming, (index.Remote("source", incoming.id),))
    assert seen[:2] == [("seal", []), ("sync", [])]  # and its tree is synced once it is in place
    assert held == ["store", "layer"]
    assert len(reads) == 1
    assert is_layer_as_made(paths, image.id)
