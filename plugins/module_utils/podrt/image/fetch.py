# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a reference to an image in the store: which source is asked when, and what is trusted.

Looking up never touches the network, and neither requests nor the unpacking code is imported for it.
Source: behaviours B.4 (policies), B16 to B20 (texts), B27 (verification).
"""

from __future__ import annotations

import os
import stat

from ..errors import HostFailure, InvalidSpec, NotFound, Untrusted
from ..store import dependencies, index, layers, locks, trees
from .policy import FetchPolicy, parse_insecure
from .reference import AppcName, ArchiveURL, DockerReference, ImageKey, LocalFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.image import Dependency
    from ..host.host import Host
    from ..store.index import StoredImage
    from .reference import ImageReference
    from .transport import Credentials

    Progress = Callable[[str], None]

__all__ = ("FetchPolicy", "fetch", "fingerprint", "is_current", "lookup", "parse_insecure")

_ABSENT = (
    "either image was not found in the store or store was disabled and fetching from remote yielded nothing or it "
    "was disabled"
)
_PULL_HINT = "fetch it first, or use the pull policy new"


def _no_credentials(_registry: str) -> tuple[str, str] | None:
    return None


def lookup(host: Host, reference: ImageReference, policy: FetchPolicy) -> StoredImage | None:
    """What the store has for a reference, without asking whether its source has something newer.

    A file of this host counts only as long as it has not changed, whatever the policy (B.4). None also when layers
    or dependencies are missing. Raises InvalidSpec for a key that is ambiguous or none.
    """
    found = _stored(host, reference)
    return found if found and _is_whole(host, found) else None


def is_current(
    host: Host,
    reference: ImageReference,
    policy: FetchPolicy,
    stored: StoredImage,
    *,
    credentials: Credentials = _no_credentials,
) -> bool:
    """Whether a fetch under this policy would give this stored image again. At most one HEAD; writes nothing."""
    if isinstance(reference, LocalFile):
        return _stored(host, reference) == stored
    if isinstance(reference, (ImageKey, AppcName)) or policy.pull != "update":
        return True
    remote = index.find_remote(host.paths, reference.source)
    if remote is None or remote.image_id != stored.id:
        return False
    from . import remote as sources

    return sources.is_current(reference, policy, remote, credentials)


def fetch(
    host: Host,
    reference: ImageReference,
    policy: FetchPolicy,
    progress: Progress,
    *,
    credentials: Credentials = _no_credentials,
) -> StoredImage:
    """Have an image in the store, with its dependencies, and its tree rendered.

    progress: called with lines for people. credentials: of a registry, (user, password). Raises NotFound, Untrusted,
    Unreachable, Corrupt, Unsupported, HostFailure; then nothing of the image is left but layers that were complete.
    """
    try:
        with locks.adding(host.paths):
            found = _ensure(host, reference, policy, progress, credentials)
            for dependency in found.manifest.dependencies:
                _fetch_dependency(host, found, dependency)
            index.touch(host.paths, found.id)
            trees.render(host.paths, found.id)
    except OSError as err:
        hint = "the store is root's: become root" if isinstance(err, PermissionError) else ""
        raise HostFailure.of(f"cannot fetch {reference}", err, hint) from err
    return found


def _ensure(
    host: Host, reference: ImageReference, policy: FetchPolicy, progress: Progress, credentials: Credentials
) -> StoredImage:
    """The image alone, from the store or from its source."""
    found = lookup(host, reference, policy) if _asks_store(reference, policy) else None
    if found:
        progress(_using(reference, found))
        return found
    _check_may_fetch(reference, policy)
    with locks.lock_source(host.paths, reference.source):
        return _fetch_locked(host, reference, policy, progress, credentials)


def _fetch_locked(
    host: Host, reference: ImageReference, policy: FetchPolicy, progress: Progress, credentials: Credentials
) -> StoredImage:
    """Another process may have fetched it while this one waited for the lock."""
    from . import remote as sources

    found = None if isinstance(reference, LocalFile) else lookup(host, reference, policy)
    if found and policy.pull == "new":
        progress(_using(reference, found))
        return found
    if isinstance(reference, LocalFile):
        return sources.fetch_file(host, reference, progress)
    if isinstance(reference, ArchiveURL):
        return sources.fetch_url(host, reference, policy, found, progress)
    if isinstance(reference, DockerReference):
        return sources.fetch_docker(host, reference, policy, found, progress, credentials)
    raise _absent(reference)


def _stored(host: Host, reference: ImageReference) -> StoredImage | None:
    paths = host.paths
    try:
        if isinstance(reference, ImageKey):
            return index.find_by_key(paths, reference.prefix)
        if isinstance(reference, AppcName):
            return index.find_by_name(paths, reference.name, reference.labels)
        remote = index.find_remote(paths, reference.source)
        if remote is None:
            return None
        if isinstance(reference, LocalFile) and remote.etag != fingerprint(reference.path):
            return None
        return index.get_image(paths, remote.image_id)
    except NotFound:
        return None


def fingerprint(path: str) -> str:
    """What changes when a file does. Raises NotFound, HostFailure."""
    try:
        info = os.stat(path)
    except FileNotFoundError as err:
        raise NotFound(f"cannot open the image file {path}: no such file", "check the path") from err
    except OSError as err:
        raise HostFailure.of(f"cannot open the image file {path}", err) from err
    if not stat.S_ISREG(info.st_mode):
        raise InvalidSpec(f"the image file {path} is not a file", "name a file that holds an ACI")
    return f"{info.st_dev}-{info.st_ino}-{info.st_size}-{info.st_mtime_ns}"


def _is_whole(host: Host, image: StoredImage) -> bool:
    """Whether its tree can be rendered without asking anyone."""
    try:
        stack = dependencies.flatten(host.paths, image)
    except NotFound:
        return False
    return all(
        layers.has_layer(host.paths, layer_id) or layer_id == placed.image.id
        for placed in stack
        for layer_id in placed.image.layers
    )


def _asks_store(reference: ImageReference, policy: FetchPolicy) -> bool:
    """Whether what the store has is good enough (B.4)."""
    if isinstance(reference, LocalFile):
        return False
    return policy.pull != "update" or isinstance(reference, (ImageKey, AppcName))


def _check_may_fetch(reference: ImageReference, policy: FetchPolicy) -> None:
    """Raise when the policy, or the kind of reference, leaves nowhere to fetch from."""
    if isinstance(reference, ImageKey):
        index_error = f"no image in the store begins with {reference.prefix}"
        raise NotFound("no image IDs found", index_error)
    if policy.pull == "never" and not isinstance(reference, LocalFile):
        raise _absent(reference)
    if isinstance(reference, AppcName):
        raise NotFound(
            f'image name "{reference}": {_ABSENT}',
            "discovery by name is not available: fetch the image by its URL, from a file or from a docker registry",
        )
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


def _fetch_dependency(host: Host, image: StoredImage, dependency: Dependency) -> None:
    """Dependencies are found by name; without discovery they must be in the store (B20, B51)."""
    found = dependencies.find(host.paths, dependency)
    if found is None:
        raise NotFound(
            f"the image {image.manifest.full_name} needs {dependency.image_name}: {_ABSENT}",
            "fetch the image that it needs first",
        )
    for below in found.manifest.dependencies:
        _fetch_dependency(host, found, below)


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
