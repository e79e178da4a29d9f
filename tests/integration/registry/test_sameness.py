# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images are compared by their roots and the programs that run there, not by their names."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import run_task
from ansible_collections.stagecraft.pods.tests.integration.registry.conftest import Registry
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout, layer

pytestmark = [pytest.mark.root, pytest.mark.finding("use-N11")]
FILES = layer(("bin", None), ("bin/x", b"program"))
Pod = Callable[..., Any]


@pytest.fixture
def pod(tmp_path: pathlib.Path) -> Pod:
    """The result of pod_run for a prepared pod of one app."""

    def run(image: str, *, check: bool = False, **options: object) -> Any:
        app = {"image": image, "name": "app"}
        given = {"name": "web", "state": "prepared", "insecure_options": ["image"], "apps": [app], **options}
        directories = {"data_dir": f"{tmp_path}/data", "config_dir": f"{tmp_path}/etc"}
        return run_task("pod_run", {**directories, **given}, check=check)

    return run


@pytest.fixture
def push(registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> Callable[..., str]:
    name = f"same-{tmp_path.name.lower().replace('_', '-')}"

    def push(tag: str, *archives: bytes, **config: object) -> str:
        image = layout.image(*archives or (FILES,), **{"Cmd": ["/bin/x"], **config})
        layout.push(image, f"{registry.address}/{name}:{tag}")
        return f"docker://{registry.address}/{name}:{tag}"

    return push


def changed(result: Any) -> list[str]:
    return [change["path"] for change in result["changes"]]


def test_the_same_image_under_another_tag_is_no_change_of_the_pod(pod: Pod, push: Callable[..., str]) -> None:
    reference = push("1.0")
    made = pod(reference)
    first = made["pod"]
    (fetched,) = made["fetched"]
    assert fetched["reference"] == reference and fetched["bytes"] > 0 and fetched["seconds"] > 0
    assert pod(reference)["fetched"] == pod(reference, check=True)["fetched"] == []
    other = push("stable")
    result = pod(other)
    assert changed(result) == [f"images.{other}"]
    assert result["pod"]["uuid"] == first["uuid"]
    assert result["pod"]["apps"][0]["image_id"] == first["apps"][0]["image_id"]
    assert changed(pod(other)) == changed(pod(other, check=True)) == []


@pytest.mark.parametrize(
    "config",
    [
        {"Labels": {"revision": "2"}},
        {"StopSignal": "SIGQUIT"},
        {"Healthcheck": {"Test": ["CMD", "/bin/x"]}},
        {"OnBuild": ["RUN x"]},
        {"ExposedPorts": {"9000/sctp": {}}},  # releases up to 0.7.0 left it out
    ],
    ids=lambda config: next(iter(config)),
)
def test_a_new_image_of_the_same_content_is_no_change_of_the_pod(
    pod: Pod, push: Callable[..., str], config: dict[str, object]
) -> None:
    image = push("latest")
    first = pod(image)["pod"]
    push("latest", **config)
    result = pod(image, pull="update")
    assert changed(result) in ([f"images.{image}"], [])
    assert result["pod"] == first
    assert changed(pod(image, pull="update")) == []


def test_a_health_check_that_changes_or_goes_is_no_change_of_the_pod(
    pod: Pod, push: Callable[..., str]
) -> None:
    image = push("latest", Healthcheck={"Test": ["CMD", "/bin/x"], "Interval": 10**9})
    first = pod(image)["pod"]
    for check in ({"Test": ["CMD", "/bin/x"], "Interval": 2 * 10**9}, None):
        push("latest", Healthcheck=check)
        result = pod(image, pull="update")
        assert changed(result) == [f"images.{image}"]
        assert result["pod"] == first


@pytest.mark.parametrize(
    ("archives", "config"),
    [
        ((layer(("bin", None), ("bin/x", b"changed")),), {}),
        ((FILES, layer(("more", b"x"))), {}),
        ((), {"Cmd": ["/bin/x", "more"]}),
        ((), {"Env": ["LEVEL=debug"]}),
        ((), {"User": "100"}),
        ((), {"Volumes": {"/data": {}}}),
    ],
    ids=["content", "layer", "command", "variable", "user", "volume"],
)
def test_an_image_that_runs_otherwise_replaces_the_pod(
    pod: Pod, push: Callable[..., str], archives: tuple[bytes, ...], config: dict[str, object]
) -> None:
    image = push("latest")
    first = pod(image)["pod"]
    push("latest", *archives, **config)
    result = pod(image, pull="update")
    assert result["pod"]["uuid"] != first["uuid"]
    assert result["pod"]["apps"][0]["image_id"] != first["apps"][0]["image_id"]
    assert f"images.{image}" in changed(result)
    assert len(changed(result)) > 1


def test_a_change_of_the_play_shows_no_change_of_an_image_that_is_the_same(
    pod: Pod, push: Callable[..., str]
) -> None:
    pod(push("1.0"))
    other = push("stable")
    assert changed(pod(other, hostname="new")) == [f"images.{other}", "hostname"]


def aci(path: pathlib.Path, content: bytes = b"program", **manifest: object) -> str:
    """Write an ACI; return its path."""
    labels = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
    app = {"exec": ["/bin/x"], "user": "0", "group": "0"}
    full = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/x", "labels": labels}
    document = json.dumps({**full, "app": app, **manifest}).encode()
    path.write_bytes(layer(("manifest", document), ("rootfs", None), ("rootfs/bin/x", content)))
    return str(path)


def test_it_is_the_same_for_acis(pod: Pod, tmp_path: pathlib.Path) -> None:
    first = pod(aci(tmp_path / "a.aci"))["pod"]
    noted = [{"name": "created", "value": "2026-01-01T00:00:00Z"}]
    same = pod(aci(tmp_path / "b.aci", annotations=noted, name="example.com/y"))["pod"]
    assert same == first
    other = pod(aci(tmp_path / "c.aci", b"changed"))["pod"]
    assert other["uuid"] != first["uuid"]


def based(path: pathlib.Path, **more: object) -> str:
    """An ACI without its own files that depends on base."""
    return aci(path, b"own", dependencies=[{"imageName": "base"}], name="example.com/app", **more)


def base(path: pathlib.Path, *files: tuple[str, bytes | None], note: str = "1") -> str:
    """An ACI of the name base."""
    noted = [{"name": "created", "value": f"2026-01-0{note}T00:00:00Z"}]
    labels = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
    head = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "base", "labels": labels}
    document = json.dumps({**head, "annotations": noted}).encode()
    path.write_bytes(layer(("manifest", document), ("rootfs", None), *files))
    return str(path)


@pytest.fixture
def fetch(tmp_path: pathlib.Path) -> Pod:
    """The result of pod_image, with image waived."""

    def run(name: str, *, check: bool = False, **options: object) -> Any:
        given = {"name": name, "insecure_options": ["image"], **options}
        directories = {"data_dir": f"{tmp_path}/data", "config_dir": f"{tmp_path}/etc"}
        return run_task("pod_image", {**directories, **given}, check=check)

    return run


@pytest.mark.finding("a4-F2")
@pytest.mark.parametrize("by_name", [False, True])
def test_a_base_that_changed_replaces_the_pod_in_check_mode_and_run_alike(
    pod: Pod, fetch: Pod, tmp_path: pathlib.Path, by_name: bool
) -> None:
    fetch(base(tmp_path / "base1.aci", ("rootfs/x", b"good")))
    image = based(tmp_path / "app.aci")
    first = pod(image)["pod"]
    image = "example.com/app" if by_name else image
    assert changed(pod(image)) == changed(pod(image, check=True)) == []
    fetch(base(tmp_path / "base2.aci", ("rootfs/x", b"other")))
    foreseen = pod(image, check=True)
    result = pod(image)
    assert foreseen["changes"] == result["changes"]
    assert changed(result) == [f"images.{image}.tree", "apps[0].tree"]
    assert result["changes"][1]["impact"] == "recreate"
    assert result["pod"]["uuid"] != first["uuid"]
    assert changed(pod(image)) == changed(pod(image, check=True)) == []


@pytest.mark.finding("a4-F2")
def test_a_base_of_the_same_files_is_no_change_of_the_pod(
    pod: Pod, fetch: Pod, tmp_path: pathlib.Path
) -> None:
    fetch(base(tmp_path / "base1.aci", ("rootfs/x", b"good")))
    image = based(tmp_path / "app.aci")
    first = pod(image)["pod"]
    fetch(base(tmp_path / "base2.aci", ("rootfs/x", b"good"), note="2"))
    assert changed(pod(image, check=True)) == [f"images.{image}.tree"]
    result = pod(image)
    assert changed(result) == [f"images.{image}.tree"]
    assert result["pod"]["uuid"] == first["uuid"]
    assert changed(pod(image)) == []


@pytest.mark.finding("a4-F1")
def test_what_is_fetched_again_is_what_its_name_means_again(
    pod: Pod, fetch: Pod, tmp_path: pathlib.Path
) -> None:
    """Another image took the name; a check says nothing and changes nothing, nor does a pod that has its file."""
    good, evil = aci(tmp_path / "good.aci"), aci(tmp_path / "evil.aci", b"evil")
    first = fetch(good)
    assert first["warnings"] == []
    (warning,) = fetch(evil)["warnings"]
    good_id, evil_id = first["image"]["id"], fetch(evil)["image"]["id"]
    assert f'{evil}: the name "example.com/x" meant {good_id} until now, and means {evil_id} now' in warning
    assert fetch(good, check=True)["warnings"] == []
    pod(good)
    assert fetch("example.com/x")["image"]["id"] == evil_id
    (warning,) = fetch(good)["warnings"]
    assert f"meant {evil_id} until now, and means {good_id} now" in warning
    assert fetch("example.com/x")["image"]["id"] == good_id
    again = fetch(good)
    assert (again["changed"], again["warnings"]) == (False, [])


@pytest.mark.finding("a4-F8")
def test_check_mode_knows_that_the_image_of_a_file_lacks_a_dependency(
    pod: Pod, fetch: Pod, tmp_path: pathlib.Path
) -> None:
    lower, image = base(tmp_path / "base.aci"), based(tmp_path / "app.aci")
    lacks = "this would fail now: the image example.com/app needs base, which is not in the store"
    for _state in ("new", "known"):
        (warning,) = fetch(image, check=True)["warnings"]
        assert warning.startswith(lacks)
        assert any(line.startswith(lacks) for line in pod(image, check=True)["warnings"])
        with pytest.raises(NotFound, match=r"needs base"):
            fetch(image)
        fetch(lower)
        assert fetch(image, check=True)["warnings"] == []
        pod(image)
        for check in (True, False):
            (warning,) = fetch("base", state="absent", check=check)["warnings"]
            assert (
                "other images depend on what is removed" in warning
                and ": example.com/app (sha512-" in warning
            )
