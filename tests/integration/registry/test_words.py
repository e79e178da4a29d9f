# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Messages of tasks about images and the configuration: warnings once, and bounds with the setting that raises them."""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import run_task
from ansible_collections.stagecraft.pods.tests.integration.registry.conftest import Registry
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout, layer

pytestmark = pytest.mark.root
FILES = layer(("bin", None), ("bin/x", b"program"))
_numbers = itertools.count()


@pytest.fixture
def task(tmp_path: pathlib.Path) -> Callable[..., Any]:
    def run(module: str, **options: object) -> Any:
        directories = {"data_dir": f"{tmp_path}/data", "config_dir": f"{tmp_path}/etc"}
        return run_task(module, {**directories, "insecure_options": ["image"], **options}, check=False)

    return run


@pytest.fixture
def push(registry: Registry, layout: Layout) -> Callable[..., str]:
    def push(*archives: bytes, **config: object) -> str:
        name = f"{registry.address}/words{next(_numbers)}:1"
        layout.push(layout.image(*archives, **config), name)
        return f"docker://{name}"

    return push


@pytest.mark.finding("use-N12")
@pytest.mark.parametrize("module", ["pod_run", "pod_image"])
def test_what_is_not_done_of_an_image_is_said_when_it_is_fetched(
    task: Callable[..., Any], push: Callable[..., str], module: str
) -> None:
    image = push(FILES, Cmd=["/bin/x"], Healthcheck={"Test": ["CMD", "/bin/x"]}, ExposedPorts={"no/tcp": {}})
    pod = {"name": "web", "state": "prepared", "apps": [{"image": image, "name": "app"}]}
    options = pod if module == "pod_run" else {"name": image}
    assert task(module, **options)["warnings"] == [
        f"{image}: the port no/tcp is left out: it is not a port",
        f"{image}: the health check of the image is not run in this release",
    ]
    assert task(module, **options)["warnings"] == []


def configure(tmp_path: pathlib.Path, directory: str, **members: object) -> None:
    place = tmp_path / "etc" / directory
    place.mkdir(parents=True)
    kind = directory.removesuffix(".d")
    (place / "it.json").write_text(json.dumps({"rktKind": kind, "rktVersion": "v1", **members}))


@pytest.mark.finding("attack-F9")
@pytest.mark.parametrize("member", ["unpackedBytes", "unpackedEntries"])
def test_all_layers_of_an_image_count_against_the_bounds_of_the_host(
    task: Callable[..., Any], push: Callable[..., str], tmp_path: pathlib.Path, member: str
) -> None:
    """Each layer is within the bound, both together are not; nothing of the image is left."""
    configure(tmp_path, "limits.d", **{member: {"unpackedBytes": 15_000, "unpackedEntries": 3}[member]})
    image = push(FILES, layer(("etc", None), ("etc/x", b"more")), Cmd=["/bin/x"])
    with pytest.raises(Corrupt, match="refusing to unpack the image") as caught:
        task("pod_image", name=image)
    assert member in caught.value.hint
    assert list((tmp_path / "data/cas/tmp").iterdir()) == []
    assert not (tmp_path / "data/cas/index").exists()


@pytest.mark.finding("rkt-R10")
def test_a_stage1_that_is_configured_is_used_or_an_error(
    task: Callable[..., Any], push: Callable[..., str], tmp_path: pathlib.Path
) -> None:
    configure(tmp_path, "stage1.d", location="/s.aci")
    image = push(FILES, Cmd=["/bin/x"])
    pod = {"name": "web", "state": "prepared", "apps": [{"image": image, "name": "app"}]}
    with pytest.raises(NotFound, match=r"/s\.aci"):
        task("pod_run", **pod)
    assert task("pod_run", stage1_name="native", **pod)["changed"]
