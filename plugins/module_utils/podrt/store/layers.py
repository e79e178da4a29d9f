# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers: the content of one ACI, or of one layer of a docker image, unpacked once and shared by all who use it.

    tree/layers/NAME/rootfs/    what the layer brings, with whiteouts as overlayfs has them
    tree/layers/NAME/rendered   what is known of it (Layer); a layer without this file is not there

NAME is the first 24 digits of the layer's ID, so that the names of 80 layers fit the page that mount(2) takes;
the whole ID is in `rendered` and compared. A layer comes into place by rename, after syncfs, under its own lock.
"""

from __future__ import annotations

import os

from ..appc.fields import Fields, canonical_json, parse_json
from ..errors import Corrupt, Untrusted
from ..host import files
from ..host.locks import FileLock
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths
    from .extract import Extraction
    from .workspace import Workspace

# A download may take long; its owner is named when the wait ends.
LOCK_SECONDS = 1800.0
_NAME_DIGITS = 24


class Layer(Value):
    """A layer in place.

    id: "sha256:" + the digest of the docker layer's uncompressed archive (its diff ID), or an ImageID. size: bytes
    of its files. hash: its checksum. implied: directories that only names of other entries spoke of.
    """

    id: str
    size: int
    hash: str
    implied: tuple[str, ...] = ()


def layer_name(layer_id: str) -> str:
    """The name of a layer's directory."""
    return layer_id[7 : 7 + _NAME_DIGITS]


def layer_root(layer_id: str) -> str:
    """The directory of a layer's files, relative to the tree store."""
    return f"layers/{layer_name(layer_id)}/rootfs"


def find_layer(paths: Paths, layer_id: str) -> Layer | None:
    """A layer that is in place, or None. Raises Corrupt when another one has its name."""
    try:
        data = files.read_bytes(f"{_directory(paths, layer_id)}/rendered")
    except FileNotFoundError:
        return None
    fields = Fields(parse_json(data, f"the record of layer {layer_id}"), "layer")
    found = Layer(fields.text("id"), fields.integer("size"), fields.text("hash"), fields.strings("implied"))
    if found.id != layer_id:
        raise Corrupt(
            f"the layers {found.id} and {layer_id} have the same name", "remove one of their images"
        )
    return found


def has_layer(paths: Paths, layer_id: str) -> bool:
    """Whether a layer is in place."""
    return os.path.exists(f"{_directory(paths, layer_id)}/rendered")


def lock_layer(paths: Paths, layer_id: str) -> FileLock:
    """Held by whoever makes or removes a layer."""
    return FileLock(f"{paths.cas}/imagelocks/layer-{layer_name(layer_id)}", timeout=LOCK_SECONDS)


def unpack_layer(workspace: Workspace, layer_id: str, chunks: Iterator[bytes]) -> Extraction:
    """Unpack the archive of a docker layer in a workspace. The caller holds the layer's lock.

    Raises Untrusted when the archive has another diff ID, Corrupt, and what the stream raises.
    """
    import hashlib

    from . import extract, stream, tar

    digest = hashlib.sha256()
    reader = tar.TarReader(stream.hashed(chunks, digest))
    with extract.Extraction(workspace.make_dir("rootfs"), whiteouts=True) as extraction:
        for entry in reader:
            extraction.add(entry, extract.clean(entry.name), reader)
    found = f"sha256:{digest.hexdigest()}"
    if found != layer_id:
        raise Untrusted(f"the layer {layer_id} has another diff ID: {found}")
    return extraction


def seal(workspace: Workspace, extraction: Extraction, layer_id: str) -> Layer:
    """Make a layer of the files in a workspace's rootfs; place comes after a sync."""
    from .checksum import checksum

    made = f"{workspace.path}/layer"
    os.mkdir(made, 0o755)
    os.rename(f"{workspace.path}/rootfs", f"{made}/rootfs")
    implied = tuple(sorted(extraction.implied))
    layer = Layer(layer_id, extraction.size, checksum(f"{made}/rootfs", extraction.digests), implied)
    record = {"id": layer.id, "size": layer.size, "hash": layer.hash, "implied": list(implied)}
    files.write_new(f"{made}/rendered", canonical_json(record))
    return layer


def place(paths: Paths, workspace: Workspace, layer_id: str) -> None:
    """Rename a sealed and synced layer into the store. The caller holds its lock."""
    target = _directory(paths, layer_id)
    files.make_dirs(os.path.dirname(target), 0o755)
    files.remove_tree(target)
    files.rename_synced(f"{workspace.path}/layer", target)


def commit(paths: Paths, workspace: Workspace, extraction: Extraction, layer_id: str) -> Layer:
    """Seal, sync and place one layer."""
    layer = seal(workspace, extraction, layer_id)
    workspace.sync()
    place(paths, workspace, layer_id)
    return layer


def remove_layer(paths: Paths, layer_id: str) -> int:
    """Remove a layer; the bytes that were freed. The caller holds its lock."""
    return remove_layer_dir(paths, layer_name(layer_id))


def remove_layer_dir(paths: Paths, name: str) -> int:
    """Remove a layer by the name of its directory: the record first, so that half a layer is none."""
    place = place_of(paths, name)
    freed = files.disk_usage(place)
    with_record = f"{place}/rendered"
    if os.path.exists(with_record):
        os.unlink(with_record)
    files.remove_tree(place)
    return freed


def verify_layer(paths: Paths, layer_id: str) -> bool:
    """Whether a layer's files are still what they were when they were unpacked."""
    from .checksum import checksum

    layer = find_layer(paths, layer_id)
    if layer is None:
        return False
    try:
        return checksum(f"{_directory(paths, layer_id)}/rootfs") == layer.hash
    except FileNotFoundError:
        return False


def place_of(paths: Paths, name: str) -> str:
    """The directory of a layer by its name."""
    return f"{paths.trees}/layers/{name}"


def list_layers(paths: Paths) -> tuple[str, ...]:
    """The names of the layers' directories."""
    return tuple(files.entries(f"{paths.trees}/layers"))


def _directory(paths: Paths, layer_id: str) -> str:
    return place_of(paths, layer_name(layer_id))
