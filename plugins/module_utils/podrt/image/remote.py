# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each kind of source gives: a docker registry, a URL, a file. The callers have the source's turn.

Source: behaviours B17 to B19, B38, B39.
"""

from __future__ import annotations

import re
import time

from ..errors import HostFailure, InvalidSpec, NotFound
from ..store import blobs, claims, index, stream
from . import download
from .answer import bad_status
from .convert import image_manifest
from .docker import Repository
from .local import fingerprint
from .policy import Note
from .reference import AppcName, ArchiveURL, DockerReference, parse_reference
from .resume import CannotResume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..errors import Unreachable
    from ..store.index import Remote, StoredImage
    from .answer import Answer
    from .job import FetchJob
    from .reference import LocalFile

_OK, _NOT_MODIFIED = 200, 304
_WITH_CONTENT = (_OK, _NOT_MODIFIED)
_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")
# How often a download that cannot go on begins again.
_RESTARTS = 2
# How the record of a source says that its ETag is none, but a time of last modification.
_MODIFIED = "last-modified: "


def is_current(job: FetchJob, reference: ArchiveURL | DockerReference, remote: Remote) -> bool:
    """Whether a source still gives what it gave. It is asked nothing for a digest or within max-age.

    Otherwise by HEAD, or by a GET whose content is not read, where HEAD is refused.
    """
    transport = job.transport()
    if isinstance(reference, DockerReference):
        repository = Repository(transport, reference, job.policy, job.credentials)
        return repository.current_digest() == remote.manifest_digest
    if is_fresh(remote):
        return True
    answer = transport.head(reference.url, _conditional(remote))
    if answer.status not in _WITH_CONTENT:
        answer = transport.peek(reference.url, _conditional(remote))
    if answer.status not in _WITH_CONTENT:
        raise _refusal(answer)
    return answer.status == _NOT_MODIFIED or (bool(remote.etag) and _validator(answer) == remote.etag)


def is_fresh(remote: Remote) -> bool:
    """Whether the source said that its content would not change for so long (B18)."""
    return remote.max_age > 0 and remote.download_time + remote.max_age > time.time()


def fetch_docker(job: FetchJob, reference: DockerReference, stored: StoredImage | None) -> StoredImage:
    """Have a docker image; stored: what the store has for the reference. Only layers that are missing are sent."""
    paths = job.host.paths
    repository = Repository(job.transport(), reference, job.policy, job.credentials)
    known = index.find_remote(paths, reference.source)
    if stored and known and repository.current_digest() == known.manifest_digest:
        job.progress(f"using image from local store for url {reference}")
        return stored
    job.progress(f"remote fetching from URL {reference}")
    image = repository.image(job.host.arch)
    manifest = image_manifest(reference, image.config, image.digest, image.config_digest)
    for note in image.config.notes:
        job.progress(note)
    topmost_first = tuple(layer.diff_id for layer in reversed(image.layers))
    with claims.claimed(paths, topmost_first):
        download.ensure_layers(job, repository, image.layers)
        found = blobs.import_manifest(paths, manifest, topmost_first, latest=reference.tag == "latest")
    index.put_remote(
        paths,
        index.Remote(
            reference.source, found.id, download_time=time.time(), manifest_digest=image.asked_digest
        ),
    )
    return found


def fetch_url(job: FetchJob, reference: ArchiveURL, stored: StoredImage | None) -> StoredImage:
    """Have the ACI of a URL; stored: what the store has for it. Asked under the conditions that HTTP caches know."""
    paths = job.host.paths
    known = index.find_remote(paths, reference.source) if stored else None
    if stored and known and is_fresh(known):
        job.progress(f"image for {reference} isn't expired, not fetching.")
        return stored
    job.progress(f'remote fetching from URL "{reference}"')
    job.progress(f"fetching image from {reference}")
    for _try in range(_RESTARTS):
        try:
            return _download(job, reference, stored, known)
        except CannotResume as err:
            job.progress(f"{err.message}; starting again")
    return _download(job, reference, stored, known)


def _download(
    job: FetchJob, reference: ArchiveURL, stored: StoredImage | None, known: Remote | None
) -> StoredImage:
    """The ACI of a URL, from its first byte. Raises CannotResume."""
    paths = job.host.paths
    answers: list[Answer] = []
    headers = _conditional(known)
    chunks = job.transport().stream(reference.url, lambda: headers, _keep(answers, conditional=bool(headers)))
    first = next(chunks, b"")
    if stored and known and answers[0].status == _NOT_MODIFIED:
        index.put_remote(paths, _renewed(known, answers[0]))
        return stored
    job.progress("Downloading ACI")
    found = blobs.import_archive(paths, _chain(first, chunks), str(reference))
    _warn_of_name(job, found)
    index.put_remote(
        paths,
        index.Remote(
            source=reference.source,
            image_id=found.id,
            etag=_validator(answers[0]),
            max_age=_max_age(answers[0].header("cache-control")),
            download_time=time.time(),
        ),
    )
    return found


def fetch_file(job: FetchJob, reference: LocalFile) -> StoredImage:
    """Read an ACI from a file, every time (B.4)."""
    before = fingerprint(reference.path)
    job.progress(f"using image from file {reference.path}")
    try:
        found = blobs.import_archive(job.host.paths, stream.file_chunks(reference.path), reference.path)
    except FileNotFoundError as err:
        raise NotFound(
            f"cannot open the image file {reference.path}: no such file", "check the path"
        ) from err
    except OSError as err:
        raise HostFailure.of(f"cannot read the image file {reference.path}", err) from err
    _warn_of_name(job, found)
    index.put_remote(
        job.host.paths, index.Remote(reference.source, found.id, etag=before, download_time=time.time())
    )
    return found


def _warn_of_name(job: FetchJob, image: StoredImage) -> None:
    """Say so when the name that an image gives itself means something else where an image is named."""
    name = str(image.manifest.name)
    try:
        is_name = isinstance(parse_reference(name, relative=False), AppcName)
    except InvalidSpec:
        is_name = False
    if not is_name:
        job.progress(
            Note(
                f'the image calls itself "{name}", which as a name means something else: use its ID {image.id}'
            )
        )


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


def _keep(answers: list[Answer], *, conditional: bool) -> Callable[[Answer], bool]:
    wanted = _WITH_CONTENT if conditional else (_OK,)

    def accept(answer: Answer) -> bool:
        if answer.status not in wanted:
            raise _refusal(answer)
        answers.append(answer)
        return True

    return accept


def _refusal(answer: Answer) -> Unreachable:
    return bad_status(
        answer.url, answer.status, "a URL is asked without credentials; auth.d is for docker registries"
    )


def _renewed(known: Remote, answer: Answer) -> Remote:
    """What is known of a source that says that its content is the same: from now on, and for as long as it says."""
    said = answer.header("cache-control")
    return known.replace(download_time=time.time(), max_age=_max_age(said) if said else known.max_age)


def _max_age(cache_control: str) -> int:
    text = cache_control.lower()
    if "no-store" in text or "no-cache" in text:
        return 0
    found = _MAX_AGE.search(text)
    return int(found[1]) if found else 0


def _chain(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks
