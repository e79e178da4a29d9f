# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans about images: from a reference to an image that is in the store and rendered, or is not there."""

from __future__ import annotations

from ..errors import Corrupt, HostFailure, NotFound
from ..image import fetch, local
from ..image.policy import Note
from ..image.reference import AppcName, ImageKey, LocalFile
from ..store import index, trees
from .change import Applied, Change, Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.names import ImageID
    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.reference import ImageReference
    from ..store.index import StoredImage
    from .change import Plan

UNKNOWN_ID = "known once fetched"


class FetchImage(Change):
    """Get an image into the store and render it."""

    reference: ImageReference
    policy: FetchPolicy

    def foresee(self, host: Host) -> None:
        """Raises Untrusted, and NotFound for what cannot be fetched."""
        fetch.check_may_fetch(host, self.reference, self.policy)
        fetch.check_dependencies(host, self.reference)

    def apply(self, host: Host) -> Applied:
        """Raises Unreachable, Untrusted, Corrupt, NotFound. What was the image already is no difference."""
        notes: list[str] = []

        def hear(line: str) -> None:
            if isinstance(line, Note):
                notes.append(f"{self.reference}: {line}")
            self.tell(line)

        image = fetch.fetch(host, self.reference, self.policy, hear, credentials=credentials(host))
        image_id = str(image.id)
        differences = tuple(
            difference.replace(after=image_id) if difference.before else difference
            for difference in self.differences
            if difference.before != image_id
        )
        return Applied(differences, tuple(notes), image)

    def tell(self, line: str) -> None:
        """Progress goes nowhere: a task has one result, which has the notes."""


class NoteImport(Change):
    """Note that an image that is in the store was fetched again, so that its name means it."""

    reference: ImageReference
    image: StoredImage

    def apply(self, host: Host) -> Applied:
        """Raises HostFailure, Conflict, Corrupt."""
        from ..image import meaning

        try:
            moved = meaning.renew(host.paths, self.reference.source, self.image)
        except OSError as err:
            raise HostFailure.of(f"cannot note that {self.reference} was fetched again", err) from err
        return Applied((), (f"{self.reference}: {moved}",) if moved else ())


class RenderTree(Change):
    """Render the root file system of an image that is in the store."""

    image_id: ImageID

    def apply(self, host: Host) -> Applied:
        """Raises NotFound, Corrupt, HostFailure."""
        return Applied(image=trees.render(host.paths, index.get_image(host.paths, self.image_id)))


class RemoveImage(Change):
    """Remove an image from the store. Trees and layers that nothing else needs go with the next collection.

    warning: of images that depend on it; empty for none.
    """

    image_id: ImageID
    warning: str = ""

    def apply(self, host: Host) -> None:
        """What is missing already is fine."""
        from ..store.gc import remove_image

        remove_image(host.paths, self.image_id)


def ensure_image(
    host: Host, reference: ImageReference, policy: FetchPolicy, *, names: bool = False
) -> Plan[StoredImage | None]:
    """Plan: the image is in the store, as new as the policy wants it, and rendered. Returns None when it is not yet.

    names: its name is to mean it, as after a fetch, also where it was there already. To run an image
    leaves the meaning of its name alone.
    """
    subject, stored = f'image "{reference}"', fetch.lookup(host, reference, policy)
    if stored and (policy.pull != "update" or _is_current(host, reference, policy, stored)):
        ready = yield from _ensure_tree(host, reference, stored)
        if ready:
            if names and _is_outranked(host, reference, ready):
                yield NoteImport(subject, (), reference, ready)
            return ready
        stored = None
    old = stored or _readable(host, reference)
    is_damaged = stored is None and old is not None and not fetch.is_whole(host, old)
    if old and not is_damaged and isinstance(reference, LocalFile) and local.holds(host, reference.path, old):
        # The file was touched, and is the same: the store takes note of that.
        applied = yield FetchImage(subject, (), reference, policy)
        return (applied.image if applied else None) or old
    difference = Difference(f"images.{reference}", None, "present", "playbook")
    if old and not is_damaged:
        difference = difference.replace(before=str(old.id), after=UNKNOWN_ID, reason="image")
    elif is_damaged or fetch.stored_id(host, reference):
        difference = difference.replace(before="damaged", after=UNKNOWN_ID, reason="drift")
    applied = yield FetchImage(subject, (difference,), reference, policy)
    return applied.image if applied else None


def _ensure_tree(host: Host, reference: ImageReference, stored: StoredImage) -> Plan[StoredImage | None]:
    """The image with its tree rendered, as far as that is applied; None when it has been removed meanwhile."""
    try:
        found = trees.find(host.paths, stored)
    except NotFound:
        return None
    if not index.has_image(host.paths, stored.id):
        return None
    if found is None:
        difference = Difference(f"images.{reference}.tree", None, "rendered")
        applied = yield RenderTree(f'image "{reference}"', (difference,), stored.id)
        found = applied.image if applied else None
    return found or stored


def _is_outranked(host: Host, reference: ImageReference, image: StoredImage) -> bool:
    """Whether the name of an image that comes from a source means another, and would not after a fetch."""
    if isinstance(reference, (AppcName, ImageKey)):
        return False
    try:
        return index.is_outranked(host.paths, image.id)
    except (FileNotFoundError, Corrupt):
        return False  # it has been removed meanwhile


def _readable(host: Host, reference: ImageReference) -> StoredImage | None:
    """What the store has of a reference, be it whole or not; None for what is damaged, which a fetch heals."""
    try:
        return fetch.stored(host, reference)
    except Corrupt:
        return None


def ensure_no_image(host: Host, reference: ImageReference) -> Plan[None]:
    """Plan: the store does not have the image. Running pods keep working."""
    image_id = fetch.stored_id(host, reference)
    if image_id:
        from ..store.dependencies import warning_of_removal

        difference = Difference(f"images.{reference}", str(image_id), None)
        warning = warning_of_removal(host.paths, (image_id,))
        yield RemoveImage(f'image "{reference}"', (difference,), image_id, warning)


def credentials(host: Host) -> Callable[[str], tuple[str, str] | None]:
    """What the configuration says of registries; it is read when the first one asks for credentials."""

    def ask(registry: str) -> tuple[str, str] | None:
        from ..host.config import read_config

        return read_config(host.paths).docker_credentials(registry)

    return ask


def isolators_policy(host: Host) -> Callable[[], str]:
    """What the configuration says of images that ask for more than the defaults; it is read when one does."""

    def ask() -> str:
        from ..host.config import configured_isolators

        return configured_isolators(host.paths)

    return ask


def _is_current(host: Host, reference: ImageReference, policy: FetchPolicy, stored: StoredImage) -> bool:
    return fetch.is_current(host, reference, policy, stored, credentials=credentials(host))
