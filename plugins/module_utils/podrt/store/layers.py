# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers: the content of one ACI, or of one layer of a docker image, unpacked once and shared by all trees.

    tree/layers/NAME/rootfs/    the layer's files, with the whiteouts of overlayfs
    tree/layers/NAME/rendered   the layer's record (Layer); a layer without this file does not count

NAME is the first 24 digits of the layer's ID, so that the names of 80 layers fit the page that mount(2) takes;
the whole ID is in `rendered` and compared. A layer is put in place by rename, after syncfs, under its own lock.
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
    from .workspace import Workplace, Workspace

# A layer may be large and the disk slow; the holder is named when the wait ends.
LOCK_SECONDS = 1800.0
_NAME_DIGITS = 24


class Layer(Value):
    """A layer in place.

    id: "sha256:" + the digest of the docker layer's uncompressed archive (its diff ID), or an ImageID. size: bytes
    of its files. hash: its checksum. implied: directories that occur only in the names of other entries.
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
    """A layer that is in place, or None: a damaged one counts as absent, so that it is made again.

    Raises Corrupt when another layer has its name.
    """
    place = _directory(paths, layer_id)
    try:
        layer = _read(reading.read_bytes(place.rendered), layer_id)
    except (FileNotFoundError, NotADirectoryError, Corrupt):
        return None
    if not files.is_real_dir(place.path) or not files.is_real_dir(place.root):
        return None
    if layer.id != layer_id:
        raise Corrupt(
            f"the layers {layer.id} and {layer_id} have the same name", "remove one of their images"
        )
    return layer


def hides_lower(paths: Paths, layer_id: str) -> bool:
    """Whether the root of a layer in place hides all layers below."""
    from .overlay import is_opaque

    fd = os.open(_directory(paths, layer_id).root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return is_opaque(fd)
    finally:
        os.close(fd)


def has_layer(paths: Paths, layer_id: str) -> bool:
    """Whether a layer is in place. Raises Corrupt when another layer has its name."""
    return find_layer(paths, layer_id) is not None


def is_as_made(paths: Paths, layer_id: str) -> bool:
    """Whether the files of a layer have the checksum of its record. Reads all of them. Raises OSError, Corrupt."""
    from .checksum import checksum

    layer = find_layer(paths, layer_id)
    return layer is not None and checksum(_directory(paths, layer_id).root) == layer.hash


def lock_layer(paths: Paths, layer_id: str) -> FileLock:
    """The lock for putting a layer in place. It is not held while a server is waited for."""
    return FileLock(paths.layer_lock(layer_name(layer_id)), timeout=LOCK_SECONDS)


def unpack_layer(
    workplace: Workplace, layer_id: str, chunks: Iterator[bytes], allowance: Allowance | None = None
) -> Extraction:
    """Unpack the archive of a docker layer in a workplace.

    allowance: the bounds of the image. Raises Untrusted when the archive has another diff ID, Corrupt, and the errors
    of the stream.
    """
    import hashlib

    from . import extract, stream, tar

    digest = hashlib.sha256()
    reader = tar.TarReader(stream.hashed(chunks, digest), sparse=True)
    with extract.Extraction(workplace.make_root(), allowance, whiteouts=True) as extraction:
        for entry in reader:
            extraction.add(entry, extract.clean(entry.name), reader)
    diff_id = f"sha256:{digest.hexdigest()}"
    if diff_id != layer_id:
        raise Untrusted(f"the layer {layer_id} has another diff ID: {diff_id}")
    return extraction


def seal(workplace: Workplace, extraction: Extraction, layer_id: str) -> Layer:
    """Make a layer of the files in a workplace's rootfs; to be synced, then placed."""
    from .checksum import checksum

    made = workplace.layer
    files.make_dirs(made.path)
    os.rename(workplace.root, made.root)
    implied = tuple(sorted(extraction.implied))
    layer = Layer(layer_id, extraction.size, checksum(made.root, extraction.digests), implied)
    files.write_new(made.rendered, _record(layer))
    return layer


def place(paths: Paths, workplace: Workplace, layer_id: str) -> None:
    """Rename a sealed and synced layer into the store. The caller holds its lock.

    If a layer with the same files and a damaged record is there, its files stay: pods may use them.
    """
    target = _directory(paths, layer_id)
    files.unlink_unless_directory(paths.layers)
    files.make_dirs(paths.layers)
    made = workplace.layer
    if has_same_files(target, made):
        _renew_record(target, made, layer_id)
        return
    files.remove_tree(target.path)
    files.take_over(made.path, target.path)


def has_same_files(place: TreeDir, made: TreeDir) -> bool:
    """Whether the rootfs of a directory is there, with the same files as the rootfs of another."""
    from .checksum import same_files

    if not files.is_real_dir(place.path) or not files.is_real_dir(place.root):
        return False
    try:
        return same_files(place.root, made.root)
    except OSError:
        return False


def _renew_record(target: TreeDir, made: TreeDir, layer_id: str) -> None:
    """Write the record of a layer beside its files, whose directories may have other times."""
    from .checksum import checksum

    layer = _read(reading.read_bytes(made.rendered), layer_id)
    files.remove_tree(target.rendered)
    files.write_atomically(target.rendered, _record(layer.replace(hash=checksum(target.root))))


def place_first(paths: Paths, workplace: Workplace, layer_id: str) -> None:
    """Place a sealed and synced layer, unless another process was first: both are the same."""
    with lock_layer(paths, layer_id):
        if not find_layer(paths, layer_id):
            place(paths, workplace, layer_id)


def commit(paths: Paths, workspace: Workspace, extraction: Extraction, layer_id: str) -> Layer:
    """Seal, sync and place one layer."""
    layer = seal(workspace, extraction, layer_id)
    workspace.sync()
    place(paths, workspace, layer_id)
    return layer


def remove_rendered(place: TreeDir) -> None:
    """Remove a layer or a tree, or anything in its place: the record first, so that a partial one does not count."""
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
    """The record of a layer as bytes; names that are not UTF-8 are in hex."""
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
