# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Files of the controller make the image that the same files of the host make."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.built import build
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.recipe import Part
from ansible_collections.stagecraft.pods.plugins.plugin_utils.packing import pack
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.build.buildlab import (
    archive,
    entries,
    part,
    recipe,
)


def packed(place: pathlib.Path, *parts: Part) -> tuple[str, tuple[Part, ...]]:
    """The archive of the sources of parts, and the parts as those of the controller."""
    sources = [(at, each.source, each.exclude) for at, each in enumerate(parts) if each.source]
    pack(sources, str(place), contextlib.nullcontext)
    return str(place), tuple(each.replace(packed=bool(each.source)) for each in parts)


def test_the_image_is_the_same(tmp_path: pathlib.Path) -> None:
    top = tmp_path / "tree"
    (top / "d" / "empty").mkdir(parents=True)
    (top / "d/file").write_bytes(b"x" * 100_000)
    os.link(top / "d/file", top / "d/same")
    (top / "nothing").write_bytes(b"")
    os.link(top / "nothing", top / "nothing-too")
    (top / os.fsdecode(b"raw-\xff")).write_text("r")
    (top / "link").symlink_to("d/file")
    (top / "left.out").write_text("")
    os.setxattr(top / "d/file", "user.x", b"\0\xfe")
    os.utime(top / "link", (1, 2), follow_symlinks=False)
    parts = (
        part("", source=str(top), exclude=("*.out",)),
        part("etc", text=b"t"),
        part("copy", source=str(top / "d/file"), names_file=False),
    )
    place, sent = packed(tmp_path / "files.tar", *parts)
    for keeps in ((), ("owner", "mtime", "xattrs")):
        own = recipe(*parts, keeps=keeps)
        of_controller = recipe(*sent, archive=place, keeps=keeps)
        assert archive(of_controller) == archive(own)
        assert {"d/same", "nothing-too", "link"} <= set(entries(of_controller))


def test_what_no_image_has_is_refused(tmp_path: pathlib.Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as made:
        entry = tarfile.TarInfo("0/pipe")
        entry.type = tarfile.FIFOTYPE
        made.addfile(entry)
    with pytest.raises(InvalidSpec, match="pipe is no file, directory or link"):
        build(recipe(part("", source="x", packed=True), archive=str(tmp_path / "a.tar")))


@pytest.mark.parametrize("damage", ["cut", "missing", "odd"])
def test_an_archive_that_did_not_arrive_is_an_error(tmp_path: pathlib.Path, damage: str) -> None:
    (tmp_path / "f").write_bytes(b"x" * 3000)
    place, sent = packed(tmp_path / "files.tar", part("f", source=str(tmp_path / "f")))
    data = pathlib.Path(place).read_bytes()
    pathlib.Path(place).write_bytes(b"no archive" if damage == "odd" else data[:700])
    if damage == "missing":
        os.unlink(place)
    with pytest.raises(HostFailure, match="cannot read the files of the controller"):
        build(recipe(*sent, archive=place))
