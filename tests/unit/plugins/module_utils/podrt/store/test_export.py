# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images as archives again, and what is found when one bit of a stored one differs."""

from __future__ import annotations

import os
import pathlib
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import LAYERS_ANNOTATION
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    export,
    layers,
    trees,
    verification,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    add_docker,
    load,
    names,
)

pytestmark = [pytest.mark.root, pytest.mark.behaviour("A57")]


def exported(paths, image, path: pathlib.Path) -> pathlib.Path:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    export.write_archive(paths, image, fd)
    os.close(fd)
    return path


def test_a_docker_image_becomes_one_root_that_can_be_fetched_again(paths, make_tar, entry, tmp_path):
    low = make_tar(
        entry("kept", b"low", mode=0o4755, uid=3, gid=4, mtime=7),
        entry("gone", b""),
        entry("twin", type=tarfile.LNKTYPE, linkname="kept"),
    )
    high = make_tar(entry(".wh.gone", b""), entry("high", b"high"))
    image = add_docker(paths, low, high)
    out = exported(paths, image, tmp_path / "out.aci")
    again = load(paths, out.read_bytes())
    assert again.manifest.name == image.manifest.name
    assert LAYERS_ANNOTATION not in dict(again.manifest.annotations.pairs)
    assert again.layers == (again.id,)
    root = tmp_path / "root"
    root.mkdir()
    export.extract(paths, again, str(root))
    assert names(root) == ["high", "kept", "twin"]
    status = (root / "kept").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime) == (0o4755, 3, 4, 7)
    assert status.st_ino == (root / "twin").stat().st_ino


def test_the_same_image_is_the_same_archive(paths, make_tar, entry, tmp_path):
    image = add_docker(paths, make_tar(entry("b", b"1", mtime=5), entry("a", b"2", mtime=5)))
    first = exported(paths, image, tmp_path / "first").read_bytes()
    assert exported(paths, image, tmp_path / "second").read_bytes() == first


def test_extended_attributes_are_kept(paths, make_tar, entry, tmp_path):
    value = "\udcff\udcfe and more"
    pax = {"SCHILY.xattr.user.note": value}
    data = make_tar(entry("f", b"1", pax_headers=pax), format=tarfile.PAX_FORMAT)
    image = add_docker(paths, data)
    again = load(paths, exported(paths, image, tmp_path / "out").read_bytes())
    root = tmp_path / "root"
    root.mkdir()
    export.extract(paths, again, str(root))
    assert os.getxattr(root / "f", "user.note") == value.encode("utf-8", "surrogateescape")


def test_a_layer_that_only_its_registry_has_is_missed(paths, make_tar, entry, tmp_path):
    image = add_docker(paths, make_tar(entry("f", b"1")))
    layers.remove_layer(paths, layers.layer_name(image.layers[0]))
    with pytest.raises(NotFound, match="is not in the store"):
        exported(paths, image, tmp_path / "out")


@pytest.mark.behaviour("A58")
def test_each_damage_of_a_tree_is_named(paths, make_tar, entry):
    image = add_docker(paths, make_tar(entry("low", b"low")), make_tar(entry("high", b"high")))
    tree = trees.render(paths, image).tree
    assert not verification.find_damage(paths, tree)
    low = pathlib.Path(f"{paths.trees}/{layers.layer_root(image.layers[-1])}/low")
    status = low.stat()
    low.write_bytes(b"lov")
    os.utime(low, ns=(status.st_atime_ns, status.st_mtime_ns))
    damage = verification.find_damage(paths, tree)
    assert damage == verification.Damage(False, (image.layers[-1],))
    assert str(damage) == f"layer {image.layers[-1]} differs from what was unpacked"
    pathlib.Path(paths.tree(tree).hash).write_text("other")
    assert verification.find_damage(paths, tree) == verification.Damage(True, (image.layers[-1],))


@pytest.mark.behaviour("A58")
def test_a_flipped_bit_of_an_archive_is_found(paths, make_aci, entry):
    image = load(paths, make_aci({"name": "a"}, entry("f", b"1")))
    verification.check_archive(paths, image.id)
    blob = pathlib.Path(paths.blob(image.id))
    data = bytearray(blob.read_bytes())
    data[600] ^= 1
    blob.write_bytes(data)
    with pytest.raises(Corrupt, match="is damaged"):
        verification.check_archive(paths, image.id)
    blob.unlink()
    with pytest.raises(NotFound):
        verification.check_archive(paths, image.id)
