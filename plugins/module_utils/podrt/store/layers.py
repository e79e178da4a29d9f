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

from ..errors import Corrupt, InvalidSpec, Untrusted
from ..fields import Fields, canonical_json, parse_json
from ..host import files, reading
from ..host.dirs import LAYERS, ROOT
from ..host.locks import FileLock
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.dirs import TreeDir
    from ..host.paths import Paths
    from .allowance import Allowance
    from .extract import Extraction
    from .workspace import Workspace

# A layer may be large and the disk slow; its owner is named when the wait ends.
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
    return f"{LAYERS}/{layer_name(layer_id)}/{ROOT}"


def find_layer(paths: Paths, layer_id: str) -> Layer | None:
    """A layer that is in place, or None: what is damaged counts as absent, so that it is made again from its bytes.

    Raises Corrupt when another one has its name.
    """
    place = _directory(paths, layer_id)
    try:
        found = _read(reading.read_bytes(place.rendered), layer_id)
    except (FileNotFoundError, NotADirectoryError, Corrupt):
        return None
    if not files.is_real_dir(place.path) or not files.is_real_dir(place.root):
        return None
    if found.id != layer_id:
        raise Corrupt(
            f"the layers {found.id} and {layer_id} have the same name", "remove one of their images"
        )
    return found


def hides_lower(paths: Paths, layer_id: str) -> bool:
    """Whether the root of a layer in place hides all that is in the layers below."""
    from .overlay import is_opaque

    fd = os.open(_directory(paths, layer_id).root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return is_opaque(fd)
    finally:
        os.close(fd)


def has_layer(paths: Paths, layer_id: str) -> bool:
    """Whether a layer is in place. Raises Corrupt when another one has its name."""
    return find_layer(paths, layer_id) is not None


def lock_layer(paths: Paths, layer_id: str) -> FileLock:
    """Held by a process that puts a layer in place. No server is waited for meanwhile."""
    return FileLock(paths.layer_lock(layer_name(layer_id)), timeout=LOCK_SECONDS)


def unpack_layer(
    workspace: Workspace, layer_id: str, chunks: Iterator[bytes], allowance: Allowance | None = None
) -> Extraction:
    """Unpack the archive of a docker layer in a workspace.

    allowance: what the image may still take. Raises Untrusted when the archive has another diff ID, Corrupt, and
    what the stream raises.
    """
    import hashlib

    from . import extract, stream, tar

    digest = hashlib.sha256()
    reader = tar.TarReader(stream.hashed(chunks, digest))
    with extract.Extraction(workspace.make_root(), allowance, whiteouts=True) as extraction:
        for entry in reader:
            extraction.add(entry, extract.clean(entry.name), reader)
    found = f"sha256:{digest.hexdigest()}"
    if found != layer_id:
        raise Untrusted(f"the layer {layer_id} has another diff ID: {found}")
    return extraction


def seal(workspace: Workspace, extraction: Extraction, layer_id: str) -> Layer:
    """Make a layer of the files in a workspace's rootfs; place comes after a sync."""
    from .checksum import checksum

    made = workspace.layer
    files.make_dirs(made.path)
    os.rename(workspace.root, made.root)
    implied = tuple(sorted(extraction.implied))
    layer = Layer(layer_id, extraction.size, checksum(made.root, extraction.digests), implied)
    files.write_new(made.rendered, _record(layer))
    return layer


def place(paths: Paths, workspace: Workspace, layer_id: str) -> None:
    """Rename a sealed and synced layer into the store. The caller holds its lock.

    Of one that is there with a damaged record the same files stay: pods may stand on them.
    """
    target = _directory(paths, layer_id)
    files.clear_way(paths.layers)
    files.make_dirs(paths.layers)
    made = workspace.layer
    if has_same_files(target, made):
        _renew_record(target, made, layer_id)
        return
    files.remove_tree(target.path)
    files.rename_synced(made.path, target.path)


def has_same_files(place: TreeDir, made: TreeDir) -> bool:
    """Whether the rootfs in one directory is there and holds what that in the other does."""
    from .checksum import same_files

    if not files.is_real_dir(place.path) or not files.is_real_dir(place.root):
        return False
    try:
        return same_files(place.root, made.root)
    except OSError:
        return False


def _renew_record(target: TreeDir, made: TreeDir, layer_id: str) -> None:
    """Write what is known of a layer beside its files, whose directories may have other times."""
    from .checksum import checksum

    layer = _read(reading.read_bytes(made.rendered), layer_id)
    files.remove_tree(target.rendered)
    files.write_atomically(target.rendered, _record(layer.replace(hash=checksum(target.root))))


def place_first(paths: Paths, workspace: Workspace, layer_id: str) -> None:
    """Place a sealed and synced layer, unless another process was first: they hold the same."""
    with lock_layer(paths, layer_id):
        if not find_layer(paths, layer_id):
            place(paths, workspace, layer_id)


def commit(paths: Paths, workspace: Workspace, extraction: Extraction, layer_id: str) -> Layer:
    """Seal, sync and place one layer."""
    layer = seal(workspace, extraction, layer_id)
    workspace.sync()
    place(paths, workspace, layer_id)
    return layer


def remove_rendered(place: TreeDir) -> None:
    """Remove a layer or a tree, or what is in its place: the record first, so that half of one is none."""
    if files.is_real_dir(place.path):
        files.remove_tree(place.rendered)
    files.remove_tree(place.path)


def remove_layer(paths: Paths, name: str) -> None:
    """Remove a layer by the name of its directory."""
    remove_rendered(paths.layer(name))


def list_layers(paths: Paths) -> tuple[str, ...]:
    """The names of the layers' directories."""
    return tuple(files.entries(paths.layers)) if os.path.isdir(paths.layers) else ()


def _record(layer: Layer) -> bytes:
    """What is kept of a layer; names that are no UTF-8 are kept as digits."""
    implied, raw = [], []
    for path in layer.implied:
        try:
            path.encode()
            implied.append(path)
        except UnicodeEncodeError:
            raw.append(os.fsencode(path).hex())
    record = {"id": layer.id, "size": layer.size, "hash": layer.hash, "implied": implied}
    return canonical_json({**record, "impliedRaw": raw} if raw else record)


def _read(data: bytes, layer_id: str) -> Layer:
    """The record of a layer. Raises Corrupt."""
    try:
        fields = Fields(parse_json(data, "it"), "")
        raw = tuple(os.fsdecode(bytes.fromhex(text)) for text in fields.strings("impliedRaw"))
        implied = tuple(sorted(fields.strings("implied") + raw))
        return Layer(fields.text("id"), fields.integer("size"), fields.text("hash"), implied)
    except (InvalidSpec, ValueError) as err:
        raise Corrupt(f"the record of layer {layer_id} is damaged: {err}", "remove its images") from err


def _directory(paths: Paths, layer_id: str) -> TreeDir:
    return paths.layer(layer_name(layer_id))
