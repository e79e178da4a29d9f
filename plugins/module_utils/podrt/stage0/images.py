# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans of images: from a reference to an image that is in the store and rendered, or absent."""

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
        """Raise Untrusted, and NotFound for what cannot be fetched."""
        fetch.check_may_fetch(host, self.reference, self.policy)
        fetch.check_dependencies(host, self.reference)

    def apply(self, host: Host) -> Applied:
        """Fetch it; an unchanged image is not a difference. Raises Unreachable, Untrusted, Corrupt, NotFound."""
        notes: list[str] = []

        def hear(line: str) -> None:
            if isinstance(line, Note):
                notes.append(f"{self.reference}: {line}")
            self.tell(line)

        image_id = str(fetch.fetch(host, self.reference, self.policy, hear, credentials=credentials(host)).id)
        differences = tuple(
            difference.replace(after=image_id) if difference.before else difference
            for difference in self.differences
            if difference.before != image_id
        )
        return Applied(differences, tuple(notes))

    def tell(self, line: str) -> None:
        """Drop progress: a task has one result, which has the notes."""


class NoteImport(Change):
    """Record that an image in the store was fetched again, so that its name means it."""

    reference: ImageReference
    image: StoredImage

    def apply(self, host: Host) -> Applied:
        """Record it. Raises HostFailure, Conflict, Corrupt."""
        from ..image import meaning

        try:
            moved = meaning.renew(host.paths, self.reference.source, self.image)
        except OSError as err:
            raise HostFailure.of(f"cannot note that {self.reference} was fetched again", err) from err
        return Applied((), (f"{self.reference}: {moved}",) if moved else ())


class RenderTree(Change):
    """Render the root file system of an image that is in the store."""

    image_id: ImageID

    def apply(self, host: Host) -> None:
        """Render it. Raises Corrupt, HostFailure."""
        trees.render(host.paths, self.image_id)


class RemoveImage(Change):
    """Remove an image from the store. Trees and layers that nothing else needs go with the next collection.

    warning: of images that depend on it; empty for none.
    """

    image_id: ImageID
    warning: str = ""

    def apply(self, host: Host) -> None:
        """Remove it; a missing image is not an error."""
        from ..store.gc import remove_image

        remove_image(host.paths, self.image_id)


def ensure_image(
    host: Host, reference: ImageReference, policy: FetchPolicy, *, names: bool = False
) -> Plan[StoredImage | None]:
    """Plan: the image is in the store, as new as the policy wants it, and rendered. Returns None when it is not yet.

    names: its name shall mean it, as after a fetch, even if it was in the store already. Running an image does not
    change what its name means.
    """
    stored = fetch.lookup(host, reference, policy)
    if stored and (policy.pull != "update" or _is_current(host, reference, policy, stored)):
        is_rendered = _is_rendered(host, stored)
        if is_rendered is False:
            yield RenderTree(
                f'image "{reference}"', (Difference(f"images.{reference}.tree", None, "rendered"),), stored.id
            )
        if is_rendered is not None:
            if names and _is_outranked(host, reference, stored):
                yield NoteImport(f'image "{reference}"', (), reference, stored)
            return stored
        stored = None
    subject, old = f'image "{reference}"', stored or _readable(host, reference)
    is_damaged = stored is None and old is not None and not fetch.is_whole(host, old)
    if old and not is_damaged and isinstance(reference, LocalFile) and local.holds(host, reference.path, old):
        # The file was touched but has not changed: the store records its new times.
        yield FetchImage(subject, (), reference, policy)
        return old
    difference = Difference(f"images.{reference}", None, "present", "playbook")
    if old and not is_damaged:
        difference = difference.replace(before=str(old.id), after=UNKNOWN_ID, reason="image")
    elif is_damaged or fetch.stored_id(host, reference):
        difference = difference.replace(before="damaged", after=UNKNOWN_ID, reason="drift")
    applied = yield FetchImage(subject, (difference,), reference, policy)
    return fetch.lookup(host, reference, policy) if applied else None


def _is_rendered(host: Host, image: StoredImage) -> bool | None:
    """Whether the tree of an image is there; None when the image itself has been removed meanwhile."""
    try:
        return trees.is_rendered(host.paths, trees.tree_of(host.paths, image.id))
    except NotFound:
        return None


def _is_outranked(host: Host, reference: ImageReference, image: StoredImage) -> bool:
    """Whether the name of an image from a source means another image, which a fetch would change."""
    if isinstance(reference, (AppcName, ImageKey)):
        return False
    try:
        return index.is_outranked(host.paths, image.id)
    except (FileNotFoundError, Corrupt):
        return False  # it has been removed meanwhile


def _readable(host: Host, reference: ImageReference) -> StoredImage | None:
    """The stored image of a reference, complete or not; None for a damaged one, which a fetch heals."""
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
    """The configured credentials of registries; the configuration is read when the first registry asks for them."""

    def ask(registry: str) -> tuple[str, str] | None:
        from ..host.config import read_config

        return read_config(host.paths).docker_credentials(registry)

    return ask


def isolators_policy(host: Host) -> Callable[[], str]:
    """The configured policy for images that ask for more than the defaults; read when one does."""

    def ask() -> str:
        from ..host.config import configured_isolators

        return configured_isolators(host.paths)

    return ask


def _is_current(host: Host, reference: ImageReference, policy: FetchPolicy, stored: StoredImage) -> bool:
    return fetch.is_current(host, reference, policy, stored, credentials=credentials(host))
