# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs that meta discovery has found for a name: the rules of URLs, place after place. Source: behaviours B12, B28."""

from __future__ import annotations

import time
from contextlib import ExitStack

from ...contexts import contextmanager
from ...errors import NotFound, PodError, Unreachable
from ...store.index import Remote
from ..discovery import discover_images, page_asker
from ..reference import ArchiveURL, as_docker
from .source import Received, Verifier
from .url import UrlSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...appc.names import ImageID
    from ...store.index import StoredImage
    from ..job import FetchJob
    from ..reference import AppcName


class EndpointSource(UrlSource):
    """A place of a name. signature: the URL of the detached signature, by the same template."""

    name: AppcName
    signature: str

    def signature_place(self) -> str:
        """The URL that discovery has found."""
        return self.signature

    def known_name(self) -> str:
        """The name that was asked for."""
        return str(self.name.name)


def is_current(job: FetchJob, name: AppcName, image_id: ImageID) -> bool:
    """Whether the first place of a name still gives an image. One request for each page, and one for the image."""
    first = _endpoints(job, name)[0]
    remote = first.remote
    return remote is not None and remote.image_id == image_id and first.is_current(job, remote)


@contextmanager
def receive(
    job: FetchJob, name: AppcName, stored: StoredImage | None, verifier: Verifier
) -> Iterator[Received | None]:
    """Receive the image of a name from the first place that does not refuse it. See Source.receive."""
    job.progress(f"searching for app image {name.name}")
    with ExitStack() as stack:
        received = _first(stack, job, name, stored, verifier)
        if received is None:
            yield None
            return
        incoming = received.incoming.replace(latest=name.labels.get("version") is None)
        record = Remote(name.source, incoming.id, download_time=time.time())
        yield received.replace(incoming=incoming, others=(record,))


def _first(
    stack: ExitStack, job: FetchJob, name: AppcName, stored: StoredImage | None, verifier: Verifier
) -> Received | None:
    places = _endpoints(job, name)
    for left, place in zip(range(len(places) - 1, -1, -1), places):
        # Only what the name means may stay as it is.
        known = stored if stored and place.stored_id() == stored.id else None
        try:
            return stack.enter_context(place.receive(job, known, verifier))
        except PodError as err:
            if not left or not _is_refusal(err):
                raise
            job.progress(f"{err.message}; trying the next place")
    return None


def _is_refusal(err: PodError) -> bool:
    """Whether a server has answered that it does not give it."""
    status = err.facts.get("status")
    return isinstance(status, int) and 400 <= status < 500


def _endpoints(job: FetchJob, name: AppcName) -> list[EndpointSource]:
    """The places of a name, at least one. Raises NotFound, Unreachable."""
    pages = page_asker(job.transport(), lambda url: job.credentials("GET", url))
    try:
        found = discover_images(pages, name, job.host.arch, http=job.policy.waives("http"))
    except (NotFound, Unreachable) as err:
        written = as_docker(str(name))
        if written:
            err.hint = f"for an image of a docker registry write {written}; {err.hint}"
        raise
    return [EndpointSource(job.host, ArchiveURL(place.url), name, place.signature) for place in found]
