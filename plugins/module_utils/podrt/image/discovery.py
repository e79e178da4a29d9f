# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Meta discovery: from the name of an image, or a prefix of names, to URLs of archives, signatures and public keys.

A page is https://NAME?ac-discovery=1, and then that of each parent up to the host; http comes after https, and only if
the caller allows it. A page has tags

    <meta name="ac-discovery" content="PREFIX TEMPLATE">
    <meta name="ac-discovery-pubkeys" content="PREFIX URL">

which count for names that begin with PREFIX, as a text. The search ends at the first page with a usable tag.
Source: behaviours B.3; appc spec, discovery.md.
"""

from __future__ import annotations

import re

from ..appc.labels import Labels
from ..errors import InvalidSpec, NotFound, PodError, Unreachable, few
from ..value import Value
from .http_policy import is_loopback, origin_of
from .metatags import meta_tags
from .reference import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from .reference import AppcName
    from .transport import Transport

    T = TypeVar("T")
    # From a URL to the status and the body of its answer. Raises PodError.
    AskPage = Callable[[str], "tuple[int, bytes]"]
    # From a page to what is usable of it, and complaints about the rest.
    ReadPage = Callable[[bytes], "tuple[tuple[T, ...], list[str]]"]

_IMAGES, _KEYS = "ac-discovery", "ac-discovery-pubkeys"
_ARCHIVE, _SIGNATURE = "aci", "aci.asc"
_LATEST = "latest"
_VARIABLE = re.compile(r"\{([^{}]*)\}")
# Of a value in a URL: what its path may hold, so that a label can add neither a query nor a fragment.
_KEPT = "/:@!$&'()*+,;=-._~"
# Bounds of a hostile page or name.
_LONGEST_URL = 4096
_MOST_TAGS = 100
_MOST_PARTS = 32
_MOST_COMPLAINTS = 3
# A host that has given no answer so often by a scheme is not asked again by it.
_MOST_SILENCES = 2
_OK = 200


class ImageEndpoint(Value):
    """The URLs of an image and of its detached signature."""

    url: str
    signature: str


def discover_images(
    ask: AskPage, image: AppcName, arch: str, *, http: bool = False
) -> tuple[ImageEndpoint, ...]:
    """The places of an image, the preferred one first (B12, B13). arch: that of the host, in appc's spelling.

    http: whether pages and images may come over plain http. Raises NotFound, or Unreachable if no page was read; either
    names each URL that was asked, with the reason.
    """

    def read(page: bytes) -> tuple[tuple[ImageEndpoint, ...], list[str]]:
        return image_endpoints(page, image, arch, http=http)

    return _walk(ask, image.name, read, "endpoints", http)


def discover_keys(ask: AskPage, prefix: str, *, http: bool = False) -> tuple[str, ...]:
    """The URLs of the public keys of a prefix of names, see discover_images (B14)."""

    def read(page: bytes) -> tuple[tuple[str, ...], list[str]]:
        return key_urls(page, prefix, http=http)

    return _walk(ask, prefix, read, "public keys", http)


def page_asker(
    transport: Transport, headers: Callable[[str], Mapping[str, str]] = lambda _url: {}
) -> AskPage:
    """The function that asks for pages. headers: those of the configuration for a URL, sent over https alone (B37)."""

    def ask(url: str) -> tuple[int, bytes]:
        answer = transport.get(url, headers(url) if url.startswith("https://") else {})
        return answer.status, answer.body

    return ask


def labels_asked(image: AppcName, arch: str) -> Labels:
    """The labels of an image with the defaults of discovery: os and arch of the host, but no version (B6)."""
    return Labels.of(os="linux", arch=arch).merged(image.labels)


def image_endpoints(
    page: bytes, image: AppcName, arch: str, *, http: bool = False
) -> tuple[tuple[ImageEndpoint, ...], list[str]]:
    """The endpoints that a page has for an image, and complaints about its other tags. Pure."""
    labels = dict(labels_asked(image, arch).pairs)
    values = {**labels, "name": image.name, "version": labels.get("version") or _LATEST}
    found: dict[ImageEndpoint, None] = {}
    complaints: list[str] = []
    for template in _contents(page, _IMAGES, image.name):
        try:
            url, signature = (
                _checked(_rendered(template, {**values, "ext": ext}), http) for ext in (_ARCHIVE, _SIGNATURE)
            )
        except InvalidSpec as err:
            complaints.append(err.reason)
        else:
            found[ImageEndpoint(url, signature)] = None
    return tuple(found), complaints


def key_urls(page: bytes, prefix: str, *, http: bool = False) -> tuple[tuple[str, ...], list[str]]:
    """The URLs of keys that a page has for a prefix, and complaints about its other tags. Pure."""
    found: dict[str, None] = {}
    complaints: list[str] = []
    for url in _contents(page, _KEYS, prefix):
        try:
            found[_checked(url, http)] = None
        except InvalidSpec as err:
            complaints.append(err.reason)
    return tuple(found), complaints


def _contents(page: bytes, kind: str, name: str) -> list[str]:
    """What the tags of a kind have for a name, without the prefix."""
    from itertools import islice

    contents = (content.strip().split(None, 1) for tag, content in meta_tags(page) if tag == kind)
    fitting = (words[1] for words in contents if len(words) > 1 and name.startswith(words[0]))
    return list(islice(fitting, _MOST_TAGS))


def _rendered(template: str, values: Mapping[str, str]) -> str:
    """A template with its variables replaced. Raises InvalidSpec if some are left."""
    from urllib.parse import quote

    def value_of(variable: re.Match[str]) -> str:
        return quote(values[variable[1]], safe=_KEPT) if variable[1] in values else variable[0]

    if len(template) > _LONGEST_URL:
        raise InvalidSpec(f"a template has {len(template)} characters")
    url = _VARIABLE.sub(value_of, template)
    begin = url.find("{")
    end = url.find("}", begin) + 1 if begin >= 0 else 0
    if end:
        raise InvalidSpec(f"no label gives {url[begin:end][:80]} of the template {shown(template)[:200]}")
    return url


def _checked(url: str, http: bool) -> str:
    """The URL, if it may be fetched. Raises InvalidSpec."""
    if len(url) > _LONGEST_URL:
        raise InvalidSpec(f"a URL has {len(url)} characters")
    origin = origin_of(url)
    if origin is None:
        raise InvalidSpec(f"{shown(url)[:200]} is no http or https URL")
    if origin[0] == "http" and not http and not is_loopback(url):
        raise InvalidSpec(f"{shown(url)[:200]} is plain http")
    return url


def _walk(ask: AskPage, name: str, read: ReadPage[T], what: str, http: bool) -> tuple[T, ...]:
    """Ask for pages until one has something usable."""
    parts = name.split("/")
    if len(parts) > _MOST_PARTS:
        raise InvalidSpec(
            f'"{name[:80]}..." has {len(parts)} parts', f"discovery takes {_MOST_PARTS} at most"
        )
    search = _Search(ask, ("https", "http") if http else ("https",))
    for count in range(len(parts), 0, -1):
        page = search.page("/".join(parts[:count]))
        if page is None:
            continue
        found, complaints = read(page)
        if found:
            return found
        search.complain(complaints or [f"it has no {what} for this name"])
    raise search.failure(name, what)


class _Search:
    """The pages that were asked for, and why each was of no use."""

    def __init__(self, ask: AskPage, schemes: tuple[str, ...]) -> None:
        self._ask = ask
        self._silences = dict.fromkeys(schemes, 0)
        self._tried: list[tuple[str, str]] = []
        self._was_answered = False

    def page(self, place: str) -> bytes | None:
        """The page of a place, None if no scheme gives it."""
        for scheme, silences in self._silences.items():
            if silences >= _MOST_SILENCES:
                continue
            url = f"{scheme}://{place}?{_IMAGES}=1"
            try:
                status, body = self._ask(url)
            except PodError as err:
                self._silences[scheme] += 1
                self._tried.append((url, err.message))
                continue
            self._silences[scheme] = 0
            self._was_answered = True
            self._tried.append((url, f"bad HTTP status code: {status}"))
            if status == _OK:
                return body
        return None

    def complain(self, complaints: list[str]) -> None:
        """Note why the last page was of no use."""
        self._tried[-1] = (self._tried[-1][0], ", ".join(few(complaints, _MOST_COMPLAINTS)))

    def failure(self, name: str, what: str) -> NotFound | Unreachable:
        """The error for a search that has found nothing."""
        tried = "; ".join(f"{url}: {reason}" for url, reason in self._tried)
        urls = [url for url, _reason in self._tried]
        if self._was_answered:
            return NotFound(
                f'discovery failed for "{name}": no {what} discovered: {tried}', "check the name", tried=urls
            )
        return Unreachable(
            f'discovery failed for "{name}": no page of its host can be read: {tried}',
            "check the network and the name of the host",
            tried=urls,
        )
