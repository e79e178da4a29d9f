# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered trees: the roots of apps, as stacks of directories for overlayfs.

    tree/deps-sha512-.../stack      the directories, topmost first, relative to tree/
    tree/deps-sha512-.../rootfs/    only where the layers alone are not enough: see _stack
    tree/deps-sha512-.../{manifest,image,hash,rendered}

A tree is made in a workspace, synced and renamed into place under its own lock. Source: rkt store/treestore/tree.go,
behaviours B49 to B51.
"""

from __future__ import annotations

import os

from ..appc.names import ImageID
from ..errors import Corrupt, HostFailure, NotFound
from ..host import files, reading
from ..host.digests import sha512
from ..host.dirs import LAYERS, ROOT
from ..host.locks import FileLock
from . import dependencies, index, layers
from .index import StoredImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..host.dirs import TreeDir
    from ..host.paths import Paths
    from .dependencies import Placed
    from .workspace import Workspace

_PREFIX = "deps-sha512-"
# The documents of a tree; the last one marks it as complete.
# mount(2) takes one page of options; the rest is for the upper and the work directory of a pod.
_LONGEST_STACK = 3500


class _Names(dict[str, "_Names"]):
    """The names in a directory, each with the names in it."""


class TreeID(str):
    """The name of a rendered tree: "deps-sha512-" and 64 hex digits."""

    @classmethod
    def parse(cls, text: str) -> TreeID:
        """Read the ID in a document. Raises Corrupt."""
        if not text.startswith(_PREFIX):
            raise Corrupt(f'"{text}" is not the ID of a tree')
        return cls(text)


class RenderedImage(StoredImage):
    """An image whose tree is in place. lower: the directories of that, absolute, topmost first."""

    tree: TreeID
    lower: tuple[str, ...]


def tree_id(image_ids: Sequence[ImageID]) -> TreeID:
    """The name of the rendered tree of an image and its dependencies.

    image_ids: flattened, topmost first (dependencies.flatten). Differs when any of them differs.
    Source: rkt store/treestore/tree.go GetID.
    """
    return TreeID(_PREFIX + sha512(",".join(image_ids).encode()).hexdigest()[:64])


def tree_of(paths: Paths, image_id: ImageID) -> TreeID:
    """The name of an image's tree, rendered or not. Raises NotFound when it or a dependency is not in the store."""
    return _tree_of(_flattened(paths, image_id))


def is_rendered(paths: Paths, tree: TreeID) -> bool:
    """Whether a tree is in place with all its directories. A damaged one is not, so that it is made again."""
    return bool(_lower_in_place(paths, tree))


def _lower_in_place(paths: Paths, tree: TreeID) -> tuple[str, ...]:
    """The directories of a tree that is rendered, () of one that is not."""
    if not os.path.exists(paths.tree(tree).rendered):
        return ()
    try:
        names = _read_stack(paths, tree)
        whole = _is_whole(names, layer_ids(paths, tree), tree)
    except (NotFound, Corrupt, NotADirectoryError):
        return ()
    lower = tuple(f"{paths.trees}/{name}" for name in names)
    return lower if whole and all(map(_is_in_place, lower)) else ()


def _is_whole(names: list[str], ids: tuple[str, ...], tree: TreeID) -> bool:
    """Whether a stack is one that _stack makes of these layers: a truncated list would show another root."""
    own, roots = [f"{tree}/{ROOT}"], [layers.layer_root(layer_id) for layer_id in ids]
    return names == own or (bool(roots) and names in (roots, own + roots))


def _is_in_place(root: str) -> bool:
    return files.is_real_dir(os.path.dirname(root)) and files.is_real_dir(root)


def lower_dirs(paths: Paths, tree: TreeID) -> tuple[str, ...]:
    """The directories of a rendered tree, absolute, topmost first. Raises NotFound."""
    return tuple(f"{paths.trees}/{name}" for name in _read_stack(paths, tree))


def gives_same_tree(paths: Paths, tree: TreeID, image_id: ImageID) -> bool:
    """Whether an image has the same files as a tree, even if the tree is of another image; neither need be rendered.

    Raises NotFound when the image or a dependency is not in the store, Corrupt.
    """
    stack = _flattened(paths, image_id)
    now = _tree_of(stack)
    if tree == now:
        return True
    if not _is_there(paths, tree):
        return False
    if _is_there(paths, now):
        return _read_stack(paths, tree) == _read_stack(paths, now) or _content(paths, tree) == _content(
            paths, now
        )
    # The same layers make the same files, unless a whitelist takes less of them.
    return not any(placed.whitelists for placed in stack) and _checksums(
        paths, layer_ids(paths, tree), tree
    ) == _checksums(paths, _ids_of(paths, stack), now)


def _is_there(paths: Paths, tree: TreeID) -> bool:
    return os.path.exists(paths.tree(tree).stack)


def _content(paths: Paths, tree: TreeID) -> tuple[str, ...]:
    """The checksums of a tree's layers, or one of it as a whole when it has its own files."""
    if any(not name.startswith(f"{LAYERS}/") for name in _read_stack(paths, tree)):
        return (reading.read_text_or(paths.tree(tree).hash, tree),)
    return _checksums(paths, layer_ids(paths, tree), tree)


def _checksums(paths: Paths, ids: tuple[str, ...], tree: TreeID) -> tuple[str, ...]:
    """The checksums of the layers of a tree; for each missing one the tree's name, which equals nothing else."""
    placed = (layers.find_layer(paths, layer_id) for layer_id in ids)
    return tuple(layer.hash if layer else tree for layer in placed)


def find(paths: Paths, image: StoredImage) -> RenderedImage | None:
    """An image with its tree, None where that is not rendered. Raises NotFound for a dependency that is not there."""
    return _found(paths, image, _tree_of(dependencies.flatten(paths, image)))


def _found(paths: Paths, image: StoredImage, tree: TreeID) -> RenderedImage | None:
    lower = _lower_in_place(paths, tree)
    if not lower:
        return None
    return RenderedImage(
        id=image.id,
        manifest=image.manifest,
        import_time=image.import_time,
        last_used=image.last_used,
        latest=image.latest,
        size=image.size,
        layers=image.layers,
        signer=image.signer,
        policy=image.policy,
        tree=tree,
        lower=lower,
    )


def render(paths: Paths, image: StoredImage) -> RenderedImage:
    """Make the tree of an image, unless it is there; a half-made one of a killed process is removed.

    Raises NotFound when a dependency or a docker layer is not in the store, Corrupt, HostFailure.
    """
    stack = dependencies.flatten(paths, image)
    tree = _tree_of(stack)
    found = _found(paths, image, tree)
    if found is None:
        _render(paths, tree, stack)
        found = _found(paths, image, tree)
    if found is None:
        raise Corrupt(f"image {image.id} has gone while its tree was made", "try again")
    return found


def _render(paths: Paths, tree: TreeID, stack: tuple[Placed, ...]) -> None:
    from .locks import adding  # not needed by a task that makes no tree

    try:
        with adding(paths), _lock(paths, tree):
            if not is_rendered(paths, tree):
                for placed in stack:
                    ensure_layers(paths, placed.image)
                _make(paths, tree, stack)
    except OSError as err:
        raise HostFailure.of(f"cannot render the tree of image {stack[0].image.id}", err) from err


def copy_tree(paths: Paths, tree: TreeID, target: str, owner: Callable[[int], int] | None = None) -> None:
    """Copy a rendered tree, merged, into an existing directory: owners, modes, attributes, links, devices, times.

    owner: the user or group of a copy, from that of the file. Raises NotFound, HostFailure.
    """
    from .overlay import Layering

    try:
        with Layering(target, owner=owner) as layering:
            for lower in reversed(lower_dirs(paths, tree)):
                layering.lay(lower)
    except OSError as err:
        raise HostFailure.of(f"cannot copy the tree {tree} to {target}", err) from err


def is_as_made(paths: Paths, tree: TreeID) -> bool:
    """Whether the files of a tree itself have the checksum of its record; those of its layers are checked apart.

    Reads all of them. Raises OSError, Corrupt.
    """
    place = paths.tree(tree)
    return reading.read_text_or(place.hash, "") == _hash(paths, layer_ids(paths, tree), place)


def remove_tree(paths: Paths, tree: TreeID) -> None:
    """Remove a tree, but not the layers that it shares with others."""
    with _lock(paths, tree):
        layers.remove_rendered(paths.tree(tree))


def list_trees(paths: Paths) -> tuple[TreeID, ...]:
    """Every tree, including half-made ones."""
    return tuple(TreeID(name) for name in files.entries(paths.trees) if name.startswith(_PREFIX))


def image_of(paths: Paths, tree: TreeID) -> str:
    """The ID of the image of a tree; empty when the tree is not rendered."""
    return reading.read_text_or(paths.tree(tree).image, "")


def layer_names(paths: Paths, tree: TreeID) -> tuple[str, ...] | None:
    """The names of the directories of a tree's layers; None when its stack cannot be read."""
    try:
        stack = _read_stack(paths, tree)
    except (NotFound, Corrupt):
        return None
    return tuple(name.split("/")[1] for name in stack if name.startswith(f"{LAYERS}/"))


def _tree_of(stack: Sequence[Placed]) -> TreeID:
    return tree_id([placed.image.id for placed in stack])


def _flattened(paths: Paths, image_id: ImageID) -> tuple[Placed, ...]:
    return dependencies.flatten(paths, index.get_image(paths, image_id))


def _lock(paths: Paths, tree: TreeID) -> FileLock:
    return FileLock(paths.tree_lock(tree), timeout=layers.LOCK_SECONDS)


def _read_stack(paths: Paths, tree: TreeID) -> list[str]:
    path = paths.tree(tree).stack
    try:
        names = reading.read_text(path, reading.DOCUMENT).split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"the tree {tree} is not rendered", "fetch its image again") from None
    if not all(map(_is_root, names)):
        # An empty name would be the directory of all trees.
        raise Corrupt(
            f"cannot read {path}: it names something that is not the root of a tree or layer",
            "fetch its image again",
            path=path,
        )
    return names


def _is_root(name: str) -> bool:
    """Whether this is the name of the root of a layer or a tree, as in stacks."""
    *place, last = name.split("/")
    owner = place[-1] if place else ""
    where = place == [LAYERS, owner] or (place == [owner] and owner.startswith(_PREFIX))
    return where and last == ROOT and owner.replace("-", "").isalnum()


def layer_ids(paths: Paths, tree: TreeID) -> tuple[str, ...]:
    """The IDs of the layers of a rendered tree, topmost first."""
    return _layer_ids_in(paths.tree(tree))


def _layer_ids_in(place: TreeDir) -> tuple[str, ...]:
    return tuple(reading.read_text_or(place.layers, "", reading.DOCUMENT).split())


def ensure_layers(paths: Paths, image: StoredImage) -> None:
    """Make the layer of an ACI from the stored archive. The caller holds locks.adding.

    Raises NotFound for layers of docker images, which come only from their registry; Corrupt, OSError.
    """
    from .blobs import restore_layer

    for layer_id in image.layers:
        if layers.has_layer(paths, layer_id):
            continue
        if layer_id != image.id:
            raise NotFound(
                f"the layer {layer_id} of image {image.manifest.full_name} is not in the store",
                "fetch the image again",
            )
        restore_layer(paths, image.id)


def _make(paths: Paths, tree: TreeID, stack: tuple[Placed, ...]) -> None:
    from .workspace import Workspace

    ids = _ids_of(paths, stack)
    top = stack[0].image
    with Workspace(paths) as workspace:
        made = workspace.tree
        files.make_dirs(made.path)
        files.write_new(made.stack, "\n".join(_stack(paths, tree, stack, made)).encode())
        files.write_new(made.layers, "\n".join(ids).encode())
        index.link_manifest(paths, top, made.manifest)
        files.write_new(made.image, top.id.encode())
        files.write_new(made.hash, _hash(paths, ids, made).encode())
        files.write_new(made.rendered, b"")
        _put_in_place(paths, workspace, made, tree)


def _put_in_place(paths: Paths, workspace: Workspace, made: TreeDir, tree: TreeID) -> None:
    workspace.sync()
    files.make_dirs(paths.trees)
    place = paths.tree(tree)
    if not layers.has_same_files(place, made):
        files.remove_tree(place.path)
        files.take_over(made.path, place.path)
        return
    # Pods may use the files that are there, so only the documents beside them are replaced, `rendered` first.
    for path in reversed(place.documents):
        files.remove_tree(path)
    files.write_atomically(made.hash, _hash(paths, _layer_ids_in(made), place).encode())
    for source, target in zip(made.documents, place.documents):
        files.take_over(source, target)


def _stack(paths: Paths, tree: TreeID, stack: tuple[Placed, ...], made: TreeDir) -> tuple[str, ...]:
    """The directories of a tree; makes its own root in made, if it needs one.

    A path whitelist, or more names of layers than mount(2) takes, needs a flat copy, whose files are hard links.
    Where a layer has implied directories, a layer on top gives them the attributes that they have below.
    """
    ids = _ids_of(paths, stack)
    roots = tuple(layers.layer_root(layer_id) for layer_id in ids)
    own = f"{tree}/{ROOT}"
    if not roots:
        _new_root(made)
        return (own,)
    if any(placed.whitelists for placed in stack) or sum(len(root) + 1 for root in roots) > _LONGEST_STACK:
        _flatten(paths, stack, _new_root(made))
        return (own,)
    corrected = _corrections(paths, roots, ids)
    if not corrected:
        return roots
    from .corrections import apply

    apply(corrected, _new_root(made))
    return (own, *roots)


def _ids_of(paths: Paths, stack: tuple[Placed, ...]) -> tuple[str, ...]:
    """The layers of a stack, topmost first; a repeated one counts where it is topmost.

    Layers below one with an opaque root do not count: overlayfs heeds opaqueness only inside of a root.
    """
    ids = []
    for layer_id in dict.fromkeys(layer_id for placed in stack for layer_id in placed.image.layers):
        ids.append(layer_id)
        if layers.hides_lower(paths, layer_id):
            break
    return tuple(ids)


def _new_root(made: TreeDir) -> str:
    files.make_dirs(made.root, files.OPEN_DIR)
    return made.root


def _corrections(paths: Paths, roots: tuple[str, ...], ids: tuple[str, ...]) -> dict[str, str]:
    from .corrections import find

    stack = []
    for layer_id in ids:
        layer = layers.find_layer(paths, layer_id)
        if layer is None:
            raise Corrupt(f"the layer {layer_id} has gone while its tree was made", "try again")
        stack.append(layer)
    return find(tuple(f"{paths.trees}/{root}" for root in roots), tuple(stack))


def _flatten(paths: Paths, stack: tuple[Placed, ...], root: str) -> None:
    from .overlay import Layering

    with Layering(root, share=True) as layering:
        for placed in reversed(stack):
            for layer_id in reversed(placed.image.layers):
                layering.lay(f"{paths.trees}/{layers.layer_root(layer_id)}", _kept_by(placed.whitelists))


def _kept_by(whitelists: tuple[tuple[str, ...], ...]) -> Callable[[str], bool] | None:
    """A function that tells whether a path, or one below it, is on every whitelist; None without whitelists."""
    if not whitelists:
        return None
    lists = [_as_tree(paths) for paths in whitelists]
    return lambda path: all(_has(listed, path) for listed in lists)


def _as_tree(paths: tuple[str, ...]) -> _Names:
    """Paths by their components: a flat list of long ones would take quadratic time."""
    top = _Names()
    for path in paths:
        at = top
        for part in filter(None, _cleaned(path).split("/")):
            at = at.setdefault(part, _Names())
    return top


def _has(listed: _Names, path: str) -> bool:
    """Whether a path is on the list, or a directory above one that is."""
    at: _Names | None = listed
    for part in filter(None, path.split("/")):
        at = at.get(part) if at is not None else None
    return at is not None


def _cleaned(path: str) -> str:
    """An absolute path, normalized as the paths of a tree are."""
    return "/" + os.path.normpath(path).lstrip("/")


def _hash(paths: Paths, ids: tuple[str, ...], place: TreeDir) -> str:
    """The checksum of a tree: of its layers' checksums and of its own directory, if it has one."""
    import hashlib

    from .checksum import checksum

    digest = hashlib.sha512()
    for layer_id in ids:
        layer = layers.find_layer(paths, layer_id)
        digest.update(f"{layer_id} {layer.hash if layer else ''}\n".encode())
    if os.path.isdir(place.root):
        digest.update(checksum(place.root).encode())
    return digest.hexdigest()
