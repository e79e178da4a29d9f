# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image a file holds is known by its record, and without one by what is in it."""

from __future__ import annotations

import os
import pathlib
import shutil

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    HostFailure,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import exported
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import make_aci
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    add_docker,
    load,
)

pytestmark = pytest.mark.root
RECORD = "user.stagecraft.pods.image"


@pytest.fixture(name="images", params=["aci", "docker"])
def _images(request, paths, make_tar, entry):
    """Two images of a kind that differ in their content alone."""
    if request.param == "aci":
        return load(paths, make_aci(content=b"1")), load(paths, make_aci(content=b"2"))
    common = make_tar(entry("common", b"c" * 70000))
    own = {name: make_tar(entry(name, name.encode())) for name in ("one", "other")}
    return tuple(add_docker(paths, common, data, name=f"example.com/{name}") for name, data in own.items())


def test_a_file_holds_the_image_that_was_written(paths, images, tmp_path):
    one, other = images
    path = str(tmp_path / "out.aci")
    assert (exported.held(path), exported.holds(paths, one, path)) == (None, False)
    exported.write(paths, one, path)
    assert exported.held(path) == one.id
    assert (exported.holds(paths, one, path), exported.holds(paths, other, path)) == (True, False)
    exported.write(paths, other, path)
    assert (exported.holds(paths, one, path), exported.holds(paths, other, path)) == (False, True)
    assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")] == []


def test_a_right_record_spares_reading(paths, images, tmp_path, monkeypatch):
    path = str(tmp_path / "out.aci")
    exported.write(paths, images[0], path)
    monkeypatch.setattr(os, "pread", lambda *_all: pytest.fail("it was read"))
    assert exported.holds(paths, images[0], path)


def test_without_a_record_the_content_decides(paths, images, tmp_path):
    one, other = images
    path = str(tmp_path / "out.aci")
    exported.write(paths, one, path)
    os.removexattr(path, RECORD)
    assert exported.held(path) == ""
    assert (exported.holds(paths, one, path), exported.holds(paths, other, path)) == (True, False)


@pytest.mark.parametrize("how", ["a bit", "longer", "shorter", "empty", "touched"])
def test_a_file_that_was_changed_is_read(paths, images, tmp_path, how):
    path = tmp_path / "out.aci"
    exported.write(paths, images[0], str(path))
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "a bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "longer": data + b"\0",
        "shorter": data[:-1],
        "empty": b"",
        "touched": data,
    }[how]
    path.write_bytes(changed)
    assert os.getxattr(path, RECORD)  # it stays, and is not right
    os.utime(path, ns=(0, 0))
    assert exported.held(str(path)) == ""
    assert exported.holds(paths, images[0], str(path)) == (how == "touched")


def test_a_record_that_was_copied_to_another_file_is_not_right(paths, images, tmp_path):
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    exported.write(paths, images[0], one)
    exported.write(paths, images[1], other)
    os.utime(other, ns=(0, 0))
    os.setxattr(other, RECORD, os.getxattr(one, RECORD))
    assert not exported.holds(paths, images[0], other)
    shutil.copy2(one, other)  # with the attribute and the time
    assert exported.held(other) == images[0].id


def test_a_new_file_is_private_and_a_replaced_one_hands_on_owner_and_mode(paths, images, tmp_path):
    path = tmp_path / "out.aci"
    exported.write(paths, images[0], str(path))
    assert path.stat().st_mode & 0o7777 == 0o600
    path.chmod(0o644)
    os.chown(path, 11, 12)
    exported.write(paths, images[1], str(path))
    found = path.stat()
    assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o644, 11, 12)


def test_a_link_is_replaced_and_not_followed(paths, images, tmp_path):
    target, path = tmp_path / "precious", tmp_path / "out.aci"
    target.write_text("precious")
    path.symlink_to(target)
    assert (exported.held(str(path)), exported.holds(paths, images[0], str(path))) == ("", False)
    exported.write(paths, images[0], str(path))
    assert not path.is_symlink() and path.stat().st_mode & 0o7777 == 0o600
    assert target.read_text() == "precious"


def test_directories_and_other_things_are_refused(paths, images, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, why in ((tmp_path, "is a directory"), (tmp_path / "pipe", "is not a regular file")):
        with pytest.raises(InvalidSpec, match=f"dest: .* {why}"):
            exported.write(paths, images[0], str(path))
    exported.check_place(str(tmp_path / "missing/file"))


def test_a_failed_export_leaves_the_old_file(paths, images, tmp_path):
    path = tmp_path / "out.aci"
    path.write_text("old")
    shutil.rmtree(paths.data)
    pathlib.Path(paths.data).mkdir()
    with pytest.raises((NotFound, HostFailure)):
        exported.write(paths, images[0], str(path))
    assert path.read_text() == "old"
    assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")] == []
