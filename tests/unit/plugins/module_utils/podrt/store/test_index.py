# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images in the store, by their keys, their names and their sources; and damaged documents."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Image, ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import MountPoint
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, index, trees
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    load,
    load_manifest,
)

pytestmark = pytest.mark.root
FUTURE = time.time() + 10**6


@pytest.mark.behaviour("B9", "A59")
@pytest.mark.parametrize(
    ("prefix", "error", "message"),
    [
        ("sha256-ab", InvalidSpec, "wrong key prefix"),
        ("sha512-", InvalidSpec, "image ID too short"),
        ("sha512-a", InvalidSpec, "image ID too short"),
        ("sha512-zz", NotFound, "no image IDs found"),
        ("sha512-ab", InvalidSpec, "ambiguous image ID"),
    ],
)
def test_keys_that_name_no_image(paths, prefix, error, message):
    manifest = ImageManifest(ACIdentifier("example.com/a"))
    for digits in ("ab" * 32, "ab" * 31 + "cd"):
        index.put_image(paths, Image(ImageID(f"sha512-{digits}"), manifest), (), 0, latest=False)
    with pytest.raises(error, match=message):
        index.find_by_key(paths, prefix)


@pytest.mark.behaviour("B9")
def test_a_key_may_be_short_or_too_long(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    assert index.find_by_key(paths, image.id[:9]).id == image.id
    assert index.find_by_key(paths, image.id + "0123").id == image.id


def labelled(name: str, **labels: str) -> dict[str, object]:
    return {"name": name, "labels": [{"name": key, "value": value} for key, value in labels.items()]}


@pytest.mark.behaviour("B10")
def test_a_name_finds_the_latest_then_the_newest_with_all_labels(paths, make_aci):
    old = load(paths, make_aci(labelled("example.com/a", version="1", arch="amd64")), latest=True)
    time.sleep(0.01)
    new = load(paths, make_aci(labelled("example.com/a", version="2", arch="amd64")))
    find = index.find_by_name
    assert find(paths, "example.com/a", Labels()).id == old.id
    assert find(paths, "example.com/a", Labels.of(version="2")).id == new.id
    assert find(paths, "example.com/a", Labels.of(version="2", arch="arm")) is None
    assert find(paths, "example.com/b", Labels()) is None


@pytest.fixture(name="damaged", params=["index", "manifest"])
def _damaged(request, paths, make_aci):
    """Two images, the second with a truncated document: (good, bad)."""
    good = load(paths, make_aci({"name": "example.com/a"}))
    bad = load(paths, make_aci({"name": "example.com/b"}), latest=True)
    place = f"{paths.cas}/index/{bad.id}" if request.param == "index" else paths.image_manifest(bad.id)
    pathlib.Path(place).write_text("{")
    return good, bad


def test_a_damaged_record_of_one_image_does_not_hide_the_others(paths, damaged):
    good, bad = damaged
    assert [image.id for image in index.list_images(paths)] == [good.id]
    assert index.list_ids(paths) == tuple(sorted([good.id, bad.id]))
    assert index.find_by_name(paths, "example.com/b", Labels()) is None
    with pytest.raises(Corrupt, match="damaged"):
        index.get_image(paths, bad.id)


def test_a_damaged_image_can_be_removed_by_its_key(paths, damaged):
    good, bad = damaged
    gc.remove_image(paths, index.id_by_key(paths, bad.id[:20]))
    assert index.list_ids(paths) == (good.id,)
    assert not any(os.path.exists(path) for path in index.places_of(paths, bad.id))


def test_a_damaged_image_goes_with_the_next_collection_and_leaves_the_rest(paths, damaged):
    good, bad = damaged
    done = gc.collect(paths, lambda: ((), {good.id}), FUTURE)
    assert done.images == (bad.id,)
    assert [image.id for image in index.list_images(paths)] == [good.id]


def test_an_image_is_known_by_the_index_alone(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    os.unlink(paths.image_manifest(image.id))
    assert index.id_by_key(paths, image.id) == image.id
    assert index.ids_by_name(paths, "example.com/a", Labels()) == (image.id,)


@pytest.mark.parametrize(
    "mount_point",
    [MountPoint(ACName("data"), ""), MountPoint(ACName("data"), "/\udce9")],
    ids=["path", "text"],
)
def test_a_manifest_that_could_not_be_read_back_is_refused_before_anything_is_written(paths, mount_point):
    """Such as of a docker image with "Volumes": {"": {}}."""
    app = App(("/x",), "0", "0", mount_points=(mount_point,))
    with pytest.raises(Corrupt, match=r"example\.com/a"):
        load_manifest(paths, ImageManifest(ACIdentifier("example.com/a"), app=app))
    assert not os.path.exists(paths.cas) or os.listdir(f"{paths.cas}/tmp") == []
    assert (index.list_ids(paths), index.orphans(paths)) == ((), ())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"source": "docker://x"}', '{"imageID": "x"}'])
def test_a_damaged_record_of_a_source_is_none(paths, make_aci, text):
    image = load(paths, make_aci({"name": "example.com/a"}))
    index.put_remote(paths, index.Remote("docker://x", image.id))
    (record,) = pathlib.Path(f"{paths.cas}/remote").iterdir()
    record.write_text(text)
    assert index.find_remote(paths, "docker://x") is None
    gc.remove_image(paths, image.id)
    index.put_remote(paths, index.Remote("docker://x", image.id))
    assert index.find_remote(paths, "docker://x") is not None


@pytest.mark.behaviour("B47", "A55")
def test_removing_an_image_forgets_its_sources_but_keeps_its_tree(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    tree = trees.render(paths, image).tree
    index.put_remote(paths, index.Remote("docker://x", image.id))
    gc.remove_image(paths, image.id)
    assert index.find_remote(paths, "docker://x") is None
    assert index.list_images(paths) == ()
    assert trees.is_rendered(paths, tree)


@pytest.mark.behaviour("B47")
def test_using_an_image_is_noted(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    os.utime(f"{paths.cas}/index/{image.id}", (1, 1))
    assert index.get_image(paths, image.id).last_used == 1
    index.touch(paths, image.id)
    assert index.get_image(paths, image.id).last_used > 1


@pytest.mark.behaviour("B18")
def test_what_is_known_of_a_source_comes_back(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    for source in ("docker://a/b:c", "https://example.com/" + "x" * 400 + ".aci", "100%/2F"):
        remote = index.Remote(source, image.id, '"tag"', 60, 1234.5, "sha256:abc")
        index.put_remote(paths, remote)
        assert index.find_remote(paths, source) == remote


@pytest.mark.finding("review-B16")
def test_an_archive_is_on_disk_before_it_has_its_name(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    real = os.fsync

    def note(fd: int) -> None:
        synced.add(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", note)
    stored = load_manifest(paths, ImageManifest(ACIdentifier("example.com/a")))
    assert os.stat(paths.blob(stored.id)).st_ino in synced


@pytest.mark.finding("http-F14")
def test_the_record_of_another_source_is_none_of_this_one(paths, make_aci):
    """Long names are cut, so two sources may share the name of a record."""
    image = load(paths, make_aci({"name": "a"}))
    index.put_remote(paths, index.Remote("https://example.com/a.aci", image.id))
    path = pathlib.Path(paths.cas, "remote", "https:%2F%2Fexample.com%2Fa.aci")
    path.rename(path.with_name("https:%2F%2Fexample.com%2Fb.aci"))
    assert index.find_remote(paths, "https://example.com/b.aci") is None
