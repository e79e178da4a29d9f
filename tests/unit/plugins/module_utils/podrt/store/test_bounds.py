# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes when the store is larger than it may be: what was used longest ago, and nothing that is needed."""

from __future__ import annotations

import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import gc, index, pins
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.bounds import Bounds, beyond
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    add_docker,
    load,
)

pytestmark = pytest.mark.root


def aged(paths, image, seconds):
    """Have an image been used so long after the epoch."""
    os.utime(paths.index_entry(image.id), (seconds, seconds))
    return image.id


@pytest.fixture(name="four")
def _four(paths, make_aci):
    """Images, the one that was used longest ago first."""
    return [aged(paths, load(paths, make_aci({"name": f"a{number}"})), 10 + number) for number in range(4)]


def plan(paths, bounds, used=()):
    return list(gc.unreferenced(paths, (), used, 0.0, bounds).images)


def test_the_images_that_were_used_longest_ago_go(paths, four):
    assert plan(paths, Bounds()) == plan(paths, Bounds(images=4)) == []
    assert plan(paths, Bounds(images=2)) == four[:2]
    assert plan(paths, Bounds(images=0)) == four
    assert list(gc.collect(paths, lambda: ((), ()), 0.0, Bounds(images=2)).images) == four[:2]
    assert set(index.list_ids(paths)) == set(four[2:])


def test_what_a_pod_needs_or_a_pin_keeps_stays_and_counts(paths, four):
    pins.pin(paths, "a1", four[1])
    assert plan(paths, Bounds(images=2), {four[0]}) == four[2:]
    assert plan(paths, Bounds(images=0), {four[0]}) == four[2:]
    assert plan(paths, Bounds(images=3), {four[0]}) == four[2:3]


def test_what_another_depends_on_does_not_go_before_it(paths, make_aci):
    base = aged(paths, load(paths, make_aci({"name": "base"})), 10)
    top = aged(paths, load(paths, make_aci({"name": "top", "dependencies": [{"imageName": "base"}]})), 11)
    other = aged(paths, load(paths, make_aci({"name": "other"})), 12)
    assert plan(paths, Bounds(images=2)) == [top]
    assert plan(paths, Bounds(images=1)) == [top, base]
    assert plan(paths, Bounds(images=1), {top}) == [other]


def test_images_that_are_too_old_go_anyway(paths, four):
    found = gc.unreferenced(paths, (), (), 11.5, Bounds(images=1))
    assert list(found.images) == [*sorted(four[:2]), four[2]]


def test_layers_that_images_share_count_once(paths, make_tar, entry):
    shared = make_tar(entry("shared", b"x" * 100_000))
    first = aged(paths, add_docker(paths, shared, name="first"), 10)
    second = aged(paths, add_docker(paths, shared, make_tar(entry("own", b"y" * 50_000)), name="second"), 11)
    images = index.list_images(paths)
    both = sum(image.size for image in images)
    assert both > 250_000
    assert beyond(paths, images, (), Bounds(bytes=200_000)) == ()
    # Without the first one nothing is won, since its layer is that of the second as well: so both go.
    assert beyond(paths, images, (), Bounds(bytes=140_000)) == (first, second)
    assert beyond(paths, images, {second}, Bounds(bytes=0)) == (first,)
