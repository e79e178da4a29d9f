# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in the store by reference: which source is asked when, and what is trusted.

A lookup never touches the network, and imports neither requests nor the unpacking code.
Source: behaviours B.4 (policies), B16 to B20 (texts), B27 (verification).
"""

from __future__ import annotations

import os

from ..errors import Corrupt, HostFailure, NotFound, Untrusted
from ..store import dependencies, index, layers, trees
from .policy import FetchPolicy
from .reference import AppcName, ArchiveURL, DockerReference, ImageKey, LocalFile, as_docker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.names import ImageID
    from ..host.host import Host
    from ..store.index import StoredImage
    from ..store.trees import RenderedImage
    from .job import FetchJob
    from .reference import ImageReference
    from .transport import AskCredentials

    Progress = Callable[[str], None]

_ABSENT = (
    "either image was not found in the store or store was disabled and fetching from remote yielded nothing or it "
    "was disabled"
)
_PULL_HINT = "fetch it first, or use the pull policy new"


def _no_progress(_line: str) -> None:
    """Drop progress, for a lookup."""


def _no_credentials(_registry: str) -> tuple[str, str] | None:
    return None


def lookup(host: Host, reference: ImageReference, policy: FetchPolicy) -> StoredImage | None:
    """The stored image of a reference, without asking whether its source has something newer.

    A file of this host counts only as long as it has not changed, whatever the policy (B.4). None also when layers
    or dependencies are missing. Raises InvalidSpec for a key that is ambiguous or malformed.
    """
    try:
        if isinstance(reference, LocalFile) and _has_changed(host, reference):
            return None
        found = stored(host, reference)
    except (NotFound, Corrupt):
        return None  # a fetch repairs it, or reports what is wrong
    return found if found and is_whole(host, found) else None


def stored(host: Host, reference: ImageReference) -> StoredImage | None:
    """The stored image of a reference, even if incomplete or without its source: enough to show it.

    Raises InvalidSpec for a key that is ambiguous or malformed, Corrupt for a damaged image.
    """
    try:
        if isinstance(reference, AppcName):
            return index.find_by_name(host.paths, reference.name, reference.labels)
        image_id = stored_id(host, reference)
        return index.get_image(host.paths, image_id) if image_id else None
    except NotFound:
        return None


def stored_id(host: Host, reference: ImageReference) -> ImageID | None:
    """The ID of that image, from the index alone: enough to remove even a damaged image. Raises InvalidSpec."""
    paths = host.paths
    if isinstance(reference, AppcName):
        return next(iter(index.ids_by_name(paths, reference.name, reference.labels)), None)
    if isinstance(reference, ImageKey):
        try:
            return index.id_by_key(paths, reference.prefix)
        except NotFound:
            return None
    remote = index.find_remote(paths, reference.source)
    return remote.image_id if remote and index.has_image(paths, remote.image_id) else None


def is_current(
    host: Host,
    reference: ImageReference,
    policy: FetchPolicy,
    found: StoredImage,
    *,
    credentials: AskCredentials = _no_credentials,
) -> bool:
    """Whether a fetch under this policy would give this stored image again. At most one HEAD; writes nothing."""
    if isinstance(reference, LocalFile):
        return not _has_changed(host, reference) and stored_id(host, reference) == found.id
    if isinstance(reference, (ImageKey, AppcName)) or policy.pull != "update":
        return True
    remote = index.find_remote(host.paths, reference.source)
    if remote is None or remote.image_id != found.id:
        return False
    from . import remote as sources

    return sources.is_current(_job(host, policy, _no_progress, credentials), reference, remote)


def is_fresh(host: Host, reference: ArchiveURL) -> bool:
    """Whether the server of a URL said that its content would not change until now (B18). Reads only the store."""
    from . import remote as sources

    remote = index.find_remote(host.paths, reference.source)
    return remote is not None and sources.is_fresh(remote)


def fetch(
    host: Host,
    reference: ImageReference,
    policy: FetchPolicy,
    progress: Progress,
    *,
    credentials: AskCredentials = _no_credentials,
) -> RenderedImage:
    """Get an image into the store, with its dependencies, and render its tree.

    progress: called with lines for the user. credentials: of a registry, (user, password). Raises NotFound, Untrusted,
    Unreachable, Corrupt, Unsupported, HostFailure; then nothing of the image is left except complete layers.
    """
    from ..store import workspace  # only fetches need it
    from ..store.locks import adding
    from .meaning import Meanings

    try:
        meanings = Meanings(host.paths, reference.source)
        # A fetch killed after its last step leaves a workspace, and the next one has nothing to do and makes none.
        workspace.sweep(host.paths.workspaces)
        while True:
            known = index.list_ids(host.paths)
            found = _ensure(host, reference, policy, progress, credentials)
            with adding(host.paths):
                if index.has_image(host.paths, found.id):
                    rendered = _complete(host, found, is_new=found.id not in known)
                    moved = meanings.has_moved(found)
                    if moved:
                        progress(moved)
                    return rendered
            # A collection removed it before it was rendered.
    except OSError as err:
        hint = "the store is root's: become root" if isinstance(err, PermissionError) else ""
        raise HostFailure.of(f"cannot fetch {reference}", err, hint) from err


def _job(host: Host, policy: FetchPolicy, progress: Progress, credentials: AskCredentials) -> FetchJob:
    from ..host.config import configured_limits
    from .job import FetchJob

    return FetchJob(host, policy, progress, credentials, configured_limits(host.paths))


def _complete(host: Host, image: StoredImage, *, is_new: bool) -> RenderedImage:
    """Render an image; its dependencies must be in the store, since there is no discovery (B20, B51).

    A new one that cannot be rendered is removed, but not on an interrupt: it is complete, and another process may be
    about to use it.
    """
    try:
        index.touch(host.paths, image.id)
        return trees.render(host.paths, image)
    except Exception:
        if is_new:
            index.remove_image(host.paths, image.id)
        raise


def _ensure(
    host: Host,
    reference: ImageReference,
    policy: FetchPolicy,
    progress: Progress,
    credentials: AskCredentials,
) -> StoredImage:
    """The image without its dependencies, from the store or from its source."""
    found = lookup(host, reference, policy) if _asks_store(reference, policy) else None
    if found:
        progress(_using(reference, found))
        return found
    check_may_fetch(host, reference, policy)
    job = _job(host, policy, progress, credentials)
    with job.turn(reference.source, str(reference)) as turn:
        return _fetch_now(job.replace(pulse=turn.pulse), reference)


def _fetch_now(job: FetchJob, reference: ImageReference) -> StoredImage:
    """Fetch an image, unless another process has while this one waited for its turn."""
    from . import remote as sources

    found = None if isinstance(reference, LocalFile) else lookup(job.host, reference, job.policy)
    if found and job.policy.pull == "new":
        job.progress(_using(reference, found))
        return found
    if isinstance(reference, LocalFile):
        return sources.fetch_file(job, reference)
    if isinstance(reference, ArchiveURL):
        return sources.fetch_url(job, reference, found)
    if isinstance(reference, DockerReference):
        return sources.fetch_docker(job, reference, found)
    raise _absent(reference)


def _has_changed(host: Host, reference: LocalFile) -> bool:
    """Whether a file has changed since it was read last. Raises NotFound, HostFailure, InvalidSpec."""
    from .local import fingerprint

    now = fingerprint(reference.path)
    remote = index.find_remote(host.paths, reference.source)
    return remote is None or remote.etag != now


def is_whole(host: Host, image: StoredImage) -> bool:
    """Whether the tree of a stored image can be rendered from the store."""
    try:
        _check_whole(host, image)
    except NotFound:
        return False
    return True


def _check_whole(host: Host, image: StoredImage) -> None:
    """Raise NotFound unless the tree of an image can be rendered from the store."""
    for placed in dependencies.flatten(host.paths, image):
        for layer_id in placed.image.layers:
            if layers.has_layer(host.paths, layer_id):
                continue
            # The layer of an ACI can be unpacked again from its archive.
            if layer_id != placed.image.id or not os.path.exists(host.paths.blob(placed.image.id)):
                raise NotFound(
                    f"layers of the image {placed.image.id} are gone", "fetch it again from its source"
                )


def _asks_store(reference: ImageReference, policy: FetchPolicy) -> bool:
    """Whether the stored image will do (B.4)."""
    if isinstance(reference, LocalFile):
        return False
    return policy.pull != "update" or isinstance(reference, (ImageKey, AppcName))


def check_may_fetch(host: Host, reference: ImageReference, policy: FetchPolicy) -> None:
    """Raise the errors of a fetch before its first request, for an image that is not in the store. Reads only.

    Raises NotFound when the policy, or the kind of reference, leaves no source to fetch from, or for a missing file;
    Untrusted for what cannot be verified; InvalidSpec.
    """
    if isinstance(reference, ImageKey):
        return _check_whole(host, index.find_by_key(host.paths, reference.prefix))
    if isinstance(reference, AppcName):
        found = stored(host, reference)
        if found:
            return _check_whole(host, found)
    if isinstance(reference, LocalFile):
        from .local import fingerprint

        fingerprint(reference.path)
    if policy.pull == "never" and not isinstance(reference, LocalFile):
        raise _absent(reference)
    if isinstance(reference, AppcName):
        written = as_docker(str(reference))
        hint = "discovery by name is not available: fetch the image by its URL or from a file"
        if written:
            hint += f"; for an image of a docker registry write {written}"
        raise NotFound(f'image name "{reference}": {_ABSENT}', hint)
    if policy.waives("image"):
        return
    if isinstance(reference, DockerReference):
        raise Untrusted(
            "signature verification for docker images is not supported (try --insecure-options=image)",
            "say insecure_options: image, if the registry is to be trusted",
        )
    raise Untrusted(
        f"cannot verify {reference}: it has no signature that is trusted (try --insecure-options=image)",
        "say insecure_options: image, if its source is to be trusted",
    )


def check_dependencies(host: Host, reference: ImageReference) -> None:
    """Raise NotFound when an image needs one that is not in the store, as far as that is known. Reads only.

    Of a file, the manifest is read; of a URL, the image that was fetched last is known.
    """
    if isinstance(reference, LocalFile):
        from ..store import blobs

        try:
            manifest = blobs.manifest_in(host.paths, reference.path)
        except (OSError, Corrupt):
            return  # the fetch will report it
        if manifest is not None and manifest.dependencies:
            dependencies.check(host.paths, manifest)
    elif isinstance(reference, ArchiveURL):
        try:
            found = stored(host, reference)
        except Corrupt:
            return
        if found:
            dependencies.flatten(host.paths, found)


def _using(reference: ImageReference, found: StoredImage) -> str:
    if isinstance(reference, ImageKey):
        return f"using image from the store with hash {found.id}"
    if isinstance(reference, AppcName):
        return f"using image from local store for image name {reference}"
    return f"using image from local store for url {reference}"


def _absent(reference: ImageReference) -> NotFound:
    if isinstance(reference, DockerReference):
        return NotFound(f"unable to fetch docker image from URL {reference}: {_ABSENT}", _PULL_HINT)
    if isinstance(reference, AppcName):
        return NotFound(f'unable to fetch image "{reference}": {_ABSENT}', _PULL_HINT)
    return NotFound(f"unable to fetch image from URL {reference}: {_ABSENT}", _PULL_HINT)
