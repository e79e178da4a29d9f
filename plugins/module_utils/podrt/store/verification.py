# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what the store holds of an image is still as it was made: one bit that differs is found.

An archive is compared with the ID of its image, layers and trees with the checksums in their records.
Source: behaviours A58, B50.
"""

from __future__ import annotations

from ..errors import HostFailure, NotFound
from ..value import Value
from . import blobs, layers, trees
from .allowance import Allowance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.names import ImageID
    from ..host.paths import Paths
    from .trees import TreeID


class Damage(Value):
    """What is damaged of a rendered tree. own: the files and the records of the tree itself. layers: their IDs."""

    own: bool
    layers: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.own or bool(self.layers)

    def __str__(self) -> str:
        parts = [*(["the tree"] if self.own else []), *(f"layer {layer_id}" for layer_id in self.layers)]
        return f"{', '.join(parts)} {'differs' if len(parts) == 1 else 'differ'} from what was unpacked"


def check_archive(paths: Paths, image_id: ImageID) -> None:
    """Raise Corrupt unless the stored archive of an image has its ID. Raises NotFound, HostFailure."""
    try:
        for _chunk in checked_archive(paths, image_id):
            pass
    except OSError as err:
        raise HostFailure.of(f"cannot read the archive of image {image_id}", err) from err


def checked_archive(paths: Paths, image_id: ImageID) -> Iterator[bytes]:
    """The stored archive of an image. Raises NotFound, OSError; at its end Corrupt unless it has the ID."""
    try:
        yield from blobs.archive_chunks(paths, image_id, Allowance.configured(paths))
    except FileNotFoundError:
        raise NotFound(
            f"the archive of image {image_id} is not in the store", "fetch the image again"
        ) from None


def find_damage(paths: Paths, tree: TreeID) -> Damage:
    """The damage of a rendered tree; reads all of its files. Raises HostFailure, Corrupt."""
    try:
        ids = trees.layer_ids(paths, tree)
        damaged = tuple(layer_id for layer_id in ids if not layers.is_as_made(paths, layer_id))
        return Damage(not trees.is_as_made(paths, tree), damaged)
    except OSError as err:
        raise HostFailure.of(f"cannot read the tree {tree}", err) from err


def discard(paths: Paths, tree: TreeID, damage: Damage) -> None:
    """Remove what is damaged, so that it is made again. The caller holds locks.collecting. Raises HostFailure."""
    try:
        # Its record is of its layers as they were when it was made, and some of them will come again.
        trees.remove_tree(paths, tree)
        for layer_id in damage.layers:
            layers.remove_layer(paths, layers.layer_name(layer_id))
    except OSError as err:
        raise HostFailure.of(f"cannot remove the damaged tree {tree}", err) from err
