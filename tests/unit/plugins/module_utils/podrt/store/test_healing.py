# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees and layers that are damaged: they count as absent, and are made again, beneath the pods that use them."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, layers, trees
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.conftest import (
    is_as_made,
    is_layer_as_made,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    add_docker,
    flat,
    load,
    names,
)

pytestmark = [pytest.mark.root, pytest.mark.finding("http-F10")]
FUTURE = time.time() + 10**6
Damage = Callable[[pathlib.Path], None]


def gone(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def replaced(by: Damage) -> Damage:
    def damage(path: pathlib.Path) -> None:
        gone(path)
        by(path)

    return damage


DAMAGES: dict[str, Damage] = {
    "gone": gone,
    "empty": replaced(lambda path: path.write_bytes(b"")),
    "garbage": replaced(lambda path: path.write_bytes(b"\xff\0garbage")),
    "a pipe": replaced(os.mkfifo),
    "a link": replaced(lambda path: path.symlink_to("/etc")),
    "a directory": replaced(lambda path: path.mkdir()),
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("what", ["stack", "layers", "rendered", ""], ids=lambda what: what or "the tree")
def test_a_damaged_tree_is_made_again(
    paths: Paths, make_aci: object, entry: object, tmp_path: pathlib.Path, what: str, how: str
) -> None:
    assert callable(make_aci) and callable(entry)
    image = load(paths, make_aci({"name": "a"}, entry("f", b"1")))
    tree = trees.render(paths, image).tree
    place = pathlib.Path(paths.tree(tree).path) / what
    DAMAGES[how](place)
    # A name alone marks it as complete, whatever kind of file has it.
    assert trees.is_rendered(paths, tree) is (what == "rendered" and how != "gone")
    assert trees.render(paths, image).tree == tree
    assert trees.is_rendered(paths, tree) or what == "rendered"
    assert names(flat(paths, tree, tmp_path)) == ["f"]


def test_a_stack_that_was_cut_is_not_whole(paths: Paths, make_tar, entry, tmp_path: pathlib.Path) -> None:
    image = add_docker(paths, make_tar(entry("low", b"")), make_tar(entry("high", b"")))
    tree = trees.render(paths, image).tree
    stack = pathlib.Path(paths.tree(tree).path) / "stack"
    stack.write_text(stack.read_text().split("\n")[0])
    assert not trees.is_rendered(paths, tree)
    trees.render(paths, image)
    assert names(flat(paths, tree, tmp_path)) == ["high", "low"]


@pytest.mark.parametrize(
    ("what", "how"),
    # An empty directory in place of the files counts as well: only verifying the tree detects it.
    [
        (what, how)
        for what in ("rendered", "rootfs", "")
        for how in DAMAGES
        if (what, how) != ("rootfs", "a directory")
    ],
)
def test_a_damaged_layer_of_an_aci_is_made_again(
    paths: Paths, make_aci, entry, tmp_path: pathlib.Path, what: str, how: str
) -> None:
    image = load(paths, make_aci({"name": "a"}, entry("f", b"1")))
    tree = trees.render(paths, image).tree
    DAMAGES[how](pathlib.Path(paths.layer(layers.layer_name(image.id)).path) / what)
    assert layers.find_layer(paths, image.id) is None
    assert not layers.has_layer(paths, image.id)
    if what != "rendered":
        assert not trees.is_rendered(paths, tree)
        trees.render(paths, image)
        assert names(flat(paths, tree, tmp_path)) == ["f"]
    else:
        gone(pathlib.Path(paths.tree(tree).path))
        trees.render(paths, image)
    assert layers.has_layer(paths, image.id)


@pytest.mark.parametrize("how", ["gone", "garbage", "a pipe", "a link"])
def test_a_docker_layer_that_is_damaged_is_to_be_fetched_again(
    paths: Paths, make_tar, entry, tmp_path: pathlib.Path, how: str
) -> None:
    data = make_tar(entry("f", b"1"))
    layer_id = f"sha256:{hashlib.sha256(data).hexdigest()}"
    image = add_docker(paths, data)
    tree = trees.render(paths, image).tree
    gone(pathlib.Path(paths.tree(tree).path))
    DAMAGES[how](pathlib.Path(paths.layer(layers.layer_name(layer_id)).path))
    with pytest.raises(NotFound, match="is not in the store"):
        trees.render(paths, image)
    add_docker(paths, data)
    assert names(flat(paths, trees.render(paths, image).tree, tmp_path)) == ["f"]


@pytest.mark.parametrize("how", ["gone", "garbage"])
def test_files_that_pods_may_stand_on_stay_when_a_record_is_written_again(
    paths: Paths, make_tar, entry, how: str
) -> None:
    data = make_tar(entry("f", b"1"))
    layer_id = f"sha256:{hashlib.sha256(data).hexdigest()}"
    add_docker(paths, data)
    place = pathlib.Path(paths.layer(layers.layer_name(layer_id)).path)
    before = (place / "rootfs").stat().st_ino
    DAMAGES[how](place / "rendered")
    add_docker(paths, data)
    assert (place / "rootfs").stat().st_ino == before
    assert is_layer_as_made(paths, layer_id)
    (place / "rootfs" / "f").write_bytes(b"other")
    DAMAGES[how](place / "rendered")
    add_docker(paths, data)
    assert (place / "rootfs" / "f").read_bytes() == b"1"


@pytest.mark.parametrize("what", ["stack", "hash", "layers"])
def test_a_tree_with_files_of_its_own_keeps_them(paths: Paths, make_aci, entry, what: str) -> None:
    image = load(paths, make_aci({"name": "a", "pathWhitelist": ["/f"]}, entry("f", b"1"), entry("g", b"2")))
    tree = trees.render(paths, image).tree
    place = pathlib.Path(paths.tree(tree).path)
    before = (place / "rootfs").stat().st_ino
    for damage in ("garbage", "gone"):
        DAMAGES[damage](place / what)
        (place / "rendered").unlink()
        trees.render(paths, image)
        assert (place / "rootfs").stat().st_ino == before
        assert trees.is_rendered(paths, tree) and is_as_made(paths, tree)


def collect(paths: Paths, *used: str) -> gc.Removals:
    return gc.collect(paths, lambda: (set(used), set()), FUTURE)


@pytest.mark.parametrize("how", ["empty", "a pipe", "a link"])
@pytest.mark.parametrize("what", ["layer", "all layers"])
def test_what_is_no_directory_goes_with_a_collection_and_is_in_nobodys_way(
    paths: Paths, make_aci, entry, what: str, how: str
) -> None:
    data = make_aci({"name": "a"}, entry("f", b"1"))
    image = load(paths, data)
    place = pathlib.Path(paths.layer(layers.layer_name(image.id)).path if what == "layer" else paths.layers)
    if how == "a link" and what == "all layers":
        gone(place)
        place.symlink_to("/nonexistent")
    else:
        DAMAGES[how](place)
    assert load(paths, data).id == image.id
    assert trees.is_rendered(paths, trees.render(paths, image).tree)
    gone(place)
    place.symlink_to("/nonexistent")
    collect(paths)
    assert not os.path.lexists(place)


def test_the_layers_of_a_pod_stay_when_nothing_says_which_they_are(paths: Paths, make_aci, entry) -> None:
    image = load(paths, make_aci({"name": "a"}, entry("f", b"1")))
    tree = trees.render(paths, image).tree
    for damage in ("garbage", "gone"):
        DAMAGES[damage](pathlib.Path(paths.tree(tree).path) / "stack")
        collect(paths, tree)
        assert os.path.isdir(f"{paths.trees}/{layers.layer_root(image.id)}/")
        assert tree in trees.list_trees(paths)
        with pytest.raises((Corrupt, NotFound), match=r"cannot read|not rendered"):
            trees.lower_dirs(paths, tree)
        load(paths, make_aci({"name": "a"}, entry("f", b"1")))
        trees.render(paths, image)
        assert trees.is_rendered(paths, tree)
