# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The dependencies of images, even if they are many, or circular."""

from __future__ import annotations

import collections
import inspect
import json
import pathlib
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import (
    Dependency,
    Image,
    ImageManifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACIdentifier, ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import reading
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    dependencies,
    gc,
    index,
    trees,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import load

pytestmark = pytest.mark.root


def put(paths: Paths, number: int, *below: int) -> index.StoredImage:
    """Put a numbered image without files into the store, which depends on others."""
    needs = tuple(Dependency(ACIdentifier(f"i{other}"), _id(other)) for other in below)
    manifest = ImageManifest(ACIdentifier(f"i{number}"), dependencies=needs)
    return index.put_image(paths, Image(_id(number), manifest), (), 0, latest=False)


def _id(number: int) -> ImageID:
    return ImageID(f"sha512-{number:064x}")


@pytest.mark.behaviour("B51")
def test_a_circle_of_dependencies_is_found(paths, make_aci):
    load(paths, make_aci({"name": "a", "dependencies": [{"imageName": "b"}]}))
    image = load(paths, make_aci({"name": "b", "dependencies": [{"imageName": "a"}]}))
    with pytest.raises(InvalidSpec, match="depends on itself"):
        trees.render(paths, image)


@pytest.mark.behaviour("B51")
def test_a_dependency_with_a_key_must_be_that_image(paths, make_aci):
    load(paths, make_aci({"name": "base"}))
    wanted = {"imageName": "base", "imageID": "sha512-" + "0" * 64}
    image = load(paths, make_aci({"name": "top", "dependencies": [wanted]}))
    with pytest.raises(NotFound, match="base"):
        trees.render(paths, image)


@pytest.mark.finding("a4-F2")
@pytest.mark.behaviour("B51")
def test_the_key_of_a_dependency_is_a_whole_one(paths, make_aci):
    base = load(paths, make_aci({"name": "base"}))
    for digits, fits in ((2, False), (32, False), (63, False), (64, True)):
        wanted = {"imageName": "base", "imageID": base.id[: len("sha512-") + digits]}
        image = load(paths, make_aci({"name": f"top{digits}", "dependencies": [wanted]}))
        if fits:
            assert [placed.image.id for placed in dependencies.flatten(paths, image)] == [image.id, base.id]
        else:
            with pytest.raises(NotFound, match=f"top{digits} needs base, by an ID that is cut, sha512-"):
                dependencies.flatten(paths, image)
            assert dependencies.present(index.View(paths), image) == (image,)


@pytest.mark.finding("a4-F2")
def test_the_image_of_a_key_has_the_name_that_the_dependency_gives(paths, make_aci):
    private = load(paths, make_aci({"name": "corp.example/private"}))
    wanted = {"imageName": "whatever/x", "imageID": private.id}
    image = load(paths, make_aci({"name": "thief", "dependencies": [wanted]}))
    with pytest.raises(
        NotFound, match=f"needs whatever/x, but .*{private.id}, calls itself corp.example/private"
    ):
        dependencies.flatten(paths, image)


@pytest.mark.finding("a4-F2")
@pytest.mark.parametrize("by_id", [False, True])
def test_what_was_a_docker_image_is_no_dependency(paths, make_aci, by_id):
    origin = [{"name": "appc.io/docker/repository", "value": "team/app"}]
    docker = load(paths, make_aci({"name": "reg_5000/team/app", "annotations": origin}))
    wanted = {"imageName": "reg_5000/team/app", **({"imageID": docker.id} if by_id else {})}
    image = load(paths, make_aci({"name": "thief", "dependencies": [wanted]}))
    with pytest.raises(NotFound, match=f"thief needs reg_5000/team/app, but {docker.id} .* docker image"):
        dependencies.flatten(paths, image)


def test_what_many_images_share_is_looked_at_once(paths):
    """Two paths at each of thirty levels are a billion paths in all."""
    levels = 30
    put(paths, levels)
    for number in reversed(range(levels)):
        top = put(paths, number, number + 1, number + 1)
    assert [placed.image.id for placed in dependencies.flatten(paths, top)] == [
        _id(number) for number in range(levels + 1)
    ]


def test_a_chain_may_be_longer_than_the_stack_of_the_interpreter(paths):
    length = 150
    put(paths, length)
    for number in reversed(range(length)):
        top = put(paths, number, number + 1)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = dependencies.flatten(paths, top)
    finally:
        sys.setrecursionlimit(limit)
    assert len(found) == length + 1


def test_an_image_that_is_reached_twice_counts_where_it_is_topmost(paths):
    for number, below in ((4, ()), (3, (4,)), (2, (4,)), (1, (2, 3))):
        top = put(paths, number, *below)
    assert [placed.image.id for placed in dependencies.flatten(paths, top)] == [
        _id(number) for number in (1, 3, 4, 2)
    ]


@pytest.mark.behaviour("B51")
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_circle_is_an_error_wherever_it_is_entered(paths, length):
    for number in range(length):
        put(paths, number, (number + 1) % length)
    top = put(paths, 99, 0)
    for image in (top, index.get_image(paths, _id(0))):
        with pytest.raises(InvalidSpec, match="i0 depends on itself"):
            dependencies.flatten(paths, image)
        assert len(dependencies.present(index.View(paths), image)) == length + (image is top)


def test_what_is_missing_is_told(paths):
    put(paths, 2, 7)
    top = put(paths, 1, 8, 2, 9)
    with pytest.raises(NotFound, match="i1 needs i9"):
        dependencies.flatten(paths, top)


@pytest.mark.finding("attack-F5")
@pytest.mark.parametrize("count", [129, 60_000])
def test_an_image_with_too_many_dependencies_never_gets_into_the_store(paths, make_aci, count):
    data = make_aci({"name": "top", "dependencies": [{"imageName": "base"}] * count})
    with pytest.raises(Corrupt, match=f"{count} dependencies are more than the 128"):
        load(paths, data)
    assert index.list_ids(paths) == ()


@pytest.mark.finding("attack-F5")
def test_one_that_is_in_the_store_already_is_damaged_and_can_be_removed(paths, make_aci):
    image = load(paths, make_aci({"name": "top"}))
    document = pathlib.Path(paths.image_manifest(image.id))
    manifest = json.loads(document.read_bytes())
    document.write_text(json.dumps({**manifest, "dependencies": [{"imageName": "top"}] * 60_000}))
    assert index.list_images(paths) == ()
    gc.remove_image(paths, index.id_by_key(paths, image.id))
    assert index.list_ids(paths) == ()


@pytest.mark.finding("attack-F5")
def test_a_walk_reads_each_document_of_the_index_once(paths, monkeypatch):
    """Even if each image names all below it by name and by ID, and twice."""
    count = 20
    for number in range(count):
        top = put(paths, number, *range(number), *range(number))
    manifest = top.manifest.replace(
        dependencies=(
            *top.manifest.dependencies,
            *(Dependency(ACIdentifier(f"i{number}")) for number in range(count - 1)),
        )
    )
    top = top.replace(manifest=manifest)
    read: list[str] = []
    whole = reading.read_bytes
    monkeypatch.setattr(reading, "read_bytes", lambda path: read.append(path) or whole(path))
    assert len(dependencies.flatten(paths, top)) == count
    entries = [path for path in read if "/cas/index/" in path]
    # Once to look for names, and once more for what the image itself holds.
    assert max(collections.Counter(entries).values()) == 2
    assert max(collections.Counter(set(read) - set(entries)).values()) == 1


@pytest.mark.finding("attack-F5")
def test_a_dependency_that_is_named_twice_is_stacked_where_it_is_topmost(paths):
    put(paths, 2)
    put(paths, 3)
    top = put(paths, 1, 2, 3, 2)
    assert [placed.image.id for placed in dependencies.flatten(paths, top)] == [_id(1), _id(2), _id(3)]


@pytest.mark.finding("a4-F8")
def test_who_depends_on_an_image_is_known_when_it_is_removed(paths):
    for number, below in ((3, ()), (2, (3,)), (1, (2,)), (9, ())):
        put(paths, number, *below)
    found = dependencies.dependents(paths, (_id(3),))
    assert {image.id for image in found} == {_id(1), _id(2)}
    assert dependencies.dependents(paths, (_id(3), _id(2), _id(1))) == ()
    assert dependencies.warning_of_removal(paths, (_id(2),)).endswith(f": i1 ({_id(1)})")
    assert dependencies.warning_of_removal(paths, (_id(9), _id(1))) == ""
    for number in range(20, 30):
        put(paths, number, 9)
    assert dependencies.warning_of_removal(paths, (_id(9),)).endswith(" and 5 more")
