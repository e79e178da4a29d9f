# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A download whose connection breaks: the answers that are accepted as its rest."""

from __future__ import annotations

import hashlib
import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference

pytestmark = pytest.mark.root


def fetch(host, url, lines=None):
    said = [] if lines is None else lines
    return fetching.fetch(host, parse_reference(url), FetchPolicy("new", ("image",)), said.append)


class Resumed:
    """A server whose answer breaks in the middle, a number of times; the test decides on its answer for the rest."""

    def __init__(self, web, body, head, rest, *, breaks=100):
        self.web, self.body, self.head, self.rest, self.breaks = web, body, head, rest, breaks
        web.answer = self.answer

    def answer(self, _method, _path, headers):
        if "range" in headers:
            start = int(headers["range"].partition("=")[2].rstrip("-"))
            said = {"Content-Range": f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"}
            given, body = self.rest(start, self.body)
            return 206, {name: value for name, value in {**said, **given}.items() if value}, body
        self.breaks -= 1
        self.web.breaks_after = len(self.body) // 3 if self.breaks >= 0 else 0
        return 200, self.head, self.body

    def whole(self):
        """How often the body was requested from its first byte."""
        return sum("range" not in headers for _method, _path, headers in self.web.asked)


TAGGED = {"ETag": '"1"'}
TODAY = {"Last-Modified": "Wed, 01 Jan 2025 00:00:00 GMT"}


@pytest.mark.finding("http-F5")
@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (TAGGED, {**TAGGED, "Content-Range": "bytes 0-9/10"}),
        (TAGGED, {**TAGGED, "Content-Range": "bytes 1-3/9"}),
        (TAGGED, {**TAGGED, "Content-Range": ""}),
        (TAGGED, {"ETag": '"2"'}),
        (TAGGED, {}),
        (TODAY, {"Last-Modified": "Thu, 02 Jan 2025 00:00:00 GMT"}),
        (TODAY, {**TODAY, **TAGGED}),
        ({}, {}),
        ({"ETag": 'W/"1"'}, {"ETag": 'W/"1"'}),
        ({"ETag": 'W/"1"', **TODAY}, {"ETag": 'W/"1"', **TODAY}),
        ({"Last-Modified": "Wed, 01 Jan 2099 00:00:00 GMT"}, {}),
        ({"Last-Modified": "yesterday"}, {}),
    ],
    ids=[
        "a small rest",
        "another place",
        "no place",
        "another version",
        "no version",
        "another time",
        "a tag that was not there",
        "no validator",
        "weak",
        "weak, with a time",
        "a time that is to come",
        "no time",
    ],
)
def test_a_rest_that_may_be_of_another_version_is_not_taken(host, web, aci, head, rest):
    server = Resumed(web, aci(content=os.urandom(300_000)), head, lambda start, body: (rest, body[start:]))
    with pytest.raises(Unreachable, match="the server cannot resume"):
        fetch(host, f"{web.url}/a.aci")
    assert server.whole() == 3
    assert os.listdir(f"{host.paths.cas}/tmp") == []


@pytest.mark.finding("http-F5")
@pytest.mark.parametrize("head", [TAGGED, {}], ids=["another version", "no version"])
def test_a_download_that_cannot_go_on_begins_again(host, web, aci, head):
    old, new, lines = aci(content=os.urandom(300_000)), aci(content=os.urandom(300_000)), []

    def rest(start, _old):
        server.head, server.body = {"ETag": '"2"'}, new
        return {"ETag": '"2"'}, new[start:]

    server = Resumed(web, old, head, rest, breaks=1)
    image = fetch(host, f"{web.url}/a.aci", lines=lines)
    expected = new if head else old
    assert image.id == f"sha512-{hashlib.sha512(expected).hexdigest()[:64]}"
    assert [line for line in lines if line.endswith("; starting again")]


@pytest.mark.finding("http-F5")
def test_a_rest_that_ends_early_is_asked_on_and_a_total_of_another_size_is_not_taken(host, web, aci):
    body = aci(content=os.urandom(300_000))

    def a_part(start, whole):
        end = min(start + 120_000, len(whole))
        return {**TAGGED, "Content-Range": f"bytes {start}-{end - 1}/{len(whole)}"}, whole[start:end]

    Resumed(web, body, TAGGED, a_part, breaks=1)
    image = fetch(host, f"{web.url}/a.aci")
    assert image.id == f"sha512-{hashlib.sha512(body).hexdigest()[:64]}"
    assert [headers["range"] for _method, _path, headers in web.asked if "range" in headers] == [
        f"bytes={len(body) // 3 + 120_000 * times}-" for times in range(2)
    ]

    def another_size(start, whole):
        return {**TAGGED, "Content-Range": f"bytes {start}-{start + 9}/{start + 10}"}, whole[
            start : start + 10
        ]

    Resumed(web, aci(content=os.urandom(300_000)), TAGGED, another_size)
    with pytest.raises(Unreachable, match="cannot resume: the file has another size now"):
        fetch(host, f"{web.url}/b.aci")
