# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together a body that comes over several connections: each part must continue the first, up to its end.

The first part may have been kept of an earlier download. Decisions only; image.transport sends the requests.
Source: RFC 9110 sections 8.8.2.2, 13.1.5, 14.4, 15.3.7 and 15.5.17; behaviours B22.
"""

from __future__ import annotations

from ..errors import Unreachable
from ..host.reading import decimal
from ..store.partial import Kept
from .answer import SERVERS_FAULT, TOO_MANY, Answer, bad_status
from .reference import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


# How long to wait before each try to resume after a broken connection.
_PAUSES = (0.1, 0.5, 2.0, 5.0)
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
_UPDATED = "cannot use cached partial download, resource updated."
_UNSUPPORTED = "range request unsupported."
_LONGEST_NUMBER = 18


class CannotResume(Unreachable):
    """The server cannot send the rest, or the rest may be of another version."""


class Download:
    """The state of a body that is being received, and how it is resumed.

    url: that of the requests. progress: bytes after which tries are counted from zero. by_digest: the caller knows the
    digest of the whole, so parts of different versions cannot pass; without it a part needs a strong validator.
    kept: the first part, from an earlier download, and what keeps this one.
    """

    def __init__(self, url: str, progress: int, *, by_digest: bool, kept: Kept | None = None) -> None:
        self._url = url
        self._progress = progress
        self._by_digest = by_digest
        self._kept = kept or Kept()
        # Whether the first part is that of an earlier download, which has not been handed on.
        self._is_ahead = self._kept.size > 0
        self._seen = self._kept.size
        self._goal = self._seen + progress
        self._first = Answer(url, _OK, tuple(self._kept.headers.items())) if self._is_ahead else None
        self._whole = self._kept.length if self._is_ahead else None
        self._tries = 0
        self._refused = False

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers that ask for the rest. Raises CannotResume when there is no validator for that."""
        if not self._seen or self._first is None:
            return headers
        validator = _strong_validator(self._first)
        if not validator and not self._by_digest:
            raise self._cannot("it does not say which version of the file it has sent")
        return {**headers, "Range": f"bytes={self._seen}-", **({"If-Range": validator} if validator else {})}

    def begins(self, answer: Answer, accept: Callable[[Answer], bool]) -> bool:
        """Whether an answer continues the body; if not, the request is to be repeated. Raises errors of accept too."""
        if answer.status == 401 and self._refused:
            raise bad_status(self._url, answer.status)
        self._refused = answer.status == 401
        if self._is_ahead and not self._refused:
            continues = self._begins_with_kept(answer, accept)
            if continues is not None:
                return continues
        if self._refused:
            return accept(answer)
        if not self._seen:
            return self._begins_whole(answer, accept)
        if answer.status >= SERVERS_FAULT or answer.status == TOO_MANY:
            raise bad_status(self._url, answer.status)
        self._check_part(answer)
        return True

    def kept(self) -> Iterator[bytes]:
        """The first part, once an answer continues it. Raises Corrupt, OSError."""
        if self._is_ahead:
            self._is_ahead = False
            yield from self._kept.chunks()

    def has(self, chunk: bytes) -> None:
        """Count received bytes; after enough progress, tries are counted from zero."""
        self._kept.add(chunk)
        self._seen += len(chunk)
        self._refused = False
        if self._seen >= self._goal:
            self._goal = self._seen + self._progress
            self._tries = 0

    def check_end(self) -> None:
        """Raise Unreachable at the end of a connection unless the body has its announced size."""
        if self._whole is not None and self._seen != self._whole:
            raise Unreachable(
                f"cannot fetch {shown(self._url)}: {self._seen} bytes came of the {self._whole} that were announced",
                "try again; if it stays so, the server is at fault",
                url=shown(self._url),
            )

    def pause(self) -> float | None:
        """The seconds to wait before the next try, None to give up."""
        if not self._seen or self._is_ahead or self._tries == len(_PAUSES):
            return None
        self._tries += 1
        return _PAUSES[self._tries - 1]

    def _begins_whole(self, answer: Answer, accept: Callable[[Answer], bool]) -> bool:
        """Whether to read a body from its first byte."""
        self._first, self._whole = answer, _length(answer)
        reads = accept(answer)
        if answer.status == _OK:
            can_go_on = self._by_digest or bool(_strong_validator(answer))
            self._kept.begin(dict(answer.headers), self._whole, kept=can_go_on)
        return reads

    def _begins_with_kept(self, answer: Answer, accept: Callable[[Answer], bool]) -> bool | None:
        """Whether an answer continues the part of an earlier download; None when the body is to begin with it."""
        first = self._first or answer
        if answer.status == _PARTIAL:
            try:
                self._check_part(answer)
            except CannotResume:
                self._drop_kept(_UPDATED)
                return False
            return accept(answer.replace(status=_OK, headers=(*first.headers, *answer.headers)))
        if answer.status == _NOT_SATISFIABLE:
            self._drop_kept(_UPDATED)
            return False
        if answer.status == _OK:
            same = self._by_digest or _same_version(first, answer)
            self._drop_kept(_UNSUPPORTED if same else _UPDATED)
            return None
        reads = accept(answer)
        if reads:
            self._drop_kept()  # it is of no use, such as where a stored image is still the current one
        return reads

    def _drop_kept(self, why: str = "") -> None:
        self._kept.drop(why)
        self._is_ahead, self._seen, self._first, self._whole = False, 0, None, None
        self._goal = self._progress

    def _check_part(self, answer: Answer) -> None:
        """Raise CannotResume unless an answer is the rest of the first one."""
        start, whole = _content_range(answer)
        if answer.status != _PARTIAL or start != self._seen:
            raise self._cannot("it does not go on where it ended")
        if whole is not None and self._whole is not None and whole != self._whole:
            raise self._cannot("the file has another size now")
        if self._whole is None:
            self._whole = whole
        if not self._by_digest and self._first is not None and not _same_version(self._first, answer):
            raise self._cannot("it has another version of the file now, or does not say which")

    def _cannot(self, why: str) -> CannotResume:
        self._kept.drop()
        return CannotResume(
            f"cannot fetch {shown(self._url)}: the connection broke, and the server cannot resume: {why}",
            "try again",
            url=shown(self._url),
        )


def _same_version(first: Answer, part: Answer) -> bool:
    """Whether two answers have the same validators. An ETag must be repeated; a time alone need not be."""
    etag, modified = part.header("etag"), part.header("last-modified")
    if etag != first.header("etag"):
        return False
    return not modified or modified == first.header("last-modified")


def _strong_validator(answer: Answer) -> str:
    """The value of If-Range, a strong validator: no weak ETag, and no time within the second of the answer."""
    etag, modified = answer.header("etag"), answer.header("last-modified")
    if etag:
        return "" if etag.startswith("W/") else etag
    changed, sent = _seconds(modified), _seconds(answer.header("date"))
    return modified if changed is not None and sent is not None and sent > changed else ""


def _seconds(date: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, OverflowError):
        return None


def _length(answer: Answer) -> int | None:
    """The size that an answer announces; None when it has none, or is chunked."""
    if answer.status != _OK or answer.header("transfer-encoding"):
        return None
    return _number(answer.header("content-length"))


def _content_range(answer: Answer) -> tuple[int | None, int | None]:
    """The start of a part and the size of the whole, None where the answer omits them."""
    unit, _space, span = answer.header("content-range").partition(" ")
    place, _slash, whole = span.partition("/")
    return (_number(place.partition("-")[0]) if unit == "bytes" else None), _number(whole)


def _number(text: str) -> int | None:
    return decimal(text) if len(text) <= _LONGEST_NUMBER else None
