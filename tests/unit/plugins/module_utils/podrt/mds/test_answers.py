# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What is answered, without any connection."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from urllib.parse import urlencode

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds import answers
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.answers import Reply, shown
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.pods import Registry
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.registration import ServiceFacts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.mds.requests import Refusal, request_of

UUID = "11111111-2222-4333-8444-555555555555"
OTHER = "21111111-2222-4333-8444-555555555555"
TOKEN = "0123456789abcdef" * 2
FACTS = ServiceFacts(7, 18112, "/runtime")
POD = {
    "acKind": "PodManifest",
    "acVersion": "0.8.11",
    "apps": [
        {
            "name": "web",
            "image": {"id": "sha512-aabb"},
            "annotations": [{"name": "both", "value": "app"}, {"name": "of-app", "value": "1"}],
        },
        {"name": "bare", "image": {"id": "sha512-ccdd"}},
    ],
    "annotations": [{"name": "example.com/owner", "value": "f\u00fcnf"}],
}
IMAGE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/web",
    "annotations": [{"name": "both", "value": "image"}, {"name": "of-image", "value": "2"}],
}


def asked(
    registry: Registry, method: str, target: str, body: bytes = b"", *, address: str = "", media: str = ""
) -> Reply:
    """The answer to a request; address: that a query comes from, "" on the socket of the host."""
    head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    request = request_of(head.encode())
    try:
        if address:
            judged = answers.query(registry, request, address)
        else:
            judged = answers.registration(registry, request, FACTS)
        assert len(body) <= judged.most
        return judged.answer(body)
    except Refusal as err:
        return Reply(err.status, body=err.text.encode())


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    assert (
        asked(found, "PUT", f"/pods/{UUID}?token={TOKEN}&address=10.0.0.2", json.dumps(POD).encode()).status
        == 200
    )
    assert asked(found, "PUT", f"/pods/{UUID}/web", json.dumps(IMAGE).encode()).status == 200
    return found


def got(registry: Registry, path: str) -> Reply:
    return asked(registry, "GET", f"/{TOKEN}/acMetadata/v1/{path}", address="10.0.0.2")


@pytest.mark.behaviour("F4")
@pytest.mark.parametrize(
    ("path", "media", "body"),
    [
        ("pod/uuid", "text/plain; charset=us-ascii", UUID),
        ("pod/annotations", "application/json", [{"name": "example.com/owner", "value": "f\u00fcnf"}]),
        ("pod/annotations/example.com/owner", "text/plain; charset=utf-8", "f\u00fcnf"),
        ("pod/annotations/example.com%2Fowner", "text/plain; charset=utf-8", "f\u00fcnf"),
        ("pod/manifest", "application/json", POD),
        (
            "apps/web/annotations",
            "application/json",
            [
                {"name": "both", "value": "app"},
                {"name": "of-app", "value": "1"},
                {"name": "of-image", "value": "2"},
            ],
        ),
        ("apps/web/annotations/both", "text/plain; charset=us-ascii", "app"),
        ("apps/web/annotations/of-image", "text/plain; charset=us-ascii", "2"),
        ("apps/web/image/manifest", "application/json", IMAGE),
        ("apps/web/image/id", "text/plain; charset=us-ascii", "sha512-aabb"),
    ],
)
def test_a_pod_gets_its_data(registry: Registry, path: str, media: str, body: object) -> None:
    found = got(registry, path)
    assert (found.status, found.media) == (200, media)
    assert (json.loads(found.body) if media == "application/json" else found.body.decode()) == body


@pytest.mark.behaviour("F4")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("pod/annotations/none", 404),
        ("pod/annotations/Bad", 400),
        ("apps/other/image/id", 404),
        ("apps/bare/image/id", 404),
        ("apps/web", 404),
        ("apps/web/image", 404),
        ("apps/web/annotations/none", 404),
        ("pod", 404),
        ("", 404),
        ("pod/hmac/sign", 405),
        ("pod/uuid/", 404),
    ],
)
def test_what_is_not_there(registry: Registry, path: str, status: int) -> None:
    assert got(registry, path).status == status


@pytest.mark.behaviour("F4")
@pytest.mark.parametrize(
    ("target", "address"),
    [
        pytest.param("/", "10.0.0.2", id="no token"),
        pytest.param(f"/{TOKEN[:-1]}0/acMetadata/v1/pod/uuid", "10.0.0.2", id="another token"),
        pytest.param(f"/{TOKEN.upper()}/acMetadata/v1/pod/uuid", "10.0.0.2", id="capitals"),
        pytest.param(f"//{TOKEN}/acMetadata/v1/pod/uuid", "10.0.0.2", id="two slashes"),
        pytest.param(f"/{TOKEN}/acMetadata/v1/pod/uuid", "10.0.0.3", id="the token from another pod"),
        pytest.param("/%C3%A9/acMetadata/v1/pod/uuid", "10.0.0.2", id="not ASCII"),
    ],
)
def test_only_the_pod_gets_its_data(registry: Registry, target: str, address: str) -> None:
    assert asked(registry, "GET", target, address=address).status == 401


def test_a_registration_without_addresses_is_rkts(registry: Registry) -> None:
    token = "f" * 32
    asked(registry, "PUT", f"/pods/{OTHER}?token={token}", json.dumps(POD).encode())
    assert asked(registry, "GET", f"/{token}/acMetadata/v1/pod/uuid", address="192.0.2.1").status == 200


@pytest.mark.behaviour("F3")
@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        pytest.param("PUT", f"/pods/x?token={TOKEN}", POD, 400, id="bad UUID"),
        pytest.param("PUT", f"/pods/{OTHER}?token=x", POD, 400, id="bad token"),
        pytest.param("PUT", f"/pods/{OTHER}", POD, 400, id="no token"),
        pytest.param("PUT", f"/pods/{OTHER}?token={TOKEN}&token={TOKEN}", POD, 400, id="two tokens"),
        pytest.param("PUT", f"/pods/{OTHER}?token={TOKEN}&address=x", POD, 400, id="bad address"),
        pytest.param("PUT", f"/pods/{OTHER}?token={TOKEN}", [], 400, id="no manifest"),
        pytest.param("PUT", f"/pods/{OTHER}/web", IMAGE, 404, id="an unknown pod"),
        pytest.param("PUT", f"/pods/{UUID}/Web", IMAGE, 400, id="bad name of an app"),
        pytest.param("PUT", f"/pods/{UUID}/other", IMAGE, 404, id="an unknown app"),
        pytest.param("PUT", f"/pods/{UUID}/web", POD, 400, id="no image manifest"),
        pytest.param("DELETE", f"/pods/{OTHER}", None, 404, id="an unknown pod is not removed"),
        pytest.param("GET", f"/pods/{UUID}", None, 405, id="nothing is read"),
        pytest.param("PUT", "/x", None, 404, id="nothing else"),
        pytest.param("PUT", "/", None, 405, id="the service itself"),
    ],
)
def test_a_registration_that_is_refused(
    registry: Registry, method: str, target: str, body: object, status: int
) -> None:
    data = b"" if body is None else json.dumps(body).encode()
    assert asked(registry, method, target, data).status == status


@pytest.mark.behaviour("F3")
def test_a_pod_that_is_removed_has_no_data(registry: Registry) -> None:
    assert asked(registry, "DELETE", f"/pods/{UUID}").status == 200
    assert got(registry, "pod/uuid").status == 401
    assert len(registry) == 0


@pytest.mark.behaviour("F3")
def test_a_pod_that_is_registered_once_more_has_only_its_new_token(registry: Registry) -> None:
    asked(registry, "PUT", f"/pods/{UUID}?token={'a' * 32}", json.dumps(POD).encode())
    assert got(registry, "pod/uuid").status == 401
    assert len(registry) == 1


def test_the_port_for_queries_is_told(registry: Registry) -> None:
    found = asked(registry, "PUT", f"/pods/{OTHER}?token={'b' * 32}", json.dumps(POD).encode())
    assert json.loads(found.body)["port"] == 18112


def posted(registry: Registry, what: str, form: dict[str, bytes | str], media: str = "") -> Reply:
    return asked(
        registry,
        "POST",
        f"/{TOKEN}/acMetadata/v1/pod/hmac/{what}",
        urlencode(form).encode(),
        address="10.0.0.2",
        media=media or "application/x-www-form-urlencoded",
    )


@pytest.mark.behaviour("F4")
@pytest.mark.parametrize("content", [b"x", b"a b&c=d%20", bytes(range(256))], ids=repr)
def test_a_signature_is_an_hmac_of_the_pod_and_the_content(registry: Registry, content: bytes) -> None:
    found = posted(registry, "sign", {"content": content})
    expected = hmac.new(registry.key, bytes.fromhex(UUID.replace("-", "")) + content, hashlib.sha512).digest()
    assert (found.status, found.media) == (200, "text/plain; charset=us-ascii")
    assert base64.b64decode(found.body) == expected
    form = {"content": content, "uuid": UUID, "signature": found.body.decode()}
    assert posted(registry, "verify", form).status == 200
    assert posted(registry, "verify", {**form, "uuid": OTHER}).status == 403
    assert posted(registry, "verify", {**form, "content": content + b"x"}).status == 403


@pytest.mark.behaviour("F4")
@pytest.mark.parametrize(
    ("what", "form"),
    [
        pytest.param("sign", {}, id="nothing to sign"),
        pytest.param("sign", {"content": ""}, id="an empty content"),
        pytest.param("sign", {f"a{number}": "" for number in range(20)}, id="many fields"),
        pytest.param("verify", {"uuid": UUID, "signature": "eA=="}, id="no content"),
        pytest.param("verify", {"content": "x", "signature": "eA=="}, id="no uuid"),
        pytest.param("verify", {"content": "x", "uuid": "x", "signature": "eA=="}, id="no valid uuid"),
        pytest.param("verify", {"content": "x", "uuid": UUID}, id="no signature"),
        pytest.param("verify", {"content": "x", "uuid": UUID, "signature": "!"}, id="not base64"),
    ],
)
def test_a_form_that_is_refused(registry: Registry, what: str, form: dict[str, bytes | str]) -> None:
    assert posted(registry, what, form).status == 400


def test_only_forms_are_signed(registry: Registry) -> None:
    assert posted(registry, "sign", {"content": "x"}, "text/plain").status == 400


def test_no_token_is_logged() -> None:
    assert shown(f"/{TOKEN}/acMetadata/v1/pod", public=True) == "/TOKEN/acMetadata/v1/pod"
    assert shown("/almost-a-token/x", public=True) == "/TOKEN/x"
    assert shown(f"//{TOKEN}/x?{TOKEN}", public=True) == "/TOKEN/TOKEN/x?TOKEN"
    assert shown("/", public=True) == "/TOKEN"
    assert shown(f"/pods/{UUID}?token={TOKEN}", public=False) == f"/pods/{UUID}?token=TOKEN"
