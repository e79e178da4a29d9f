# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images by reference: which source is asked when, under which lock, and what becomes of what it sends.

A fetch has three steps: the source receives an image in a workspace, the verifier decides, and store.commit alone makes
it count. What differs between the kinds of references is in image.sources; here it is never asked which one it is.
Source: behaviours B.4 (policies), B16 to B20 (texts), B27 (verification).
"""

from __future__ import annotations

from ..errors import HostFailure, NotFound
from .find import check_whole, lookup_of, source_of
from .reference import is_discoverable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.image import ImageManifest
    from ..host.host import Host
    from ..store.index import StoredImage
    from ..store.trees import RenderedImage
    from .job import FetchJob
    from .policy import FetchPolicy
    from .progress import Observer
    from .reference import ImageReference
    from .sources.source import Source, Verifier


def _no_progress(_line: str) -> None:
    """Drop progress, for a lookup."""


def is_current(host: Host, reference: ImageReference, policy: FetchPolicy, found: StoredImage) -> bool:
    """Whether a fetch under this policy would give this stored image again, without another decision about it.

    At most one HEAD; writes nothing.
    """
    source = source_of(host, reference)
    if source.is_at_hand:
        return not source.has_changed() and source.stored_id() == found.id
    if _store_will_do(source, policy):
        return True
    remote = source.remote
    if remote is None or remote.image_id != found.id:
        return False
    from .job import new_job
    from .verify import verifier_of

    if not verifier_of(source, policy).knows(found):
        return False
    return source.is_current(new_job(host, policy, _no_progress), remote)


def line_of_use(host: Host, reference: ImageReference, policy: FetchPolicy, image: StoredImage) -> str:
    """The line for an image that need not be fetched (B17)."""
    source = source_of(host, reference)
    return source.not_expired() if policy.pull == "update" and source.is_fresh() else source.using(image)


def fetch(
    host: Host, reference: ImageReference, policy: FetchPolicy, progress: Observer | Callable[[str], None]
) -> RenderedImage:
    """Get an image into the store, with its dependencies, and render its tree.

    progress: called with lines for the user; an Observer hears of downloads as well. Raises NotFound, Untrusted,
    Unreachable, Corrupt, Unsupported, HostFailure; then nothing of the image counts except complete layers.
    """
    from ..store import workspace  # only fetches need it
    from .job import new_job
    from .meaning import Meanings

    try:
        meanings = Meanings(host.paths, reference.source)
        # A fetch killed after its last step leaves a workspace, and the next one has nothing to do and makes none.
        workspace.sweep(host.paths.workspaces)
        rendered = _rendered(new_job(host, policy, progress), source_of(host, reference))
        moved = meanings.has_moved(rendered)
        if moved:
            progress(moved)
        return rendered
    except OSError as err:
        hint = "the store is root's: become root" if isinstance(err, PermissionError) else ""
        raise HostFailure.of(f"cannot fetch {reference}", err, hint) from err


def _rendered(job: FetchJob, source: Source) -> RenderedImage:
    """The image from the store or from its source; once more if a collection removes it before it is rendered."""
    while True:
        found = lookup_of(source) if _store_will_do(source, job.policy) else None
        rendered = _used(job, source, found) if found else _fetched(job, source)
        if rendered:
            return rendered


def _used(job: FetchJob, source: Source, found: StoredImage) -> RenderedImage | None:
    from ..store.commit import use

    job.progress(source.using(found))
    return use(job.host.paths, found)


def _fetched(job: FetchJob, source: Source) -> RenderedImage | None:
    """Fetch an image, unless another process has while this one waited for its turn."""
    from .verify import verifier_of

    verifier = verifier_of(source, job.policy)
    _check_may_fetch(source, job.policy, verifier)
    with job.turn(source.reference.source, str(source.reference)) as turn:
        found = None if source.is_at_hand or job.policy.anyway else lookup_of(source)
        if found and job.policy.pull == "new":
            return _used(job, source, found)
        return _taken(job.replace(pulse=turn.pulse), source, found, verifier)


def _taken(
    job: FetchJob, source: Source, found: StoredImage | None, verifier: Verifier
) -> RenderedImage | None:
    """Receive, verify, fetch what it needs, commit."""
    from ..store.commit import commit, use
    from ..store.trust import Trust

    with source.receive(job, found, verifier) as received:
        if received is None:
            return use(job.host.paths, found) if found else None
        signer = verifier.verify(job, source, received)
        _fetch_needed(job, received.incoming.manifest)
        remotes = (received.remote, *received.others)
        rendered = commit(job.host.paths, received.incoming, remotes, Trust(signer, verifier.decided_by))
    for note in received.notes:
        job.progress(note)
    return rendered


def _fetch_needed(job: FetchJob, manifest: ImageManifest) -> None:
    """Fetch the dependencies that are missing. They have no turns: two images may need each other's."""
    if not manifest.dependencies:
        return
    from .needed import missing, needed_by, policy_of
    from .verify import verifier_of

    job = job.replace(policy=policy_of(job.policy))
    for source in missing(job.host, manifest):
        verifier = verifier_of(source, job.policy)
        with needed_by(manifest), job.needed.holding(str(source.reference)):
            _check_may_fetch(source, job.policy, verifier)
            _taken(job, source, None, verifier)


def _store_will_do(source: Source, policy: FetchPolicy) -> bool:
    """Whether the stored image will do (B.4)."""
    if source.is_at_hand:
        return False
    return not source.has_remote or not (policy.anyway or policy.pull == "update")


def check_may_fetch(host: Host, reference: ImageReference, policy: FetchPolicy) -> None:
    """Raise the errors of a fetch before its first request, for an image that is not in the store. Reads only.

    Raises NotFound when the policy, or the kind of reference, leaves no source to fetch from, or for a missing file;
    Untrusted for what cannot be verified; InvalidSpec.
    """
    from .verify import verifier_of

    source = source_of(host, reference)
    verifier = verifier_of(source, policy)
    if _check_may_fetch(source, policy, verifier):
        verifier.predict(source)


def _check_may_fetch(source: Source, policy: FetchPolicy, verifier: Verifier) -> bool:
    """Whether it would be fetched, not taken from the store."""
    if not source.is_at_hand:
        found = None if source.has_remote else source.stored()
        if found:
            check_whole(source.host, found)
            return False
        if policy.pull == "never":
            raise source.absent()
    source.foresee()
    verifier.foresee(source)
    return True


def check_dependencies(host: Host, reference: ImageReference, policy: FetchPolicy) -> None:
    """Raise NotFound when an image needs one that is not in the store and cannot be discovered. Reads only.

    Of a file, the manifest is read; of a URL, the image that was fetched last is known.
    """
    try:
        source_of(host, reference).check_dependencies()
    except NotFound as err:
        needs = err.facts.get("needs")
        if policy.pull == "never" or not isinstance(needs, str) or not is_discoverable(needs):
            raise
