# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""fetch and image, on a file."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost


@pytest.mark.behaviour("A53", "A54", "A55", "G1", "G4")
def test_an_image_is_fetched_listed_and_removed(pods: PodHost) -> None:
    key = pods.ok("fetch", pods.image)
    assert re.fullmatch(r"sha512-[0-9a-f]{32}", key)
    whole = pods.ok("fetch", "--full", pods.image)
    assert re.fullmatch(r"sha512-[0-9a-f]{64}", whole) and whole.startswith(key)
    header, row = pods.ok("image", "list").splitlines()
    assert [cell for cell in header.split("\t") if cell] == ["ID", "NAME", "SIZE", "IMPORT TIME", "LAST USED"]
    assert row.split("\t")[0] == whole[:19]
    assert pods.ok("image", "list", "--fields=name", "--no-legend") == "example.com/busybox:1.0"
    assert json.loads(pods.ok("image", "list", "--format=json"))[0]["id"] == whole
    assert '"name": "example.com/busybox"' in pods.ok("image", "cat-manifest", whole)
    done = pods.podctl("image", "rm", key, "example.com/busybox", "example.com/nosuch")
    assert (done.status, done.out) == (0, f'successfully removed aci for image: "{whole}"\n')
    assert 'rm: cannot find aci satisfying name: "example.com/nosuch" and labels: ' in done.err
    assert done.err.endswith("rm: 1 image(s) successfully removed\n")
    assert pods.ok("image", "list", "--format=json") == "null"


@pytest.mark.behaviour("A53", "A54", "A65")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fetch",), "fetch: must provide at least one image"),
        (("fetch", "x", "--", "y"), "fetch: unable to parse arguments: app arguments unsupported"),
        (("image", "list", "--fields=x"), 'list: unknown field "x"'),
        (("image", "list", "--order=x"), 'list: wrong sort order "x"'),
    ],
)
def test_what_is_refused(pods: PodHost, words: tuple[str, ...], message: str) -> None:
    done = pods.podctl(*words)
    assert (done.status, done.err.splitlines()[0]) == (254, message)


@pytest.mark.behaviour("A59", "B16")
def test_an_image_that_is_nowhere(pods: PodHost) -> None:
    done = pods.podctl("run", "--pull-policy=never", "example.com/nosuch")
    assert done.status == 254
    assert "either image was not found in the store" in done.err
    assert "run: no image IDs found\n" in pods.podctl("run", "sha512-abcd").err


@pytest.mark.behaviour("B1", "B17")
def test_how_an_image_was_found_is_told_to_who_wants_to_know_all(pods: PodHost) -> None:
    assert pods.podctl("prepare", pods.image).err == ""
    assert f"image: using image from file {pods.image}\n" in pods.podctl("--debug", "prepare", pods.image).err
    found = pods.podctl("--debug", "prepare", "example.com/busybox:1.0").err
    assert "image: using image from local store for image name example.com/busybox:1.0\n" in found
    key = pods.ok("fetch", pods.image)
    assert "image: using image from the store with hash sha512-" in pods.podctl("--debug", "prepare", key).err


@pytest.mark.behaviour("A56", "A65")
def test_images_and_trees_are_collected_unless_pods_need_them(pods: PodHost) -> None:
    key = pods.ok("fetch", "--full", pods.image)
    uuid = pods.ok("prepare", key)
    assert pods.podctl("image", "gc").err == ""
    assert (
        pods.podctl("image", "gc", "--grace-period=0").err
        == f'gc: successfully removed aci for image: "{key}"\n'
    )
    pods.ok("rm", uuid)
    assert pods.podctl("image", "gc").err.startswith('gc: removed treestore "deps-sha512-')
    assert pods.ok("image", "list", "--format=json") == "null"
