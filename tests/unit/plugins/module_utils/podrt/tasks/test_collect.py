# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""pod_gc reports everything that it frees, the same in check mode, and also when some of it cannot be removed."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, index, layers, trees
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.collect import collect
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.conftest import (
    _entry,
    _make_aci,
    _make_tar,
    _paths,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    add_pod,
    load,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.test_gc import (
    changing_no_attribute,
    set_immutable,
)

__all__ = ["_entry", "_make_aci", "_make_tar", "_paths"]

pytestmark = pytest.mark.root
EVERYTHING = Fields(
    {"grace_period": 0, "expire_prepared": 0, "images": True, "image_grace_period": -1000}, ""
)
Result = dict[str, Any]


@pytest.fixture(name="host")
def _host(paths: Paths) -> Host:
    return Host(paths, "amd64", "", "")


def told(result: Result) -> dict[str, tuple[str, str | None]]:
    return {change["path"]: (change["before"], change["after"]) for change in result["changes"]}


def test_what_is_left_of_an_image_that_was_removed_is_told_of(host, make_aci, entry):
    image = load(host.paths, make_aci({"name": "example.com/a"}, entry("f", b"x" * 100_000)))
    tree = trees.render(host.paths, image).tree
    gc.remove_image(host.paths, image.id)
    foretold = collect(host, EVERYTHING, check=True)
    done = collect(host, EVERYTHING, check=False)
    assert foretold == done
    assert (done["changed"], done["images"]) == (True, [])
    assert list(told(done)) == [f"trees.{tree}", f"layers.{layers.layer_name(image.id)}"]
    freed = [int(before.removesuffix(" bytes")) for before, _after in told(done).values()]
    assert sum(freed) == done["bytes"] > 100_000
    assert all(after is None for _before, after in told(done).values())
    again = collect(host, EVERYTHING, check=False)
    assert (again["changed"], again["changes"], again["bytes"]) == (False, [], 0)


def test_check_mode_foretells_pods_and_what_they_were_the_last_to_need(host, make_aci, entry):
    image = load(host.paths, make_aci({"name": "example.com/a"}, entry("f", b"x" * 100_000)))
    tree = trees.render(host.paths, image).tree
    uuid = add_pod(host.paths, "prepared", image.id, tree)
    left = f"{host.paths.cas}/index/{image.id}.0123.tmp"
    pathlib.Path(left).touch()
    foretold = collect(host, EVERYTHING, check=True)
    assert os.path.exists(host.paths.pod("prepared", uuid).path)
    assert os.path.exists(left)
    done = collect(host, EVERYTHING, check=False)
    assert foretold == done
    assert list(told(done)) == [
        f"pods.{uuid}",
        f"trees.{tree}",
        f"images.{image.id}",
        f"layers.{layers.layer_name(image.id)}",
        f"leftovers.{os.path.relpath(left, host.paths.data)}",
    ]
    assert (done["pods"], done["images"]) == ([uuid], [image.id])


def test_a_pod_that_is_kept_keeps_what_it_needs(host, make_aci):
    image = load(host.paths, make_aci({"name": "example.com/a"}))
    add_pod(host.paths, "exited-garbage", image.id, trees.render(host.paths, image).tree)
    kept = Fields({"grace_period": 1000, "images": True, "image_grace_period": -1000}, "")
    assert collect(host, kept, check=True)["changes"] == []
    assert collect(host, kept, check=False)["changes"] == []
    assert index.list_ids(host.paths) == (image.id,)


def test_failures_are_all_named_and_carry_what_was_done_before_and_after_them(host, make_aci, entry):
    image = load(host.paths, make_aci({"name": "example.com/a"}, entry("f", b"x")))
    tree = trees.render(host.paths, image).tree
    stays = add_pod(host.paths, "prepared", ImageID("sha512-" + "0" * 64), tree)
    goes = add_pod(host.paths, "prepared", image.id, tree)
    held = f"{host.paths.pod('prepared', stays).path}/appsinfo"
    layer = host.paths.layer(layers.layer_name(image.id)).path
    for place in (held, layer):
        set_immutable(place, True)
    os.rename(held + "/web/treeStoreID", held + "/web/gone")
    try:
        with changing_no_attribute(), pytest.raises(PodError) as caught:
            collect(host, EVERYTHING, check=False)
    finally:
        garbage = f"{host.paths.pod('garbage', stays).path}/appsinfo"
        for place in (garbage, layer):
            set_immutable(place, False)
    assert stays in caught.value.message
    assert layers.layer_name(image.id) in caught.value.message
    changes = {change["path"] for change in caught.value.facts["changes"]}
    assert changes == {f"pods.{goes}", f"trees.{tree}", f"images.{image.id}"}
