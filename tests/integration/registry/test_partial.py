# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What was kept of a layer is continued by a real registry."""

from __future__ import annotations

import hashlib
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import files
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.partial import Partial
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks.run import run_task
from ansible_collections.stagecraft.pods.tests.integration.registry.conftest import Registry
from ansible_collections.stagecraft.pods.tests.integration.registry.layouts import Layout, layer

pytestmark = [pytest.mark.root, pytest.mark.behaviour("B22", "B23")]


class Unheard:
    """What hears of a download."""

    def begins(self, whole: int | None, had: int) -> None:
        pass

    def has(self, count: int) -> None:
        pass


def blobs(registry: Registry) -> set[pathlib.Path]:
    return {path for path in registry.root.rglob("data") if path.is_file()}


def test_only_the_rest_of_a_layer_is_downloaded(
    registry: Registry, layout: Layout, tmp_path: pathlib.Path
) -> None:
    name = f"{registry.address}/partial:1"
    before = blobs(registry)
    layout.push(layout.image(layer(("bin", None), ("bin/x", os.urandom(3_000_000))), Cmd=["/bin/x"]), name)
    blob = max((path.read_bytes() for path in blobs(registry) - before), key=len)
    digest, half = f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob) // 2
    paths = Paths(data=f"{tmp_path}/data")
    key = f"blob {registry.address} {digest}"
    with (
        pytest.raises(Unreachable),
        Partial(paths, key, lambda _line: None, Unheard(), checked=True) as kept,
    ):
        kept.begin({}, len(blob), kept=True)
        kept.add(blob[:half])
        raise Unreachable("the line is dead")
    options = {"data_dir": paths.data, "config_dir": f"{tmp_path}/etc", "insecure_options": ["image"]}
    result = run_task("pod_image", {**options, "name": f"docker://{name}"}, check=False)
    assert result["image"]
    assert result["bytes"] == len(blob) - half
    assert files.entries(paths.partials) == []
