# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of an image that is fetched though the store has it: what is damaged of it is made again."""

from __future__ import annotations

from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec, NotFound
from ..image import fetch, find
from ..store import trees, verification
from ..store.verification import Damage
from .change import Applied, Difference
from .images import UNKNOWN_ID, FetchImage, ensure_image
from .rebuild import check_unused, rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.reference import ImageReference
    from ..store.index import StoredImage
    from .change import Plan


class FetchAgain(FetchImage):
    """Fetch an image that is in the store. is_damaged: whether what the store has differs from what came.

    damage: of its tree, None for none.
    """

    stored: StoredImage
    is_damaged: bool
    damage: Damage | None

    def foresee(self, host: Host) -> None:
        """Raise as FetchImage does, and Conflict when pods use what is damaged."""
        if self.damage:
            check_unused(host, self.stored, trees.tree_of(host.paths, self.stored.id), self.damage)
        super().foresee(host)

    def apply(self, host: Host) -> Applied:
        """Fetch it. Raises as FetchImage does, and Conflict when pods use what is damaged."""
        if self.damage:
            _mend(host, self.stored, self.damage)
        applied = super().apply(host)
        if self.is_damaged or applied.image is None or applied.image.id == self.stored.id:
            return applied
        difference = Difference(
            f"images.{self.reference}", str(self.stored.id), str(applied.image.id), "image"
        )
        return applied.replace(differences=(difference,))


def ensure_again(host: Host, reference: ImageReference, policy: FetchPolicy) -> Plan[StoredImage | None]:
    """Plan: the image has been fetched, whether it was in the store or not. Raises InvalidSpec without a source.

    It is a difference when what the store has is damaged, and when the source has another image.
    """
    source = find.source_of(host, reference)
    if not (source.has_remote or source.is_at_hand):
        raise InvalidSpec(
            f"{reference} does not say where the image is fetched from",
            "name its URL, its file or its registry",
            where="force",
        )
    if policy.pull == "never" and not source.is_at_hand:
        raise InvalidSpec("with pull: never nothing is fetched", "leave one of them out", where="force")
    stored = find.lookup(host, reference)
    if stored is None:
        image = yield from ensure_image(host, reference, policy, names=True)
        return image
    again = policy.replace(anyway=True)
    is_damaged, damage = _damage_of(host, stored)
    difference = Difference(f"images.{reference}", "damaged", UNKNOWN_ID, "drift")
    if not is_damaged:
        difference = difference.replace(before=str(stored.id), reason="image")
    same = not is_damaged and fetch.is_current(host, reference, policy.replace(pull="update"), stored)
    differences = () if same else (difference,)
    subject = f'image "{reference}"'
    applied = yield FetchAgain(subject, differences, reference, again, stored, is_damaged, damage)
    return (applied.image if applied else None) or stored


def _damage_of(host: Host, image: StoredImage) -> tuple[bool, Damage | None]:
    """Whether the archive or the tree of an image differs from what came, and what of the tree. Reads all of it."""
    try:
        tree = trees.tree_of(host.paths, image.id)
        damage = verification.find_damage(host.paths, tree) if trees.is_rendered(host.paths, tree) else None
    except (Corrupt, NotFound):
        damage = Damage(True, ())  # its records are: all that is its own is made again
    return bool(damage) or not _has_right_archive(host, image), damage or None


def _has_right_archive(host: Host, image: StoredImage) -> bool:
    """Whether the archive of an image is as it came; an image of layers has none."""
    try:
        if image.layers == (image.id,):
            verification.check_archive(host.paths, image.id)
    except (Corrupt, NotFound):
        return False
    return True


def _mend(host: Host, image: StoredImage, damage: Damage) -> None:
    """Remove what is damaged of a tree, so that a fetch brings it. Raises Conflict when pods use it, HostFailure."""
    with suppress(Corrupt, NotFound):  # what cannot be made again counts as absent now
        rebuild(host, image, trees.tree_of(host.paths, image.id), damage)
