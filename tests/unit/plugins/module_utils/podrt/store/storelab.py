# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images in a store, and pods that use them."""

from __future__ import annotations

import hashlib
import os
import pathlib

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import (
    ACIdentifier,
    ACName,
    ImageID,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import (
    PodManifest,
    RuntimeApp,
    RuntimeImage,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import documents
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.lifecycle import create
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import (
    blobs,
    commit,
    index,
    layers,
    locks,
    trees,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.workspace import Workspace


def load(paths: Paths, data: bytes, what: str = "the archive", *, latest: bool = False) -> index.StoredImage:
    """Import an ACI."""
    with Workspace(paths) as workspace:
        incoming = blobs.receive_archive(paths, workspace, iter([data]), what)
        return entered(paths, incoming.replace(latest=latest))


def load_manifest(paths: Paths, manifest: ImageManifest, *layer_ids: str) -> index.StoredImage:
    """Import an image whose layers are in place, topmost first."""
    with Workspace(paths) as workspace:
        return entered(paths, blobs.receive_manifest(workspace, manifest, layer_ids, (), latest=False))


def entered(paths: Paths, incoming: blobs.Incoming) -> index.StoredImage:
    """Put an image into the index that need not be rendered."""
    with locks.adding(paths), blobs.lock_image(paths, incoming.id):
        return commit.enter(paths, incoming)


def add_docker(paths: Paths, *archives: bytes, name: str = "example.com/docker") -> index.StoredImage:
    """Add an image of docker layers, the lowest first."""
    ids = []
    for data in archives:
        layer_id = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with Workspace(paths) as workspace:
            extraction = layers.unpack_layer(workspace, layer_id, iter([data]))
            layers.commit(paths, workspace, extraction, layer_id)
        ids.insert(0, layer_id)
    return load_manifest(paths, ImageManifest(ACIdentifier(name)), *ids)


def flat(paths: Paths, tree: trees.TreeID, tmp_path: pathlib.Path) -> pathlib.Path:
    """A rendered tree, copied."""
    target = tmp_path / f"copy-{os.urandom(4).hex()}"
    target.mkdir()
    trees.copy_tree(paths, tree, str(target))
    return target


def names(root: pathlib.Path) -> list[str]:
    """The names of everything in a directory."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def add_pod(paths: Paths, state_dir: str, image: ImageID, tree: str, *, name: str = "") -> str:
    """Add a pod of one app, not running, on a tree; return its UUID."""
    app = RuntimeApp(
        ACName("web"), RuntimeImage(image, ACIdentifier("example.com/a")), App(("/x",), "0", "0")
    )
    with create(paths) as pod:
        documents.write_manifest(pod.dir, PodManifest((app,)))
        documents.write_runspec(pod.dir, RunSpec(name=name))
        os.makedirs(pod.dir.app_info("web"))
        pathlib.Path(pod.dir.app_tree_id("web")).write_text(tree)
        if state_dir != "prepare":
            pod.move(state_dir)
        return pod.uuid
