# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins keep images from collections, and go with them."""

from __future__ import annotations

import pathlib
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, index, pins
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import load

pytestmark = pytest.mark.root
FUTURE = time.time() + 10**6


def no_pod():
    return (), ()


def test_a_pinned_image_stays_with_what_it_depends_on(paths, make_aci):
    base = load(paths, make_aci({"name": "base"}))
    top = load(paths, make_aci({"name": "top", "dependencies": [{"imageName": "base"}]}))
    other = load(paths, make_aci({"name": "other"}))
    source = "docker://" + "long/" * 60
    pins.pin(paths, source, top.id)
    assert pins.pinned(paths) == {source: top.id}
    assert gc.collect(paths, no_pod, FUTURE).images == (other.id,)
    pins.unpin(paths, source)
    pins.unpin(paths, source)
    assert set(gc.collect(paths, no_pod, FUTURE).images) == {base.id, top.id}


def test_a_pin_moves_and_goes_with_its_image(paths, make_aci):
    first, second = (load(paths, make_aci({"name": name})) for name in ("a", "b"))
    pins.pin(paths, "x", first.id)
    pins.pin(paths, "x", second.id)
    pins.pin(paths, "y", second.id)
    pins.pin(paths, "z", first.id)
    gc.remove_image(paths, second.id)
    assert pins.pinned(paths) == {"z": first.id}
    assert index.list_ids(paths) == (first.id,)


def test_what_a_killed_process_or_a_disk_left_goes_and_pins_nothing(paths, make_aci):
    image = load(paths, make_aci({"name": "a"}))
    pins.pin(paths, "x", image.id)
    whole = pathlib.Path(paths.pin("x")).read_bytes()
    pathlib.Path(paths.pin("x.0123.tmp")).write_bytes(whole)
    pathlib.Path(paths.pin("damaged")).write_text("{")
    assert pins.pinned(paths) == {"x": image.id}
    plan = gc.unreferenced(paths, (), (), FUTURE)
    assert sorted(item.name for item in plan.items) == ["cas/pins/damaged", "cas/pins/x.0123.tmp"]
    gc.collect(paths, no_pod, FUTURE)
    assert gc.unreferenced(paths, (), (), FUTURE).items == ()
    assert pins.pinned(paths) == {"x": image.id}
