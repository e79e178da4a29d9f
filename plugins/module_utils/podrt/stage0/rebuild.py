# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged trees made again from what the store has, but never beneath a pod that uses them. Source: behaviours A58."""

from __future__ import annotations

from ..errors import Conflict
from ..store import layers, locks, trees, verification
from .references import in_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..store.index import StoredImage
    from ..store.trees import TreeID
    from ..store.verification import Damage


def rebuild(host: Host, image: StoredImage, tree: TreeID, damage: Damage) -> None:
    """Make the damaged parts of an image's tree again.

    Raises Conflict when a pod uses them, NotFound for layers that only a registry has, Corrupt, HostFailure. What was
    removed then counts as absent, so that a fetch brings it.
    """
    with locks.collecting(host.paths):
        check_unused(host, image, tree, damage)
        verification.discard(host.paths, tree, damage)
    trees.render(host.paths, image)


def check_unused(host: Host, image: StoredImage, tree: TreeID, damage: Damage) -> None:
    """Raise Conflict when a pod uses the damaged parts of an image's tree."""
    if _is_used(host, tree, damage):
        raise Conflict(
            f"pods use what is damaged of image {image.id}: {damage}",
            "stop and remove the pods of this image, then verify it again",
        )


def _is_used(host: Host, tree: TreeID, damage: Damage) -> bool:
    used, _images = in_use(host)
    names = {layers.layer_name(layer_id) for layer_id in damage.layers}
    return tree in used or any(
        names & set(trees.layer_names(host.paths, trees.TreeID(other)) or ()) for other in used
    )
