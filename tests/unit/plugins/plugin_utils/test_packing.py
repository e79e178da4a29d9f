# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What the controller sends of the files of an image; that the host makes the same of it is in test_packed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tarfile
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.plugin_utils.packing import CannotPack, pack, why_unpacked
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.host.test_syscalls import (
    in_child,
    privately,
)


def names(path: pathlib.Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def test_each_source_has_its_number_and_nothing_that_is_excluded(tmp_path: pathlib.Path) -> None:
    (tmp_path / "site/cache/deep").mkdir(parents=True)
    for name in ("site/b", "site/a", "site/a.tmp", "site/cache/deep/x", "file"):
        (tmp_path / name).write_text(name)
    sources = [(0, str(tmp_path / "site"), ["cache", "*.tmp"]), (3, str(tmp_path / "file"), [])]
    pack(sources, str(tmp_path / "files.tar"), contextlib.nullcontext)
    assert names(tmp_path / "files.tar") == ["0", "0/a", "0/b", "3"]


def test_what_is_encrypted_is_sent_in_clear(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("$ANSIBLE_VAULT;...")
    (tmp_path / "clear").write_text("in clear")
    given: list[str] = []

    @contextlib.contextmanager
    def decrypted(path: str) -> Iterator[str]:
        given.append(path)
        yield str(tmp_path / "clear")

    pack([(0, str(tmp_path / "secret"), [])], str(tmp_path / "files.tar"), decrypted)
    with tarfile.open(tmp_path / "files.tar") as archive:
        content = archive.extractfile("0")
        assert content is not None and content.read() == b"in clear"
    assert given == [str(tmp_path / "secret")]


def test_what_cannot_be_sent_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "d/pipe")
    with pytest.raises(CannotPack, match="d/pipe is no file, directory or link") as err:
        pack([(5, str(tmp_path / "d"), [])], str(tmp_path / "files.tar"), contextlib.nullcontext)
    assert err.value.number == 5
    with pytest.raises(FileNotFoundError):
        pack([(0, str(tmp_path / "absent"), [])], str(tmp_path / "files.tar"), contextlib.nullcontext)


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "f"
    path.write_text("before")

    @contextlib.contextmanager
    def changing(place: str) -> Iterator[str]:
        pathlib.Path(place).write_text("during")
        yield place

    with pytest.raises(CannotPack, match="has changed while it was read"):
        pack([(0, str(path), [])], str(tmp_path / "files.tar"), changing)


def test_a_directory_that_becomes_a_link_leads_nowhere(tmp_path: pathlib.Path) -> None:
    """Another user who may write there has no file of the controller's user put into an image."""
    for name in ("site/a", "site/d/f", "private/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    @contextlib.contextmanager
    def meanwhile(path: str) -> Iterator[str]:
        if path.endswith("/a"):
            (tmp_path / "site/d").rename(tmp_path / "away")
            (tmp_path / "site/d").symlink_to(tmp_path / "private")
        yield path

    pack([(0, str(tmp_path / "site"), [])], str(tmp_path / "files.tar"), meanwhile)
    assert names(tmp_path / "files.tar") == ["0", "0/a", "0/d"]


@pytest.mark.parametrize("back", [False, True], ids=["swapped", "swapped and back"])
def test_a_directory_that_is_swapped_before_a_file_is_read(tmp_path: pathlib.Path, back: bool) -> None:
    for name in ("site/d/a", "site/d/b", "private/a", "private/b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    @contextlib.contextmanager
    def meanwhile(path: str) -> Iterator[str]:
        (tmp_path / "site/d").rename(tmp_path / "away")
        (tmp_path / "site/d").symlink_to(tmp_path / "private")
        yield path
        if back:
            (tmp_path / "site/d").unlink()
            (tmp_path / "away").rename(tmp_path / "site/d")

    with contextlib.nullcontext() if back else pytest.raises(CannotPack, match="site has changed while"):
        pack([(0, str(tmp_path / "site"), [])], str(tmp_path / "files.tar"), meanwhile)
    assert b"private/" not in (tmp_path / "files.tar").read_bytes()


@pytest.mark.root
def test_a_full_disk_of_the_controller_is_no_file_that_cannot_be_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1 << 20))
    (tmp_path / "disk").mkdir()

    def pack_there() -> None:
        privately()
        syscalls.mount("small", str(tmp_path / "disk"), "tmpfs", 0, "size=64k")
        sources = [(0, str(tmp_path / "large"), [])]
        with pytest.raises(OSError, match="No space left") as full:
            pack(sources, str(tmp_path / "disk/files.tar"), contextlib.nullcontext)
        assert why_unpacked(full.value, f"{tmp_path}/disk") == (
            f"files: cannot pack them in {tmp_path}/disk of the controller: no space left on device "
            "(make room on that file system)"
        )

    in_child(pack_there)


def test_a_file_that_cannot_be_read_is_told_with_its_path(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError) as absent:
        pack([(0, str(tmp_path / "absent"), [])], str(tmp_path / "files.tar"), contextlib.nullcontext)
    said = f"files: cannot read {tmp_path}/absent: no such file or directory"
    assert why_unpacked(absent.value, str(tmp_path)) == said
