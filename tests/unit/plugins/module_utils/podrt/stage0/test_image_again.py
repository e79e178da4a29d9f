# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image with force fetches what the store has, heals it, and is changed only by what differs."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    InvalidSpec,
    Unreachable,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, trees, verification
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import run
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Web,
    _host,
    _web,
    make_aci,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.fakeregistry import (
    FakeRegistry,
    archive,
    digest_of,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import add_pod

pytestmark = pytest.mark.root
__all__ = ["_host", "_web"]  # fixtures

LOW, HIGH = archive(low=b"l" * 4096), archive(high=b"h")


@pytest.fixture(name="registry")
def _registry(web: Web) -> FakeRegistry:
    registry = FakeRegistry(web)
    registry.image(LOW, HIGH)
    return registry


@pytest.fixture(name="amd")
def _amd(host: Host) -> Host:
    return host.replace(arch="amd64")


def task(host: Host, name: object, *, check: bool = False, **options: object) -> dict[str, Any]:
    given = Fields({"name": name, "insecure_options": ["image"], **options}, "")
    result: Any = run.TASKS["pod_image"](host, given, check)
    assert result["changed"] == bool(result["changes"])
    return result


def ends(result: dict[str, Any]) -> list[tuple[object, object]]:
    return [(change["before"], change["after"]) for change in result["changes"]]


def flip(host: Host, name: str) -> None:
    """Change one byte of a file of the only image, keeping its size."""
    found = [path for path in pathlib.Path(host.paths.trees).rglob(name) if path.is_file()]
    assert found
    for path in found:
        data = path.read_bytes()
        path.write_bytes(b"!" + data[1:])


def is_whole(host: Host) -> bool:
    [image] = index.list_images(host.paths)
    return not verification.find_damage(host.paths, trees.tree_of(host.paths, image.id))


def test_the_same_image_is_fetched_again_and_no_change(amd: Host, registry: FakeRegistry) -> None:
    task(amd, registry.reference)
    assert task(amd, registry.reference, force=True, check=True)["changes"] == []
    before = len(registry.asked())
    assert task(amd, registry.reference, pull="update")["changes"] == []
    asked = registry.asked()[before:]
    assert asked == ["HEAD manifests/latest"]
    assert task(amd, registry.reference, force=True)["changes"] == []
    assert "GET manifests/latest" in registry.asked()[before:]
    assert registry.asked().count(f"GET blobs/{digest_of(LOW)}") == 1


def test_another_image_is_a_change_as_said_beforehand(amd: Host, registry: FakeRegistry) -> None:
    first = task(amd, registry.reference)["image"]["id"]
    registry.image(LOW, archive(high=b"other"))
    assert ends(task(amd, registry.reference, force=True, check=True)) == [(first, "known once fetched")]
    result = task(amd, registry.reference, force=True)
    assert ends(result) == [(first, result["image"]["id"])]
    assert result["image"]["id"] != first


def test_a_damaged_image_is_healed_by_its_damaged_layer_alone(amd: Host, registry: FakeRegistry) -> None:
    image_id = task(amd, registry.reference)["image"]["id"]
    flip(amd, "high")
    assert not is_whole(amd)
    assert task(amd, registry.reference, pull="update")["changes"] == []  # which does not look
    assert ends(task(amd, registry.reference, force=True, check=True)) == [("damaged", "known once fetched")]
    assert not is_whole(amd)
    assert ends(task(amd, registry.reference, force=True)) == [("damaged", image_id)]
    assert is_whole(amd)
    fetched = [registry.asked().count(f"GET blobs/{digest_of(layer)}") for layer in (LOW, HIGH)]
    assert fetched == [1, 2]
    assert task(amd, registry.reference, force=True)["changes"] == []


@pytest.mark.parametrize("part", ["tree", "archive"])
def test_a_damaged_aci_is_healed(host: Host, tmp_path: pathlib.Path, part: str) -> None:
    file = tmp_path / "a.aci"
    file.write_bytes(make_aci())
    image_id = task(host, str(file))["image"]["id"]
    assert task(host, str(file), force=True)["changes"] == []
    blob = pathlib.Path(host.paths.blob(image_id))
    if part == "tree":
        flip(host, "f")
    else:
        data = blob.read_bytes()
        blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert ends(task(host, str(file), force=True, check=True)) == [("damaged", "known once fetched")]
    assert ends(task(host, str(file), force=True)) == [("damaged", image_id)]
    verification.check_archive(host.paths, index.list_images(host.paths)[0].id)
    assert is_whole(host)
    assert task(host, str(file), force=True)["changes"] == []


def test_a_missing_image_is_fetched_as_without_it(amd: Host, registry: FakeRegistry) -> None:
    assert ends(task(amd, registry.reference, force=True, check=True)) == [(None, "present")]
    assert len(task(amd, registry.reference, force=True)["changes"]) == 1


def test_a_registry_that_is_away_leaves_a_whole_image(amd: Host, registry: FakeRegistry) -> None:
    task(amd, registry.reference)
    registry.habit = lambda *_other: (503, {}, b"")
    with pytest.raises(Unreachable):
        task(amd, registry.reference, force=True)
    assert is_whole(amd)


def test_each_of_several_is_fetched_again(amd: Host, registry: FakeRegistry) -> None:
    registry.image(LOW, archive(other=b"o"), tag="other")
    names = [registry.reference, f"{registry.reference}:other"]
    task(amd, names)
    flip(amd, "other")
    result = task(amd, names, force=True)
    assert [entry["changed"] for entry in result["images"]] == [False, True]
    assert not task(amd, names, force=True)["changed"]


def test_what_force_needs_is_said(amd: Host, registry: FakeRegistry) -> None:
    image_id = task(amd, registry.reference)["image"]["id"]
    for name, options, why in (
        (image_id, {}, "does not say where the image is fetched from"),
        (registry.reference, {"pull": "never"}, "with pull: never nothing is fetched"),
        (
            registry.reference,
            {"src": "/x"},
            "a file of the controller is sent when the store lacks its image",
        ),
    ):
        with pytest.raises(InvalidSpec, match=why) as caught:
            task(amd, name, force=True, **options)
        assert caught.value.where == "force"
    assert task(amd, image_id, force=True, state="absent")["changed"]


def test_nothing_is_changed_beneath_a_pod(amd: Host, registry: FakeRegistry) -> None:
    image_id = task(amd, registry.reference)["image"]["id"]
    add_pod(amd.paths, "prepared", image_id, trees.tree_of(amd.paths, image_id))
    assert task(amd, registry.reference, force=True)["changes"] == []  # it is whole
    flip(amd, "high")
    [warning] = task(amd, registry.reference, force=True, check=True)["warnings"]
    assert "pods use what is damaged of image" in warning
    with pytest.raises(Conflict, match="pods use what is damaged of image"):
        task(amd, registry.reference, force=True)
    assert task(amd, registry.reference)["changes"] == []  # all of it is still there


def test_an_archive_is_replaced_though_a_pod_uses_the_tree(host: Host, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.aci"
    file.write_bytes(make_aci())
    image_id = task(host, str(file))["image"]["id"]
    add_pod(host.paths, "prepared", image_id, trees.tree_of(host.paths, image_id))
    pathlib.Path(host.paths.blob(image_id)).write_bytes(b"")
    assert ends(task(host, str(file), force=True)) == [("damaged", image_id)]
    assert task(host, str(file), force=True)["changes"] == []
