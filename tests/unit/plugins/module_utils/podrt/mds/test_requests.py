# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Heads of requests: what is read, and what is refused."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.requests import (
    LONGEST_HEAD,
    Refusal,
    Request,
    request_of,
)


def head(first: str, *headers: str) -> bytes:
    return "\r\n".join((first, *headers, "", "")).encode("latin-1")


def test_a_request_is_read() -> None:
    found = request_of(head("GET /a%2Fb/c?token=x HTTP/1.1", "Host: h", "Content-Length: 7"))
    assert found == Request("GET", "/a%2Fb/c?token=x", ("a/b", "c"), "token=x", 7, keeps=True)


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close", False),
        ("1.1", "connection: Upgrade, Close", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive", True),
    ],
)
def test_a_connection_stays_as_the_version_and_the_client_say(
    version: str, connection: str, keeps: bool
) -> None:
    more = [connection] if connection else []
    assert request_of(head(f"GET / HTTP/{version}", "Host: h", *more)).keeps is keeps


def test_a_client_may_wait_with_its_body() -> None:
    words = ("Host: h", "Expect: 100-continue", "Content-Type: Application/X; charset=utf-8")
    found = request_of(head("POST / HTTP/1.1", *words))
    assert (found.waits, found.media) == (True, "application/x")
    assert not request_of(head("POST / HTTP/1.0", *words)).waits


@pytest.mark.parametrize(
    ("first", "headers", "status"),
    [
        pytest.param("GET /", ("Host: h",), 400, id="HTTP 0.9"),
        pytest.param("GET / HTTP/2.0", ("Host: h",), 400, id="another version"),
        pytest.param("GET  / HTTP/1.1", ("Host: h",), 400, id="two blanks"),
        pytest.param("get / HTTP/1.1", ("Host: h",), 400, id="a method in lower case"),
        pytest.param("G" * 17 + " / HTTP/1.1", ("Host: h",), 400, id="a long method"),
        pytest.param("GET http://h/ HTTP/1.1", ("Host: h",), 400, id="an absolute target"),
        pytest.param("GET * HTTP/1.1", ("Host: h",), 400, id="an asterisk"),
        pytest.param("GET /\u00e9 HTTP/1.1", ("Host: h",), 400, id="not ASCII"),
        pytest.param("GET /%ff HTTP/1.1", ("Host: h",), 400, id="not UTF-8"),
        pytest.param("GET /\t HTTP/1.1", ("Host: h",), 400, id="a control character"),
        pytest.param("GET /?\u00e9 HTTP/1.1", ("Host: h",), 400, id="a query that is not ASCII"),
        pytest.param("GET /?\n HTTP/1.1", ("Host: h",), 400, id="a query with a line feed"),
        pytest.param("GET / HTTP/1.1", (), 400, id="no host"),
        pytest.param("GET / HTTP/1.1", ("Host: h", "Host: h"), 400, id="two hosts"),
        pytest.param("GET / HTTP/1.1", ("Host: h", " folded"), 400, id="a folded line"),
        pytest.param("GET / HTTP/1.1", ("Host : h",), 400, id="a blank before the colon"),
        pytest.param("GET / HTTP/1.1", ("Host: h", "nothing"), 400, id="no colon"),
        pytest.param("GET / HTTP/1.1", ("Host: h", "A: \0"), 400, id="a NUL"),
        pytest.param("GET / HTTP/1.1", ("Host: h", "A: \n b"), 400, id="a bare line feed"),
        pytest.param("GET / HTTP/1.1", ("Host: h", *("A: b",) * 100), 400, id="many headers"),
        pytest.param("GET / HTTP/1.1", ("Host: h", "Content-Length: +1"), 400, id="a sign"),
        pytest.param("GET / HTTP/1.1", ("Host: h", "Content-Length: -1"), 400, id="a negative length"),
        pytest.param(
            "GET / HTTP/1.1", ("Host: h", "Content-Length: 1", "Content-Length: 1"), 400, id="two lengths"
        ),
        pytest.param("GET / HTTP/1.1", ("Host: h", "Transfer-Encoding: chunked"), 501, id="chunks"),
    ],
)
def test_what_is_not_as_the_standard_has_it_is_refused(
    first: str, headers: tuple[str, ...], status: int
) -> None:
    with pytest.raises(Refusal) as caught:
        request_of(head(first, *headers))
    assert caught.value.status == status


def test_a_head_has_room_for_what_clients_send() -> None:
    assert len(head("GET / HTTP/1.1", "Host: h", "Cookie: " + "x" * 8000)) < LONGEST_HEAD
