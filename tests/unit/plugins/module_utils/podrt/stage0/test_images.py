# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Plans of images: stored ones are left alone, missing ones are fetched or rendered, damage is healed."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Generator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    NotFound,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import images
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.change import (
    Change,
    Outcome,
    converge,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, trees
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    archive,
)

TRUSTING = FetchPolicy(insecure=("image",))


def plan(
    lab: Stage0Lab, name: str = "web.aci", policy: FetchPolicy = TRUSTING
) -> Generator[Change, bool, Any]:
    path = lab.base / name
    reference = str(path if path.exists() else (lab.store or lab.base) / name)
    return images.ensure_image(lab.host, parse_reference(reference), policy)


def shown(changes: list[Change]) -> list[tuple[str, ...]]:
    return [
        (
            type(change).__name__,
            difference.path.partition(".")[0],
            str(difference.before),
            str(difference.after),
        )
        for change in changes
        for difference in change.differences
    ]


def fetched(lab: Stage0Lab, name: str = "web.aci", policy: FetchPolicy = TRUSTING) -> tuple[Outcome, Any]:
    return converge(lab.host, plan(lab, name, policy), apply=True)


def image_id(lab: Stage0Lab, name: str = "web.aci") -> Any:
    stored = find.stored(lab.host, parse_reference(str((lab.store or lab.base) / name)))
    assert stored
    return stored.id


def test_an_image_that_is_there_is_left_alone(lab: Stage0Lab) -> None:
    assert list(plan(lab)) == []
    outcome, stored = fetched(lab)
    assert (outcome.changed, stored.id) == (False, image_id(lab))


def test_one_that_is_missing_is_fetched_and_rendered(lab: Stage0Lab) -> None:
    (lab.base / "new.aci").write_bytes(archive("new"))
    assert shown(list(plan(lab, "new.aci"))) == [("FetchImage", "images", "None", "present")]
    _outcome, stored = fetched(lab, "new.aci")
    assert trees.is_rendered(lab.paths, trees.tree_of(lab.paths, stored.id))
    assert list(plan(lab, "new.aci")) == []


def test_one_that_has_changed_is_told_by_what_it_was_and_is(lab: Stage0Lab) -> None:
    (lab.base / "new.aci").write_bytes(archive("new"))
    _outcome, before = fetched(lab, "new.aci")
    (lab.base / "new.aci").write_bytes(archive("new", workingDirectory="/bin"))
    assert shown(list(plan(lab, "new.aci"))) == [
        ("FetchImage", "images", str(before.id), "known once fetched")
    ]
    outcome, after = fetched(lab, "new.aci")
    [difference] = outcome.differences
    assert (difference.before, difference.after) == (str(before.id), str(after.id))


def test_a_tree_that_is_gone_is_rendered_again(lab: Stage0Lab) -> None:
    tree = trees.tree_of(lab.paths, image_id(lab))
    shutil.rmtree(lab.paths.tree(tree).path)
    assert shown(list(plan(lab))) == [("RenderTree", "images", "None", "rendered")]
    fetched(lab)
    assert trees.is_rendered(lab.paths, tree)


@pytest.mark.parametrize("part", ["image_manifest", "index_entry"])
def test_one_that_is_damaged_is_fetched_again(lab: Stage0Lab, part: str) -> None:
    pathlib.Path(getattr(lab.paths, part)(image_id(lab))).write_text("{")
    [(kind, _images, before, _after)] = shown(list(plan(lab)))
    assert (kind, before) == ("FetchImage", "damaged")
    fetched(lab)
    assert list(plan(lab)) == []


@pytest.mark.parametrize(
    ("name", "policy", "family"),
    [
        ("missing.aci", TRUSTING, NotFound),
        ("new.aci", FetchPolicy(), Untrusted),
        ("sha512-" + "0" * 128, TRUSTING, NotFound),
        ("http://127.0.0.1:1/x.aci", FetchPolicy(pull="never", insecure=("image",)), NotFound),
        ("absent", TRUSTING, NotFound),
        ("example.com/absent", FetchPolicy(), Untrusted),
    ],
)
def test_what_cannot_be_fetched_is_foretold(
    lab: Stage0Lab, name: str, policy: FetchPolicy, family: type[Exception]
) -> None:
    (lab.base / "new.aci").write_bytes(archive("new"))
    reference = parse_reference(str(lab.base / name) if name.endswith("g.aci") or name == "new.aci" else name)

    def ensured() -> Generator[Change, bool, Any]:
        return images.ensure_image(lab.host, reference, policy)

    if family is Untrusted:
        with pytest.raises(Untrusted):
            converge(lab.host, ensured(), apply=False)
    else:
        outcome, _nothing = converge(lab.host, ensured(), apply=False)
        assert len(outcome.foreseen) == 1
    with pytest.raises(family):
        converge(lab.host, ensured(), apply=True)


def test_a_key_that_means_several_is_refused(lab: Stage0Lab) -> None:
    with pytest.raises(InvalidSpec):
        list(images.ensure_image(lab.host, parse_reference("sha512-"), TRUSTING))


def test_an_image_is_removed_once(lab: Stage0Lab) -> None:
    reference = parse_reference(str(lab.store / "web.aci"))  # type: ignore[operator]

    def gone() -> Generator[Change, bool, Any]:
        return images.ensure_no_image(lab.host, reference)

    found = image_id(lab)
    assert shown(list(gone())) == [("RemoveImage", "images", str(found), "None")]
    converge(lab.host, gone(), apply=True)
    assert list(gone()) == []
    assert found not in index.list_ids(lab.paths)
    assert os.path.isdir(lab.paths.tree(trees.list_trees(lab.paths)[0]).path)


@pytest.mark.finding("http-F14")
def test_an_image_that_is_removed_while_it_is_looked_at_is_not_there(lab: Stage0Lab) -> None:
    """It is removed between the lookups of the image and of its tree."""
    _outcome, stored = fetched(lab)
    assert looked_at(lab, stored) == stored
    index.remove_image(lab.host.paths, stored.id)
    assert looked_at(lab, stored) is None


def looked_at(lab: Stage0Lab, stored: index.StoredImage) -> index.StoredImage | None:
    plan = images._ensure_tree(lab.host, parse_reference("example.com/a"), stored)
    return converge(lab.host, plan, apply=True)[1]
