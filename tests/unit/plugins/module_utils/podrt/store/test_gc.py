# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The removal of things that are no longer needed, and of leftovers of killed processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import threading
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.capabilities import NAMES
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import syscalls
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    gc,
    index,
    layers,
    locks,
    trees,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.workspace import Workspace
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.conftest import (
    is_as_made,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    add_docker,
    load,
)

pytestmark = pytest.mark.root
FUTURE = time.time() + 10**6


def no_pod() -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (), ()


@pytest.mark.behaviour("A56")
def test_gc_plans_exactly_what_it_removes_and_nothing_in_use(paths, make_tar, make_aci, entry):
    shared = make_tar(entry("shared", b"x" * 10_000))
    kept = add_docker(paths, shared, name="kept")
    gone = add_docker(paths, shared, make_tar(entry("own", b"y" * 10_000)), name="gone")
    base = load(paths, make_aci({"name": "base"}))
    top = load(paths, make_aci({"name": "top", "dependencies": [{"imageName": "base"}]}))
    used = trees.render(paths, top).tree
    unused = trees.render(paths, gone).tree
    plan = gc.unreferenced(paths, {used}, {kept.id, top.id}, FUTURE)
    assert (plan.images, plan.trees, len(plan.layers)) == ((gone.id,), (unused,), 1)
    assert plan.bytes > 10_000
    assert gc.collect(paths, lambda: ({used}, {kept.id, top.id}), FUTURE) == plan
    assert {image.id for image in index.list_images(paths)} == {kept.id, base.id, top.id}
    assert trees.is_rendered(paths, used)
    assert is_as_made(paths, trees.render(paths, kept).tree)
    assert gc.unreferenced(paths, {used}, {kept.id, top.id}, FUTURE).images == ()


@pytest.mark.behaviour("A55")
def test_the_layers_of_a_pod_stay_when_its_image_is_removed(paths, make_tar, entry):
    image = add_docker(paths, make_tar(entry("f", b"x")))
    tree = trees.render(paths, image).tree
    index.remove_image(paths, image.id)
    gc.collect(paths, lambda: ({tree}, ()), FUTURE)
    assert trees.is_rendered(paths, tree)
    gc.collect(paths, lambda: ((), ()), FUTURE)
    assert (trees.list_trees(paths), layers.list_layers(paths)) == ((), ())


@pytest.mark.behaviour("A56")
def test_images_that_were_used_lately_stay(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    assert gc.collect(paths, lambda: ((), ()), time.time() - 3600).images == ()
    assert gc.collect(paths, lambda: ((), ()), time.time() + 1).images == (image.id,)


@pytest.mark.behaviour("A56")
def test_everything_that_goes_is_told_with_its_bytes(paths, make_aci, entry):
    image = load(paths, make_aci({"name": "example.com/a"}, entry("f", b"x" * 10_000)))
    tree = trees.render(paths, image).tree
    plan = gc.unreferenced(paths, (), (), FUTURE)
    assert [(item.kind, item.name) for item in plan.items] == [
        ("trees", tree),
        ("images", image.id),
        ("layers", layers.layer_name(image.id)),
    ]
    assert all(item.bytes > 0 for item in plan.items)
    assert plan.bytes == sum(item.bytes for item in plan.items)
    assert gc.collect(paths, no_pod, FUTURE) == plan
    assert gc.collect(paths, no_pod, FUTURE).items == ()


def plant(paths, text: str) -> str:
    """A file as a killed process leaves it."""
    place = f"{paths.data}/{text}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    pathlib.Path(place).write_text("x")
    return text


def test_what_killed_processes_left_is_told_and_removed_and_nothing_else(paths, make_aci):
    kept = load(paths, make_aci({"name": "example.com/a"}))
    index.put_remote(paths, index.Remote("docker://kept", kept.id))
    other = "sha512-" + "ab" * 32
    left = [
        plant(paths, f"cas/index/{kept.id}.0123456789ab.tmp"),
        plant(paths, f"cas/imageManifest/sha512/ab/{other}"),
        plant(paths, f"cas/blob/sha512/ab/{other}"),
        plant(paths, "cas/remote/docker:%2F%2Fx.0123456789ab.tmp"),
        plant(paths, "cas/remote/docker:%2F%2Fdamaged"),
        plant(paths, "cas/tmp/dead/blob").removesuffix("/blob"),
    ]
    # A complete record whose process was killed before it was in place.
    whole = pathlib.Path(paths.cas, "remote", "docker:%2F%2Fkept").read_bytes()
    left.append("cas/remote/docker:%2F%2Fkept.0123456789ab.tmp")
    pathlib.Path(paths.data, left[-1]).write_bytes(whole)
    with Workspace(paths):
        pass  # which sweeps the abandoned one
    plant(paths, "cas/tmp/dead/blob")
    assert index.list_ids(paths) == (kept.id,)
    plan = gc.unreferenced(paths, (), {kept.id}, FUTURE)
    assert sorted(item.name for item in plan.items if item.kind == "leftovers") == sorted(left)
    assert gc.collect(paths, lambda: ((), {kept.id}), FUTURE) == plan
    assert not any(os.path.exists(f"{paths.data}/{name}") for name in left)
    assert index.find_remote(paths, "docker://kept") is not None
    assert index.get_image(paths, kept.id) == kept
    assert gc.unreferenced(paths, (), {kept.id}, FUTURE).items == ()


def test_the_workspace_of_one_who_works_is_no_leftover(paths):
    with Workspace(paths):
        assert gc.unreferenced(paths, (), (), FUTURE).items == ()


def test_files_of_locks_do_not_pile_up(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    trees.render(paths, image)
    with locks.turn(paths, "docker://x", "x", patience=1, tell=print):
        assert len(os.listdir(f"{paths.cas}/imagelocks")) > 2
        gc.collect(paths, no_pod, FUTURE)
        (kept,) = set(os.listdir(f"{paths.cas}/imagelocks")) - {"store"}
        assert kept.startswith("turn-"), "it is held"
    gc.collect(paths, no_pod, FUTURE)
    assert os.listdir(f"{paths.cas}/imagelocks") == ["store"]
    assert os.listdir(f"{paths.cas}/treestorelocks") == []


def test_what_cannot_be_removed_does_not_keep_the_rest_and_all_of_it_is_named(paths, make_aci, entry):
    image = load(paths, make_aci({"name": "example.com/a"}, entry("f", b"x")))
    tree = trees.render(paths, image).tree
    busy = [paths.tree(tree).path, paths.layer(layers.layer_name(image.id)).path]
    for place in busy:
        set_immutable(place, True)
    try:
        with changing_no_attribute(), pytest.raises(gc.Incomplete) as caught:
            gc.collect(paths, no_pod, FUTURE)
    finally:
        for place in busy:
            set_immutable(place, False)
    assert tree in caught.value.message
    assert layers.layer_name(image.id) in caught.value.message
    assert [item.name for item in caught.value.removed.items] == [image.id]
    assert index.list_ids(paths) == ()


@contextlib.contextmanager
def changing_no_attribute() -> Iterator[None]:
    """Drop the capability to change attributes, so that immutable files stay."""
    effective, permitted, inheritable = syscalls.capget()
    syscalls.capset(effective & ~(1 << NAMES.index("CAP_LINUX_IMMUTABLE")), permitted, inheritable)
    try:
        yield
    finally:
        syscalls.capset(effective, permitted, inheritable)


def set_immutable(path: str, immutable: bool) -> None:
    """chattr +i, or -i. Source: linux/fs.h."""
    get_flags, set_flags, flag = 0x80086601, 0x40086602, 0x10
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        held = bytearray(8)
        fcntl.ioctl(fd, get_flags, held)
        flags = int.from_bytes(held[:4], "little")
        flags = flags | flag if immutable else flags & ~flag
        fcntl.ioctl(fd, set_flags, flags.to_bytes(8, "little"))
    except OSError as err:
        pytest.skip(f"no immutable files here: {err}")
    finally:
        os.close(fd)


def test_an_image_is_removed_while_nobody_adds_to_the_store(paths, make_aci):
    image = load(paths, make_aci({"name": "example.com/a"}))
    removal = threading.Thread(target=gc.remove_image, args=(paths, image.id))
    with locks.adding(paths):
        removal.start()
        removal.join(0.3)
        assert index.get_image(paths, image.id) == image
    removal.join()
    assert index.list_ids(paths) == ()


@pytest.mark.finding("a4-F10")
@pytest.mark.parametrize("document", [b"{", b'{"format": 2}'], ids=["damaged", "of a newer release"])
def test_no_layer_goes_while_an_image_does_not_tell_what_it_is_made_of(paths, make_aci, entry, document):
    image = load(paths, make_aci({"name": "a"}, entry("f", b"1")))
    (pathlib.Path(paths.cas) / "index" / image.id).write_bytes(document)
    plan = gc.unreferenced(paths, *no_pod(), older_than=0.0)
    assert gc.LAYER not in {item.kind for item in plan.items}
    assert layers.list_layers(paths)
