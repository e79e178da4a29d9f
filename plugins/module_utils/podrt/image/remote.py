# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch images from each kind of source: a docker registry, a URL, a file. The callers hold the source's turn.

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
# How often a download that cannot be resumed starts again.
_RESTARTS = 2
# The prefix of an ETag in the record of a source that is really a time of last modification.
_MODIFIED = "last-modified: "


def is_current(job: FetchJob, reference: ArchiveURL | DockerReference, remote: Remote) -> bool:
    """Whether a source still gives the same image. No request is made for a reference by digest, or within max-age.

    The request is a HEAD, or where that is refused a GET whose content is not read.
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
    """Whether the max-age that the source gave is not over yet (B18)."""
    return remote.max_age > 0 and remote.download_time + remote.max_age > time.time()


def fetch_docker(job: FetchJob, reference: DockerReference, stored: StoredImage | None) -> StoredImage:
    """Fetch a docker image; only missing layers are sent. stored: the image of the reference in the store."""
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
        imported = blobs.import_manifest(paths, manifest, topmost_first, latest=reference.tag == "latest")
    index.put_remote(
        paths,
        index.Remote(
            reference.source, imported.id, download_time=time.time(), manifest_digest=image.asked_digest
        ),
    )
    return imported


def fetch_url(job: FetchJob, reference: ArchiveURL, stored: StoredImage | None) -> StoredImage:
    """Fetch the ACI of a URL, by a conditional request as HTTP caches do. stored: the image of the URL in the store."""
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
    """Download the ACI of a URL from its first byte. Raises CannotResume."""
    paths = job.host.paths
    answers: list[Answer] = []
    headers = _conditional(known)
    chunks = job.transport().stream(reference.url, lambda: headers, _keep(answers, conditional=bool(headers)))
    first = next(chunks, b"")
    if stored and known and answers[0].status == _NOT_MODIFIED:
        index.put_remote(paths, _renewed(known, answers[0]))
        return stored
    job.progress("Downloading ACI")
    image = blobs.import_archive(paths, _chain(first, chunks), str(reference))
    _warn_of_name(job, image)
    index.put_remote(
        paths,
        index.Remote(
            source=reference.source,
            image_id=image.id,
            etag=_validator(answers[0]),
            max_age=_max_age(answers[0].header("cache-control")),
            download_time=time.time(),
        ),
    )
    return image


def fetch_file(job: FetchJob, reference: LocalFile) -> StoredImage:
    """Read an ACI from a file, every time (B.4)."""
    before = fingerprint(reference.path)
    job.progress(f"using image from file {reference.path}")
    try:
        image = blobs.import_archive(job.host.paths, stream.file_chunks(reference.path), reference.path)
    except FileNotFoundError as err:
        raise NotFound(
            f"cannot open the image file {reference.path}: no such file", "check the path"
        ) from err
    except OSError as err:
        raise HostFailure.of(f"cannot read the image file {reference.path}", err) from err
    _warn_of_name(job, image)
    index.put_remote(
        job.host.paths, index.Remote(reference.source, image.id, etag=before, download_time=time.time())
    )
    return image


def _warn_of_name(job: FetchJob, image: StoredImage) -> None:
    """Warn when the name that an image gives itself is read as another kind of reference."""
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
    """The validator of the content of a URL: its ETag or time of last modification; empty without either."""
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
    """The record of a source whose content is unchanged: downloaded now, with the max-age of the answer, if any."""
    cache_control = answer.header("cache-control")
    return known.replace(
        download_time=time.time(), max_age=_max_age(cache_control) if cache_control else known.max_age
    )


def _max_age(cache_control: str) -> int:
    text = cache_control.lower()
    if "no-store" in text or "no-cache" in text:
        return 0
    match = _MAX_AGE.search(text)
    return int(match[1]) if match else 0


def _chain(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks
