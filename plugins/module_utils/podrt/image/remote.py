# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of source gives: a docker registry, a URL, a file. The callers hold the lock of the source.

Source: behaviours B17 to B19, B38, B39.
"""

from __future__ import annotations

import re
import time

from ..errors import HostFailure, NotFound
from ..store import blobs, index, stream
from . import download
from .convert import image_manifest
from .docker import Repository
from .reference import ArchiveURL, DockerReference
from .transport import Transport, bad_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..host.host import Host
    from ..store.index import Remote, StoredImage
    from .policy import FetchPolicy
    from .reference import LocalFile
    from .transport import Answer, Credentials

    Progress = Callable[[str], None]

_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")
# How the record of a source says that its ETag is none, but a time of last modification.
_MODIFIED = "last-modified: "


def is_current(
    reference: ArchiveURL | DockerReference, policy: FetchPolicy, remote: Remote, credentials: Credentials
) -> bool:
    """Whether a source still gives what it gave. One HEAD at most; none for a digest or within max-age."""
    transport = Transport(policy)
    if isinstance(reference, DockerReference):
        return (
            Repository(transport, reference, policy, credentials).current_digest() == remote.manifest_digest
        )
    if is_fresh(remote):
        return True
    answer = transport.head(reference.url, _conditional(remote))
    if answer.status not in (200, 304):
        raise bad_status(reference.url, answer.status)
    return answer.status == 304 or (bool(remote.etag) and _validator(answer) == remote.etag)


def is_fresh(remote: Remote) -> bool:
    """Whether the source said that its content would not change for so long (B18)."""
    return remote.max_age > 0 and remote.download_time + remote.max_age > time.time()


def fetch_docker(
    host: Host,
    reference: DockerReference,
    policy: FetchPolicy,
    stored: StoredImage | None,
    progress: Progress,
    credentials: Credentials,
) -> StoredImage:
    """Have a docker image; stored: what the store has for the reference. Only layers that are missing are sent."""
    repository = Repository(Transport(policy), reference, policy, credentials)
    known = index.find_remote(host.paths, reference.source)
    if stored and known and repository.current_digest() == known.manifest_digest:
        progress(f"using image from local store for url {reference}")
        return stored
    progress(f"remote fetching from URL {reference}")
    image = repository.image(host.arch)
    manifest = image_manifest(reference, image.config, image.digest, image.config_digest)
    for note in image.config.notes:
        progress(note)
    download.ensure_layers(host.paths, repository, image.layers, progress)
    topmost_first = tuple(layer.diff_id for layer in reversed(image.layers))
    found = blobs.import_manifest(host.paths, manifest, topmost_first, latest=reference.tag == "latest")
    index.put_remote(
        host.paths,
        index.Remote(
            reference.source, found.id, download_time=time.time(), manifest_digest=image.asked_digest
        ),
    )
    return found


def fetch_url(
    host: Host, reference: ArchiveURL, policy: FetchPolicy, stored: StoredImage | None, progress: Progress
) -> StoredImage:
    """Have the ACI of a URL; stored: what the store has for it. Asked under the conditions that HTTP caches know."""
    known = index.find_remote(host.paths, reference.source) if stored else None
    if stored and known and is_fresh(known):
        progress(f"image for {reference} isn't expired, not fetching.")
        return stored
    progress(f'remote fetching from URL "{reference}"')
    progress(f"fetching image from {reference}")
    answers: list[Answer] = []
    chunks = Transport(policy).stream(reference.url, _conditional(known), _keep(answers, reference.url))
    first = next(chunks, b"")
    if stored and answers[0].status == 304:
        return stored
    progress("Downloading ACI")
    found = blobs.import_archive(host.paths, _chain(first, chunks), str(reference))
    _remember(host, reference, found, answers[0])
    return found


def fetch_file(host: Host, reference: LocalFile, progress: Progress) -> StoredImage:
    """Read an ACI from a file, every time (B.4)."""
    from .fetch import fingerprint

    before = fingerprint(reference.path)
    progress(f"using image from file {reference.path}")
    try:
        found = blobs.import_archive(host.paths, stream.file_chunks(reference.path), reference.path)
    except FileNotFoundError as err:
        raise NotFound(
            f"cannot open the image file {reference.path}: no such file", "check the path"
        ) from err
    except OSError as err:
        raise HostFailure.of(f"cannot read the image file {reference.path}", err) from err
    index.put_remote(
        host.paths, index.Remote(reference.source, found.id, etag=before, download_time=time.time())
    )
    return found


def _conditional(remote: Remote | None) -> dict[str, str]:
    if remote is None or not remote.etag:
        return {}
    if remote.etag.startswith(_MODIFIED):
        return {"If-Modified-Since": remote.etag[len(_MODIFIED) :]}
    return {"If-None-Match": remote.etag}


def _validator(answer: Answer) -> str:
    """What tells the content of a URL from another of its contents; empty when the server says nothing."""
    modified = answer.header("last-modified")
    return answer.header("etag") or (f"{_MODIFIED}{modified}" if modified else "")


def _keep(answers: list[Answer], url: str) -> Callable[[Answer], None]:
    def accept(answer: Answer) -> None:
        if answer.status not in (200, 304):
            raise bad_status(url, answer.status)
        answers.append(answer)

    return accept


def _remember(host: Host, reference: ArchiveURL, found: StoredImage, answer: Answer) -> None:
    index.put_remote(
        host.paths,
        index.Remote(
            source=reference.source,
            image_id=found.id,
            etag=_validator(answer),
            max_age=_max_age(answer.header("cache-control")),
            download_time=time.time(),
        ),
    )


def _max_age(cache_control: str) -> int:
    text = cache_control.lower()
    if "no-store" in text or "no-cache" in text:
        return 0
    found = _MAX_AGE.search(text)
    return int(found[1]) if found else 0


def _chain(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks
