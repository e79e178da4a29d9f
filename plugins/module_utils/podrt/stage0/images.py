# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plans of images: from a reference to an image that is in the store and rendered, or absent."""

from __future__ import annotations

from ..errors import Corrupt, HostFailure, NotFound
from ..host.policy import ACCEPT, REFUSE
from ..image import find
from ..image.policy import Note
from ..image.reference import DockerReference
from ..store import index, trees
from .change import Applied, Change, Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from ..appc.image import Image
    from ..appc.names import ImageID
    from ..host.host import Host
    from ..image.policy import FetchPolicy
    from ..image.progress import Showing
    from ..image.reference import ImageReference, SentFile
    from ..store.index import Remote, StoredImage
    from .change import Plan

UNKNOWN_ID = "known once fetched"
# Between two lines in the journal about a download.
_JOURNAL_SECONDS = 10.0


class FetchImage(Change):
    """Get an image into the store and render it."""

    reference: ImageReference
    policy: FetchPolicy

    def foresee(self, host: Host) -> None:
        """Raise Untrusted, and NotFound for what cannot be fetched."""
        from ..image import fetch  # only a change needs it

        fetch.check_may_fetch(host, self.reference, self.policy)
        fetch.check_dependencies(host, self.reference, self.policy)

    def apply(self, host: Host) -> Applied:
        """Fetch it; an unchanged image is not a difference. Raises Unreachable, Untrusted, Corrupt, NotFound."""
        from ..image import fetch
        from ..image.progress import Fetched, Observer

        notes: list[str] = []

        def hear(line: str) -> None:
            if isinstance(line, Note):
                notes.append(f"{self.reference}: {line}")
            self.tell(line)

        progress, began = Observer(self.view(host, hear), host.clock.monotonic), host.clock.monotonic()
        image = fetch.fetch(host, self.reference, self.policy, progress)
        fetched = Fetched(str(self.reference), progress.bytes, host.clock.monotonic() - began)
        image_id = str(image.id)
        differences = tuple(
            difference.replace(after=image_id) if difference.before else difference
            for difference in self.differences
            if difference.before != image_id
        )
        return Applied(differences, tuple(notes), image=image, fetched=fetched)

    def view(self, host: Host, hear: Callable[[str], None]) -> Showing:
        """What shows the fetch; lines go to hear. That of a task tells the journal how far a long download is."""
        from ..host import journal
        from ..image.progress import Lines

        return Lines(hear, lambda line: journal.note(host.paths, f"{self.subject}: {line}"), _JOURNAL_SECONDS)

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

    def apply(self, host: Host) -> Applied:
        """Render it. Raises NotFound, Corrupt, HostFailure."""
        return Applied(image=trees.render(host.paths, index.get_image(host.paths, self.image_id)))


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
    subject, stored = f'image "{reference}"', find.lookup(host, reference)
    if stored and (policy.pull != "update" or _is_current(host, reference, policy, stored)):
        ready = yield from _ensure_tree(host, reference, stored)
        if ready:
            if names and _is_outranked(host, reference, ready):
                yield NoteImport(subject, (), reference, ready)
            return ready
        stored = None
    old = stored or _readable(host, reference)
    is_damaged = stored is None and old is not None and not find.is_whole(host, old)
    if old and not is_damaged and find.source_of(host, reference).gives(old):
        # The file was touched but has not changed: the store records its new times.
        applied = yield FetchImage(subject, (), reference, policy)
        return (applied.image if applied else None) or old
    difference = Difference(f"images.{reference}", None, "present", "playbook")
    if old and not is_damaged:
        difference = difference.replace(before=str(old.id), after=UNKNOWN_ID, reason="image")
    elif is_damaged or find.stored_id(host, reference):
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
    """Whether the name of an image from a source means another image, which a fetch would change."""
    try:
        return find.source_of(host, reference).gives_names and index.is_outranked(host.paths, image.id)
    except (FileNotFoundError, Corrupt):
        return False  # it has been removed meanwhile


def _readable(host: Host, reference: ImageReference) -> StoredImage | None:
    """The stored image of a reference, complete or not; None for a damaged one, which a fetch heals."""
    try:
        return find.stored(host, reference)
    except Corrupt:
        return None


class RecordSource(Change):
    """Record that a reference means an image of the store, as if it had been fetched."""

    remote: Remote

    def apply(self, host: Host) -> None:
        """Record it. Raises HostFailure, NotFound, Conflict."""
        from ..store import locks

        try:
            with locks.adding(host.paths):
                if not index.has_image(host.paths, self.remote.image_id):
                    raise NotFound(f"image {self.remote.image_id} has been removed", "run the task again")
                index.put_remote(host.paths, self.remote)
        except OSError as err:
            raise HostFailure.of(f"cannot record what {self.subject} is", err) from err


def ensure_sent(host: Host, reference: SentFile, policy: FetchPolicy) -> Plan[StoredImage | None]:
    """Plan: the image of a file of the controller is in the store, and what it stands for means it.

    The file must have been sent unless the store has its image. Returns as ensure_image does.
    """
    image = yield from ensure_image(host, reference, policy, names=True)
    wanted, own = reference.wanted, index.find_remote(host.paths, reference.source)
    if image is None or own is None or not isinstance(wanted, DockerReference):
        return image
    found = index.find_remote(host.paths, wanted.source)
    if found is None or found.image_id != image.id:
        before = str(found.image_id) if found else None
        difference = Difference(f"images.{reference}", before, str(image.id))
        yield RecordSource(f'image "{reference}"', (difference,), own.replace(source=wanted.source))
    return image


def ensure_no_image(host: Host, reference: ImageReference, also: Collection[ImageID] = ()) -> Plan[None]:
    """Plan: the store does not have the image, and no pin that waits for it. Running pods keep working.

    also: what other plans remove.
    """
    image_id = find.stored_id(host, reference)
    if image_id:
        yield from ensure_removed(host, {image_id: str(reference)}, also)
    else:
        yield from ensure_pin(host, reference, None, wanted=False)


def ensure_removed(host: Host, images: Mapping[ImageID, str], also: Collection[ImageID] = ()) -> Plan[None]:
    """Plan: the store has none of these images. images: what each is called in its difference. also: see above.

    The first change has the warning of them all.
    """
    from ..store.dependencies import warning_of_removal

    warning = warning_of_removal(host.paths, {*images, *also}) if images else ""
    for image_id, shown in images.items():
        difference = Difference(f"images.{shown}", str(image_id), None)
        yield RemoveImage(f'image "{shown}"', (difference,), image_id, warning)
        warning = ""


class PinImage(Change):
    """Pin what a reference means, or end that. image_id: None for no pin."""

    source: str
    image_id: ImageID | None

    def apply(self, host: Host) -> None:
        """Raises HostFailure."""
        from ..store import pins

        try:
            if self.image_id:
                pins.pin(host.paths, self.source, self.image_id)
            else:
                pins.unpin(host.paths, self.source)
        except OSError as err:
            raise HostFailure.of(f"cannot change the pin of {self.subject}", err) from err


def ensure_pin(
    host: Host, reference: ImageReference, image: StoredImage | None, *, wanted: bool
) -> Plan[None]:
    """Plan: a collection leaves alone what a reference means, or not. image: None before it is fetched."""
    from ..store import pins

    found = pins.pinned_by(host.paths, reference.source)
    is_right = (found is not None and image is not None and found == image.id) if wanted else found is None
    if is_right:
        return
    # That a pin moves to the image that was fetched is no difference of its own.
    differences = () if wanted and found else (_pin_difference(reference, wanted=wanted),)
    yield PinImage(
        f'image "{reference}"', differences, reference.source, image.id if wanted and image else None
    )


def _pin_difference(reference: ImageReference, *, wanted: bool) -> Difference:
    shown = {True: "true", False: "false"}
    return Difference(f"images.{reference}.pinned", shown[not wanted], shown[wanted])


def isolators_policy(host: Host) -> Callable[[Image], str]:
    """The policy for an image that asks for more than the defaults; read when one does.

    It is the configured one. Without it a signature is consent, as long as its key is trusted for the image.
    """

    def ask(image: Image) -> str:
        from ..host.config import configured_isolators

        return configured_isolators(host.paths) or (ACCEPT if _has_trusted_signer(host, image) else REFUSE)

    return ask


def _has_trusted_signer(host: Host, image: Image) -> bool:
    from ..image.keystore import trusted_for

    try:
        signer = index.get_image(host.paths, image.id).signer
    except (NotFound, Corrupt):
        return False
    trusted = trusted_for(host.paths, image.manifest.name) if signer else ()
    return signer in [key.key.fingerprint for key in trusted]


def _is_current(host: Host, reference: ImageReference, policy: FetchPolicy, stored: StoredImage) -> bool:
    from ..image import fetch

    return fetch.is_current(host, reference, policy, stored)
