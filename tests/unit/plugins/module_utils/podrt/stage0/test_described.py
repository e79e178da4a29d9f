# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Every option of pod_run, changed by itself, is one change, whose path is that option's path."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Image, ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import Difference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.compare import differences
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.manifest import (
    build_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.pod import impact_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.options.reading import pod_spec
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.options import cases
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.options.cases import (
    CASES,
    GONE,
    IMAGE,
    OTHER,
    VOLUMES,
    is_part,
    mounts,
)

KEY = b"k" * 32
IMAGES = {IMAGE: "example.com/web", OTHER: "example.com/other"}
BASE = App(
    ("/bin/web", "-v"),
    "0",
    "0",
    environment=(("PATH", "/bin"),),
    ports=(Port(ACName("http"), "tcp", 80), Port(ACName("https"), "tcp", 443)),
)


def found(before: dict[str, Any], after: dict[str, Any], count: int = 1) -> list[Difference]:
    """The differences between the pods of two descriptions."""
    made = []
    for changes in (before, after):
        spec = pod_spec(Fields(cases.given(changes, IMAGES, count), "")).settled(
            Paths(local_config="/nowhere")
        )
        images = [image(str(app.image).rpartition(":")[2] or str(app.image)) for app in spec.apps]
        built = build_manifest(spec, images, "/volumes/{}/data".format, lambda _image: "refuse")
        made.append((spec, (built.manifest, spec.run)))
    return list(differences(made[0][1], made[1][1], KEY, made[1][0]))


def image(name: str) -> Image:
    labels = Labels.of(os="linux", arch="amd64", version="1")
    id_ = ImageID("sha512-" + ("cd" if "other" in name else "ab") * 32)
    return Image(id_, ImageManifest(ACIdentifier("example.com/web"), labels, BASE))


def test_every_option_has_a_case_or_says_which_pod_is_meant() -> None:
    """An option without a case, such as a new one, fails here."""
    for path, row in cases.options():
        assert bool(cases.cases_of(path)) != (row.name in cases.WHICH and "." not in path), path


@pytest.mark.finding("use-N13")
@pytest.mark.parametrize("path", CASES)
def test_an_option_that_is_changed_is_one_change_of_its_path(path: str) -> None:
    before, after = CASES[path]
    told = [(difference.path, difference.impact) for difference in found(before, after)]
    assert told == ([(path, impact_of(path))] if is_part(path) else [])


@pytest.mark.finding("use-N13")
@pytest.mark.parametrize("path", [path for path in CASES if is_part(path)])
def test_what_is_changed_back_is_a_change_of_the_same_option(path: str) -> None:
    """An element that the description no longer has is named by its name."""
    before, after = CASES[path]
    (difference,) = found(after, before)
    assert difference.path == GONE.get(path, path)
    (forth,) = found(before, after)
    assert (difference.before, difference.after) == (forth.after, forth.before)


def test_what_all_apps_share_is_one_change() -> None:
    shared = {"environment": {"LEVEL": "a"}}, {"environment": {"LEVEL": "b"}}
    assert [difference.path for difference in found(*shared, count=3)] == ["environment.LEVEL"]
    assert [difference.path for difference in found(shared[0], {}, count=3)] == ["environment.LEVEL"]
    (change,) = found({}, {**VOLUMES, "app": {}, "mounts": mounts(("more", "/m"))}, count=3)[:1]
    assert change.path == "mounts[0]"
