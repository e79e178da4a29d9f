# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pod_image with several names: side by side, each with its own result, and one that fails stops no other."""

from __future__ import annotations

import os
import pathlib
import signal
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.workers import Workers
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index, locks, pins
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

pytestmark = pytest.mark.root
__all__ = ["_host", "_web"]  # fixtures

COMMON = archive(shared=b"s" * 4096)


@pytest.fixture(name="registry")
def _registry(web: Web) -> FakeRegistry:
    """Three images with one layer in common."""
    registry = FakeRegistry(web)
    for tag in ("a", "b", "c"):
        registry.image(COMMON, archive(**{tag: tag.encode()}), tag=tag)
    return registry


@pytest.fixture(name="amd")
def _amd(host: Host) -> Host:
    return host.replace(arch="amd64")


def task(host: Host, *names: str, check: bool = False, **options: object) -> dict[str, Any]:
    given = Fields({"name": list(names), "insecure_options": ["image"], **options}, "")
    result: Any = run.TASKS["pod_image"](host, given, check)
    assert result["changed"] == bool(result["changes"])
    return result


def column(result: dict[str, Any], name: str) -> list[object]:
    return [entry[name] for entry in result["images"]]


def stored(host: Host) -> list[str]:
    return sorted(image.manifest.full_name.rpartition(":")[2] for image in index.list_images(host.paths))


def tags(registry: FakeRegistry, *names: str) -> list[str]:
    return [f"{registry.reference}:{name}" for name in names]


def test_each_has_its_own_result_in_the_order_given(amd: Host, registry: FakeRegistry) -> None:
    names = tags(registry, "c", "a", "b")
    task(amd, names[1])
    foreseen = task(amd, *names, check=True)
    assert column(foreseen, "changed") == [True, False, True]
    assert [bool(image) for image in column(foreseen, "image")] == [False, True, False]
    assert stored(amd) == ["a"]
    result = task(amd, *names)
    assert column(result, "reference") == names
    assert column(result, "changed") == [True, False, True]
    assert [change["path"] for change in result["changes"]] == [f"images.{names[0]}", f"images.{names[2]}"]
    assert result["diff"]["after"].count("\n") == 2
    assert [image["name"].rpartition(":")[2] for image in column(result, "image")] == ["c", "a", "b"]  # type: ignore[index]
    assert "image" not in result and "failed" not in result
    assert stored(amd) == ["a", "b", "c"]


def test_a_layer_that_they_share_is_asked_for_once(amd: Host, registry: FakeRegistry) -> None:
    task(amd, *tags(registry, "a", "b", "c"))
    assert registry.asked().count(f"GET blobs/{digest_of(COMMON)}") == 1


def test_they_are_fetched_side_by_side(amd: Host, registry: FakeRegistry) -> None:
    met = threading.Barrier(2, timeout=20)

    def meet(method: str, path: str, _headers: dict[str, str]) -> None:
        if method == "GET" and "/manifests/" in path:
            met.wait()  # one after the other, the first would wait for ever

    registry.habit = meet
    assert "failed" not in task(amd, *tags(registry, "a", "b"))


def test_nothing_to_do_starts_no_process_and_asks_no_registry(
    amd: Host, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tags(registry, "a", "b", "c")
    task(amd, *names)
    before = len(registry.asked())
    started: list[int] = []
    fork = os.fork

    def counted() -> int:
        started.append(1)
        return fork()

    monkeypatch.setattr(os, "fork", counted)
    result = task(amd, *names)
    assert (result["changed"], column(result, "changed")) == (False, [False] * 3)
    assert (len(registry.asked()), started) == (before, [])
    task(amd, *names, state="absent")
    assert started == []
    task(amd, *names)
    assert started  # so it is counted


@pytest.mark.parametrize("pull", ["new", "update"])
def test_a_registry_is_asked_for_a_list_as_often_as_for_each_name_alone(
    amd: Host, registry: FakeRegistry, pull: str
) -> None:
    """About images that are as they were, that are others by now, and that it does not have."""
    registry.image(COMMON, archive(d=b"d"), tag="d")
    task(amd, *tags(registry, "a", "b", "c", "d"))
    for tag in ("c", "d"):
        registry.image(COMMON, archive(new=tag.encode()), tag=tag)

    def asked_since(before: int) -> Counter[str]:
        return Counter(line.partition("/")[0] for line in registry.asked()[before:])

    before = len(registry.asked())
    for name in tags(registry, "a", "c", "nowhere"):
        given = {"name": name, "insecure_options": ["image"], "pull": pull}
        with suppress(PodError):
            run.TASKS["pod_image"](amd, Fields(given, ""), False)
    alone, before = asked_since(before), len(registry.asked())
    result = task(amd, *tags(registry, "b", "d", "neither"), pull=pull)
    assert column(result, "changed") == [False, pull == "update", False]
    assert column(result, "failed") == [False, False, True]
    assert asked_since(before) == alone


def test_one_that_fails_stops_no_other_and_is_named(amd: Host, registry: FakeRegistry) -> None:
    names = tags(registry, "a", "nowhere", "b", "neither")
    result = task(amd, *names)
    assert (result["failed"], column(result, "failed")) == (True, [False, True, False, True])
    assert result["msg"].startswith("2 of 4 images failed: ")
    for entry in (result["images"][1], result["images"][3]):
        assert entry["reference"] in entry["msg"] and entry["msg"] in result["msg"]
        assert result["msg"].count(entry["reference"]) == 1
        assert (entry["image"], entry["changed"]) == (None, False)
    assert result["error"] == result["images"][1]["error"]
    assert column(result, "changed") == [True, False, True, False]
    assert len(result["changes"]) == 2
    assert stored(amd) == ["a", "b"]
    assert os.listdir(amd.paths.workspaces) == []


def test_a_process_that_is_killed_fails_its_image_alone(amd: Host, registry: FakeRegistry) -> None:
    pids: list[int] = []
    start = Workers.start

    def started(workers: Workers) -> None:
        start(workers)
        pids[:] = list(workers.pids)

    source = parse_reference(f"{registry.reference}:a").source
    turn = locks.turn(amd.paths, source, "", patience=0, tell=lambda _line: None).path

    def kill(method: str, path: str, _headers: dict[str, str]) -> None:
        if path.endswith("/manifests/a") and method == "GET":
            os.kill(next(pid for pid in pids if turn in opened(pid)), signal.SIGKILL)

    registry.habit = kill
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workers, "start", started)
        result = task(amd, *tags(registry, "a", "b", "c"))
    assert column(result, "failed") == [True, False, False]
    assert "was killed by signal 9" in result["images"][0]["msg"]
    assert stored(amd) == ["b", "c"]
    registry.habit = lambda *_other: None
    assert column(task(amd, *tags(registry, "a", "b", "c")), "changed") == [True, False, False]


def opened(pid: int) -> list[str]:
    """The files that a process has open; it may close one, and end, at any moment."""
    found = []
    with suppress(FileNotFoundError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def test_names_that_mean_the_same_are_one(amd: Host, registry: FakeRegistry, tmp_path: pathlib.Path) -> None:
    registry.image(COMMON)
    result = task(amd, registry.reference, f"{registry.reference}:latest", registry.reference)
    assert column(result, "reference") == [registry.reference]
    assert len(result["changes"]) == 1
    file = tmp_path / "a.aci"
    file.write_bytes(make_aci())
    assert len(task(amd, str(file), str(file))["images"]) == 1


def test_an_empty_list_is_nothing_to_do(host: Host) -> None:
    result = task(host)
    assert (result["changed"], result["images"]) == (False, [])


def test_they_are_pinned_and_removed(amd: Host, registry: FakeRegistry) -> None:
    names = tags(registry, "a", "b")
    task(amd, *names, pinned=True)
    assert len(pins.pinned(amd.paths)) == 2
    third = tags(registry, "c")[0]
    foreseen = task(amd, *names, third, state="absent", check=True)
    assert column(foreseen, "changed") == [True, True, False]
    assert stored(amd) == ["a", "b"]
    result = task(amd, *names, third, state="absent")
    assert (column(result, "changed"), column(result, "image")) == ([True, True, False], [None] * 3)
    assert (stored(amd), pins.pinned(amd.paths)) == ([], {})
    assert not task(amd, *names, third, state="absent")["changed"]


def test_a_removal_warns_only_of_images_that_stay(host: Host, tmp_path: pathlib.Path) -> None:
    needs = [{"imageName": "example.com/base"}]
    for name, manifest in (("base", {}), ("mid", {"dependencies": needs})):
        (tmp_path / f"{name}.aci").write_bytes(make_aci(f"example.com/{name}", **manifest))
        task(host, str(tmp_path / f"{name}.aci"))
    both = ("example.com/base", "example.com/mid")
    assert "example.com/mid" in str(task(host, both[0], state="absent", check=True)["warnings"])
    for check in (True, False):
        assert task(host, *both, state="absent", check=check)["warnings"] == []


@pytest.mark.parametrize("option", ["src", "signature", "dest"])
def test_what_is_of_one_image_is_refused_for_a_list(host: Host, option: str) -> None:
    with pytest.raises(InvalidSpec, match=f"{option}: it is of one image, and name is a list"):
        task(host, "example.com/a", **{option: "/x"})


@pytest.mark.parametrize(
    ("names", "place"),
    [(("docker://a.example/b", "busybox:"), "name[1]"), ((7,), "name[0]"), ((None,), "name[0]")],
)
def test_a_wrong_name_is_refused_before_anything_is_done(host: Host, names: Any, place: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        task(host, *names)
    assert caught.value.where == place


def test_one_name_has_the_result_that_it_always_had(amd: Host, registry: FakeRegistry) -> None:
    given = Fields({"name": tags(registry, "a")[0], "insecure_options": ["image"]}, "")
    result = run.TASKS["pod_image"](amd, given, False)
    assert set(result) == {"changed", "changes", "diff", "warnings", "image", "bytes", "seconds"}


def test_what_may_be_secret_in_a_url_is_in_no_result(host: Host, web: Web) -> None:
    web.answer = lambda _method, path, _headers: (
        (200, {}, make_aci()) if path.startswith("/a") else (404, {}, b"")
    )
    result = task(host, f"{web.url}/a.aci?token=hunter2", f"{web.url}/b.aci?token=hunter2")
    assert column(result, "failed") == [False, True]
    assert column(result, "reference") == [f"{web.url}/a.aci", f"{web.url}/b.aci"]
    assert "hunter2" not in repr(result)
