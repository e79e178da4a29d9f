# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The stored archive of an image may be damaged; reading it then neither blocks nor goes on without end."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import (
    LAYERS_ANNOTATION,
    ImageManifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACIdentifier
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import blobs, index, layers
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.store.storelab import (
    load,
    load_manifest,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(20)]

_READERS: dict[str, Callable[[Paths, index.ImageID], object]] = {
    "cat-manifest": blobs.manifest_as_sent,
    "render": blobs.restore_layer,
}


def _sparse(path: str) -> None:
    """A sparse file larger than any image may be."""
    with open(path, "wb") as file:
        file.write(b"x" * 512)
        file.truncate(1 << 40)


_DAMAGE: dict[str, tuple[Callable[[str], object], str]] = {
    "pipe": (os.mkfifo, "it is a named pipe, not a regular file"),
    "endless": (lambda path: os.symlink("/dev/zero", path), "it is a symbolic link, not a regular file"),
    "directory": (os.mkdir, "it is a directory, not a regular file"),
    "sparse": (_sparse, "not a tar|damaged|checksum|header"),
}


@pytest.mark.finding("attack-F17")
@pytest.mark.parametrize("reader", _READERS.values(), ids=_READERS)
@pytest.mark.parametrize(("damage", "said"), _DAMAGE.values(), ids=_DAMAGE)
def test_a_stored_archive_that_is_no_file_is_corrupt(paths, make_aci, reader, damage, said):
    image = load(paths, make_aci({"name": "a"}))
    layers.remove_layer(paths, layers.layer_name(image.id))
    path = paths.blob(image.id)
    os.unlink(path)
    damage(path)
    with pytest.raises(Corrupt, match=said):
        reader(paths, image.id)


@pytest.mark.finding("attack-F17")
def test_a_stored_archive_is_read_no_further_than_an_image_may_grow(
    paths, make_aci, entry, tmp_path, monkeypatch
):
    image = load(paths, make_aci({"name": "a"}, entry("file", bytes(1 << 20))))
    layers.remove_layer(paths, layers.layer_name(image.id))
    blobs.restore_layer(paths, image.id)
    layers.remove_layer(paths, layers.layer_name(image.id))
    limits = pathlib.Path(tmp_path / "etc" / "limits.d")
    limits.mkdir(parents=True)
    (limits / "small.json").write_text('{"rktKind": "limits", "rktVersion": "v1", "unpackedBytes": 100000}')
    small = paths.replace(local_config=str(tmp_path / "etc"))
    with pytest.raises(Corrupt, match="comes to more than 100000 bytes unpacked"):
        blobs.restore_layer(small, image.id)
    shutil.rmtree(limits)
    blobs.restore_layer(small, image.id)


@pytest.mark.finding("a4-F3")
def test_nothing_but_a_registry_gives_a_docker_image(paths):
    """The record of one has the same ID as an archive with the same bytes, and none of the layers."""
    manifest = ImageManifest(
        ACIdentifier("reg.example.com/app"), annotations=Labels(((LAYERS_ANNOTATION, "sha256:" + "ab" * 32),))
    )
    stored = load_manifest(paths, manifest)
    before = pathlib.Path(paths.cas, "index").stat().st_mtime_ns
    with pytest.raises(Corrupt, match="is the record of a docker image, and not an image") as caught:
        load(paths, blobs.archive_of(manifest), "twin.aci")
    assert caught.value.hint == "fetch the image by its docker reference"
    assert index.get_image(paths, stored.id).layers == ()
    assert pathlib.Path(paths.cas, "index").stat().st_mtime_ns == before
