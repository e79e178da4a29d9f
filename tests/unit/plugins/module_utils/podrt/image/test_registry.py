# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Sessions with registries: how they authenticate, and where credentials do not go."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.answer import Answer
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.credentials import basic
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.registry import RegistrySession
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.transport import Body, Transport
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Reply,
    Web,
    serving,
)

LOGIN = {"Authorization": basic("me", "pw")}
BASIC = 'Basic realm="x"'


def session(web: Web, login: dict[str, str] | None = None, **options: Any) -> RegistrySession:
    policy = FetchPolicy()
    transport = Transport(policy, Limits(document_seconds=options.pop("seconds", 20)))
    return RegistrySession(
        transport, web.authority, policy, lambda: login or {}, doing="cannot push it", **options
    )


def asking(challenge: str, accepted: str) -> Any:
    """A registry that wants one Authorization."""

    def answer(_method: str, path: str, headers: dict[str, str]) -> Reply:
        if path.startswith("/token"):
            good = headers.get("authorization") == LOGIN["Authorization"]
            return (200, {}, json.dumps({"token": "t0"}).encode()) if good else (401, {}, b"")
        if headers.get("authorization") == accepted:
            return 200, {}, b"fine"
        return 401, {"WWW-Authenticate": challenge}, b""

    return answer


def test_a_password_is_sent_when_the_registry_asks(web: Web) -> None:
    web.answer = asking(BASIC, LOGIN["Authorization"])
    registry = session(web, LOGIN)
    assert registry.ask("GET", "/v2/").body == b"fine"
    assert registry.asks_who
    assert "authorization" not in web.asked[0][2]
    assert base64.b64decode(web.asked[-1][2]["authorization"].split()[1]) == b"me:pw"


def test_a_token_is_asked_for_with_the_wanted_scope(web: Web) -> None:
    web.answer = asking(
        f'Bearer realm="{web.url}/token",service="s 1",scope="repository:a:pull"', "Bearer t0"
    )
    registry = session(web, LOGIN, scope="repository:a:pull,push")
    assert registry.ask("HEAD", "/v2/a/blobs/x").status == 200
    (path,) = [path for _method, path, _headers in web.asked if path.startswith("/token")]
    assert path == "/token?service=s%201&scope=repository%3Aa%3Apull%2Cpush"
    # The token is kept.
    before = len(web.asked)
    registry.ask("GET", "/v2/a/tags/list")
    assert len(web.asked) == before + 1


def test_without_a_scope_none_is_made_up(web: Web) -> None:
    web.answer = asking(f'Bearer realm="{web.url}/token",service="s"', "Bearer t0")
    assert session(web, LOGIN).ask("GET", "/v2/").status == 200
    assert "/token?service=s" in [path for _method, path, _headers in web.asked]


@pytest.mark.parametrize("challenge", [BASIC, 'Bearer realm="{}/token",service="s"', "Negotiate", ""])
def test_wrong_credentials_are_refused_in_two_rounds_at_most(web: Web, challenge: str) -> None:
    web.answer = asking(challenge.format(web.url), "nothing")
    wrong = {"Authorization": basic("me", "wrong")}
    try:
        answer = session(web, wrong).ask("GET", "/v2/")
    except Unreachable as err:
        assert err.message.startswith("cannot push it: bad HTTP status code: 401")
        assert "wrong" not in err.message
    else:
        assert answer.status == 401
    assert len(web.asked) <= 5


def test_a_registry_says_why(web: Web) -> None:
    told = {"errors": [{"code": "DENIED", "message": "no\x1b[31m push"}]}
    web.answer = lambda *_other: (403, {}, json.dumps(told).encode())
    registry = session(web)
    error = registry.refusal(registry.ask("GET", "/v2/"))
    assert error.message.startswith("cannot push it: bad HTTP status code: 403 (no")
    assert "\x1b" not in error.message
    for body in (b"<html>", b'{"errors": 5}', b'{"errors": [{"code": 7}]}', b""):
        web.answer = lambda *_other, body=body: (500, {}, body)
        assert (
            registry.refusal(registry.ask("GET", "/v2/")).message
            == "cannot push it: bad HTTP status code: 500"
        )


def test_another_server_gets_no_credentials(web: Web) -> None:
    with serving() as other:
        other.answer = lambda *_other: (401, {"WWW-Authenticate": BASIC}, b"")
        web.answer = lambda *_other: (200, {}, b"")
        registry = session(web, LOGIN)
        registry.ask("GET", "/v2/")
        with pytest.raises(Unreachable, match="401"):
            registry.ask("PUT", f"{other.url}/upload", body=Body(lambda: iter((b"x",)), 1))
        assert [headers.get("authorization") for *_other, headers in other.asked] == [None]


class Plain:
    """A server elsewhere that speaks plain HTTP, and wants a password. sent: headers of each request."""

    def __init__(self) -> None:
        self.sent: list[Mapping[str, str]] = []

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        self.sent.append(headers)
        if url.startswith("https:"):
            raise Unreachable("no TLS")
        return Answer(url, 401, (("www-authenticate", BASIC),))


def test_a_password_does_not_go_out_in_clear_text() -> None:
    policy, plain = FetchPolicy(insecure=("http",)), Plain()
    registry = RegistrySession(plain, "registry.example.com", policy, lambda: LOGIN, doing="cannot")  # type: ignore[arg-type]
    with pytest.raises(Unreachable, match="refusing to send credentials"):
        registry.ask("GET", "/v2/")
    assert [dict(headers) for headers in plain.sent] == [{}, {}, {}]
    strict = RegistrySession(Transport(FetchPolicy(), Limits()), "x", FetchPolicy(), dict, doing="cannot")
    with pytest.raises(InvalidSpec, match="over plain http"):
        strict.ask("GET", "http://example.com/elsewhere")


def test_a_challenge_that_is_too_long_or_leads_nowhere_is_refused(web: Web) -> None:
    web.answer = lambda *_other: (401, {"WWW-Authenticate": "Basic " + "x" * 9000}, b"")
    with pytest.raises(Unreachable, match="a challenge of more than"):
        session(web, LOGIN).ask("GET", "/v2/")
    web.answer = lambda *_other: (401, {"WWW-Authenticate": 'Bearer realm="gopher://x"'}, b"")
    with pytest.raises(Unreachable, match="does not say from where"):
        session(web, LOGIN).ask("GET", "/v2/")


@pytest.mark.parametrize(
    "token", [[], {"token": "t0ps3cret\nHost: other"}, {"token": "t0ps3creté"}], ids=repr
)
def test_what_is_no_token_is_refused_and_does_not_show(web: Web, token: object) -> None:
    web.answer = lambda _method, path, _headers: (
        (200, {}, json.dumps(token).encode())
        if path.startswith("/token")
        else (401, {"WWW-Authenticate": f'Bearer realm="{web.url}/token"'}, b"")
    )
    with pytest.raises(Unreachable, match="no usable token") as raised:
        session(web, LOGIN).ask("GET", "/v2/")
    assert "t0ps3cret" not in str(raised.value) + str(raised.value.__cause__)


def test_a_body_is_sent_with_its_length_and_again_after_a_challenge(web: Web) -> None:
    web.answer = asking(BASIC, LOGIN["Authorization"])
    registry = session(web, LOGIN)
    assert registry.ask("PUT", "/v2/x", body=Body(lambda: iter((b"ab", b"cd")), 4)).status == 200
    sent = [
        (headers["content-length"], headers.get("transfer-encoding"), body)
        for (method, _path, headers), body in zip(web.asked, web.bodies)
        if method == "PUT"
    ]
    assert sent == [("4", None, b"abcd")] * 2
    registry.ask("POST", "/v2/x", body=Body(lambda: iter(()), 0))
    assert web.asked[-1][2]["content-length"] == "0"


def test_a_registry_that_takes_nothing_is_not_waited_for(web: Web) -> None:
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        place = f"http://127.0.0.1:{deaf.getsockname()[1]}/upload"
        web.answer = lambda *_other: (200, {}, b"")
        registry = session(web, seconds=1)
        with pytest.raises(Unreachable, match="too slow: nothing taken and no answer within 1 seconds"):
            registry.ask("PUT", place, body=Body(lambda: iter([b"x" * 65536] * 1000), 65_536_000))
