# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ACIs at http and https URLs, by conditional requests as HTTP caches make them. Source: behaviours B17 to B19, B37."""

from __future__ import annotations

import time

from ...contexts import contextmanager
from ...errors import Corrupt
from ..reference import ArchiveURL
from .source import SIGNATURE_SUFFIX, Received, Source, Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from ...errors import Unreachable
    from ...store.index import Remote, StoredImage
    from ...store.partial import Kept
    from ...store.workspace import Workspace
    from ..answer import Answer
    from ..job import FetchJob
    from ..policy import FetchPolicy

_OK, _NOT_MODIFIED = 200, 304
_WITH_CONTENT = (_OK, _NOT_MODIFIED)
# How often a download that cannot be resumed starts again.
_RESTARTS = 2
# The prefix of an ETag in the record of a source that is really a time of last modification.
_MODIFIED = "last-modified: "


class UrlSource(Source):
    """A URL."""

    reference: ArchiveURL

    has_remote = True
    is_signable = True

    def is_fresh(self) -> bool:
        """Whether the max-age that the server gave is not over yet."""
        remote = self.remote
        return remote is not None and _is_fresh(remote)

    def is_current(self, job: FetchJob, remote: Remote) -> bool:
        """By a HEAD, or where that is refused a GET whose content is not read; within max-age by no request."""
        if _is_fresh(remote):
            return True
        url, transport = self.reference.url, job.transport()
        answer = transport.head(url, {**_conditional(remote), **job.credentials("HEAD", url)})
        if answer.status not in _WITH_CONTENT:
            answer = transport.peek(url, {**_conditional(remote), **job.credentials("GET", url)})
        if answer.status not in _WITH_CONTENT:
            raise self._refusal(answer)
        return answer.status == _NOT_MODIFIED or (bool(remote.etag) and _validator(answer) == remote.etag)

    def check_dependencies(self) -> None:
        """Those of the image that was fetched last."""
        from ...store import dependencies

        try:
            found = self.stored()
        except Corrupt:
            return
        if found:
            dependencies.flatten(self.host.paths, found)

    def signature_place(self) -> str:
        """The URL with .asc at the end of its path."""
        path, mark, query = self.reference.url.partition("#")[0].partition("?")
        return f"{path}{SIGNATURE_SUFFIX}{mark}{query}"

    def receive(
        self, job: FetchJob, stored: StoredImage | None, verifier: Verifier
    ) -> AbstractContextManager[Received | None]:
        """Download it from its first byte, again if the connection breaks and cannot be resumed."""
        known = self.remote if stored else None
        if known and _is_fresh(known):
            job.progress(self.not_expired())
            return _nothing()
        job.progress(f'remote fetching from URL "{self.reference}"')
        job.progress(f"fetching image from {self.reference}")
        return self._downloaded(job, known, verifier)

    @contextmanager
    def _downloaded(
        self, job: FetchJob, known: Remote | None, verifier: Verifier
    ) -> Iterator[Received | None]:
        from ...store.workspace import Workspace
        from ..resume import CannotResume

        for left in range(_RESTARTS, -1, -1):
            with Workspace(self.host.paths) as workspace:
                try:
                    received = self._download(job, workspace, known, verifier)
                except CannotResume as err:
                    if not left:
                        raise
                    job.progress(f"{err.message}; starting again")
                    continue
                yield received
                return

    def _download(
        self, job: FetchJob, workspace: Workspace, known: Remote | None, verifier: Verifier
    ) -> Received | None:
        """Its content in a workspace; None, and a renewed record, when that is what is known.

        Raises CannotResume, also for what an earlier download has left and is damaged.
        """
        from ...store.partial import Partial
        from ..resume import CannotResume

        download = job.progress.transfer("ACI")
        keeper = Partial(
            self.host.paths,
            f"{self.reference.url} {_unchecked(job.policy)}".rstrip(),
            job.progress,
            download,
            checked=False,
            clock=self.host.clock.monotonic,
        )
        try:
            with keeper as kept:
                return self._received(job, workspace, known, verifier, kept)
        except Corrupt as err:
            if not keeper.was_used:
                raise
            raise CannotResume(f"what was kept of {self.reference} is damaged", "try again") from err
        finally:
            download.ends()

    def _received(
        self, job: FetchJob, workspace: Workspace, known: Remote | None, verifier: Verifier, kept: Kept
    ) -> Received | None:
        from ...store import blobs, index
        from .arrival import received

        url = self.reference.url
        answers: list[Answer] = []
        conditional = _conditional(known)
        if not conditional:  # otherwise nothing may have to be sent
            verifier.announced(job, self, ())
        chunks = job.transport().stream(
            url,
            lambda: {**conditional, **job.credentials("GET", url)},
            self._keep(answers, conditional=bool(conditional)),
            kept=kept,
        )
        first = next(chunks, b"")
        if known and answers[0].status == _NOT_MODIFIED:
            index.put_remote(self.host.paths, _renewed(known, answers[0]))
            return None
        if conditional:
            verifier.announced(job, self, ())
        job.progress.announce("Downloading ACI")
        incoming = blobs.receive_archive(
            self.host.paths,
            workspace,
            _chain(first, chunks),
            str(self.reference),
            keep_sent=verifier.keeps_sent,
        )
        max_age = _max_age(answers[0].header("cache-control"))
        return received(self.reference, incoming, etag=_validator(answers[0]), max_age=max_age)

    def _keep(self, answers: list[Answer], *, conditional: bool) -> Callable[[Answer], bool]:
        wanted = _WITH_CONTENT if conditional else (_OK,)

        def accept(answer: Answer) -> bool:
            if answer.status not in wanted:
                raise self._refusal(answer)
            answers.append(answer)
            return True

        return accept

    def _refusal(self, answer: Answer) -> Unreachable:
        from ..answer import bad_status
        from ..http_policy import origin_of

        domain = self.reference.domain
        hint = f"check the URL, and the auth document for {domain} in auth.d"
        if origin_of(answer.url) != origin_of(self.reference.url):
            hint = f"the host {domain} redirects there, and credentials are for the host alone"
        return bad_status(answer.url, answer.status, hint)


@contextmanager
def _nothing() -> Iterator[None]:
    """The context of an image that need not be received."""
    yield None


def _is_fresh(remote: Remote) -> bool:
    return remote.max_age > 0 and remote.download_time + remote.max_age > time.time()


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


def _renewed(known: Remote, answer: Answer) -> Remote:
    """The record of a source whose content is unchanged: downloaded now, with the max-age of the answer, if any."""
    cache_control = answer.header("cache-control")
    return known.replace(
        download_time=time.time(), max_age=_max_age(cache_control) if cache_control else known.max_age
    )


def _max_age(cache_control: str) -> int:
    import re  # a lookup needs none

    text = cache_control.lower()
    if "no-store" in text or "no-cache" in text:
        return 0
    match = re.search("max-age=([0-9]{1,9})", text)
    return int(match[1]) if match else 0


def _chain(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _unchecked(policy: FetchPolicy) -> str:
    """What is not checked of a server: what it sends then is never the first part of what comes of a checked one."""
    return " ".join(check for check in ("http", "tls") if policy.waives(check))
