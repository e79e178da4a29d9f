# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives and stores to test with."""

from __future__ import annotations

import io
import json
import pathlib
import tarfile
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import layers, trees
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.checksum import checksum

MakeTar = Callable[..., bytes]


def member(name: str, content: bytes | None = None, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A file if there is content, else of the kind in type= (by default a directory)."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.REGTYPE if content is not None else tarfile.DIRTYPE
    info.mode = 0o644 if content is not None else 0o755
    info.mtime = 1_500_000_000
    info.size = len(content or b"")
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content or b""


def is_as_made(paths: Paths, tree: trees.TreeID) -> bool:
    """Whether all files of a rendered tree are what they were when it was made (B50)."""
    place = paths.tree(tree)
    ids = tuple(pathlib.Path(place.layers).read_text().split())
    if not all(is_layer_as_made(paths, layer_id) for layer_id in ids):
        return False
    try:
        return trees._hash(paths, ids, place) == pathlib.Path(place.hash).read_text()
    except FileNotFoundError:
        return False


def is_layer_as_made(paths: Paths, layer_id: str) -> bool:
    """Whether the files of a layer are what they were when it was unpacked."""
    found = layers.find_layer(paths, layer_id)
    return found is not None and checksum(paths.layer(layers.layer_name(layer_id)).root) == found.hash


@pytest.fixture(name="entry")
def _entry() -> Callable[..., tuple[tarfile.TarInfo, bytes]]:
    return member


@pytest.fixture(name="make_tar")
def _make_tar() -> MakeTar:
    def make(*members: tuple[tarfile.TarInfo, bytes], **options: object) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", **options) as archive:  # type: ignore[call-overload]
            for info, content in members:
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    return make


@pytest.fixture(name="make_aci")
def _make_aci(make_tar: MakeTar) -> MakeTar:
    def make(manifest: dict[str, object], *members: tuple[tarfile.TarInfo, bytes]) -> bytes:
        full = {"acKind": "ImageManifest", "acVersion": "0.8.11", **manifest}
        below = list(members)
        for info, _other in below:
            info.name = f"rootfs/{info.name}"
            if info.type == tarfile.LNKTYPE:
                info.linkname = f"rootfs/{info.linkname}"
        return make_tar(member("manifest", json.dumps(full).encode()), member("rootfs"), *below)

    return make


@pytest.fixture(name="paths")
def _paths(tmp_path: pathlib.Path) -> Paths:
    return Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
