# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which source is asked when, for files, URLs, names and keys. Docker: tests/integration/registry."""

from __future__ import annotations

import base64
import hashlib
import json
import os

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    InvalidSpec,
    NotFound,
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import transport
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="unpacking needs root")
NEW = FetchPolicy("new", ("image",))
UPDATE = FetchPolicy("update", ("image",))
NEVER = FetchPolicy("never", ("image",))


def fetch(host, text, policy=NEW, lines=None, **options):
    lines = [] if lines is None else lines
    return fetching.fetch(host, parse_reference(text), policy, lines.append, **options)


@pytest.mark.behaviour("B17")
def test_a_file_is_read_every_time_and_its_content_is_its_id(host, tmp_path, aci):
    file = tmp_path / "a.aci"
    file.write_bytes(aci())
    lines = []
    image = fetch(host, str(file), NEVER, lines)
    assert image.id == f"sha512-{hashlib.sha512(aci()).hexdigest()[:64]}"
    assert lines == [f"using image from file {file}"]
    assert fetching.lookup(host, parse_reference(str(file)), NEW) is not None
    file.write_bytes(aci(content=b"other"))
    assert fetching.lookup(host, parse_reference(str(file)), NEW) is None
    assert fetch(host, str(file)).id != image.id


def test_a_file_that_is_missing_or_none_is_said_to_be(host, tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        fetch(host, f"{tmp_path}/missing.aci")
    with pytest.raises(InvalidSpec, match="not a file"):
        fetch(host, str(tmp_path))


@pytest.mark.behaviour("B27")
@pytest.mark.parametrize("text", ["/x.aci", "https://example.com/x.aci", "docker://example.com/x"])
def test_what_cannot_be_verified_is_untrusted(host, text):
    with pytest.raises(Untrusted, match="--insecure-options=image"):
        fetch(host, text, FetchPolicy())


@pytest.mark.behaviour("B16")
def test_a_name_or_a_key_comes_from_the_store(host, tmp_path, aci):
    (tmp_path / "a.aci").write_bytes(aci(labels=[{"name": "version", "value": "1"}]))
    image = fetch(host, str(tmp_path / "a.aci"))
    assert fetch(host, "example.com/app:1", NEVER).id == image.id
    assert fetch(host, image.id[:20], FetchPolicy("never")).id == image.id
    for text, said in (
        ("example.com/app:2", "either image was not found"),
        ("sha512-00ff", "no image IDs found"),
    ):
        with pytest.raises(NotFound, match=said):
            fetch(host, text, NEVER)


@pytest.mark.behaviour("B20", "B51")
def test_a_dependency_must_be_in_the_store(host, tmp_path, aci):
    (tmp_path / "top.aci").write_bytes(aci("top", dependencies=[{"imageName": "base"}]))
    (tmp_path / "base.aci").write_bytes(aci("base"))
    with pytest.raises(NotFound, match="top needs base"):
        fetch(host, str(tmp_path / "top.aci"))
    assert fetching.lookup(host, parse_reference("top"), NEW) is None
    fetch(host, str(tmp_path / "base.aci"))
    assert fetch(host, "top")


@pytest.mark.behaviour("B18")
def test_a_url_is_asked_as_its_policy_says(host, web, aci):
    url, body = f"{web.url}/a.aci", aci()

    def answer(_method, _path, headers):
        return (304, {}, b"") if headers.get("if-none-match") == '"1"' else (200, {"ETag": '"1"'}, body)

    web.answer = answer
    with pytest.raises(NotFound, match="unable to fetch image from URL"):
        fetch(host, url, NEVER)
    assert web.asked == []
    image = fetch(host, url)
    assert fetch(host, url).id == fetch(host, url, NEVER).id == image.id
    assert len(web.asked) == 1
    assert fetch(host, url, UPDATE).id == image.id
    assert fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert [method for method, _other, _other in web.asked] == ["GET", "GET", "HEAD"]
    web.answer = lambda *_other: (200, {"ETag": '"2"'}, aci(content=b"new"))
    assert not fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert fetch(host, url, UPDATE).id != image.id


@pytest.mark.behaviour("B17", "B18")
def test_within_max_age_nothing_is_asked(host, web, aci):
    web.answer = lambda *_other: (200, {"Cache-Control": "public, max-age=600"}, aci())
    image = fetch(host, f"{web.url}/a.aci")
    lines = []
    fetch(host, f"{web.url}/a.aci", UPDATE, lines)
    assert lines == [f"image for {web.url}/a.aci isn't expired, not fetching."]
    assert fetching.is_current(host, parse_reference(f"{web.url}/a.aci"), UPDATE, image)
    assert len(web.asked) == 1


@pytest.mark.behaviour("B19")
@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_another_status_is_an_error(host, web, status):
    web.answer = lambda *_other: (status, {}, b"")
    with pytest.raises(Unreachable, match=f"bad HTTP status code: {status}"):
        fetch(host, f"{web.url}/a.aci")


@pytest.mark.behaviour("B21")
def test_ten_redirects_are_followed_and_no_more(host, web, aci):
    def answer(_method, path, _headers):
        number = int(path[1:].partition(".")[0])
        return (302, {"Location": f"/{number - 1}.aci"}, b"") if number else (200, {}, aci())

    web.answer = answer
    assert fetch(host, f"{web.url}/10.aci")
    with pytest.raises(Unreachable, match="more than 10 redirects"):
        fetch(host, f"{web.url}/11.aci")


def test_a_broken_connection_is_taken_up_where_it_broke(host, web, aci):
    body = aci(content=os.urandom(3_000_000))

    def answer(_method, _path, headers):
        if "range" not in headers:
            return 200, {"ETag": '"1"'}, body
        start = int(headers["range"].partition("=")[2].rstrip("-"))
        return 206, {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, body[start:]

    web.answer, web.breaks_after = answer, 1_000_000
    image = fetch(host, f"{web.url}/a.aci")
    assert image.id == f"sha512-{hashlib.sha512(body).hexdigest()[:64]}"
    assert [headers.get("if-range") for _other, _other, headers in web.asked] == [None, '"1"']


def test_a_connection_that_breaks_for_good_leaves_nothing(host, web, aci):
    web.answer, web.breaks_after = (lambda *_other: (200, {}, aci(content=bytes(100_000)))), 50_000
    with pytest.raises(Unreachable, match="cannot resume"):
        fetch(host, f"{web.url}/a.aci")
    assert os.listdir(f"{host.paths.cas}/tmp") == []


def test_what_is_no_image_is_corrupt(host, web):
    web.answer = lambda *_other: (200, {}, b"<html>sign in</html>" * 100)
    with pytest.raises(Corrupt):
        fetch(host, f"{web.url}/a.aci")


def registry(web, token="", login=""):
    """Let the server be a registry with one image, which wants a token or a login."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}}).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": digest}, "layers": []}).encode()
    wanted = f"Bearer {token}" if token else f"Basic {base64.b64encode(login.encode()).decode()}"
    challenge = (
        f'Bearer realm="{web.url}/token",service="s",scope="repository:app:pull"'
        if token
        else 'Basic realm="r"'
    )

    def answer(_method, path, headers):
        if path.startswith("/token"):
            return 200, {}, json.dumps({"token": token}).encode()
        if headers.get("authorization") != wanted:
            return 401, {"WWW-Authenticate": challenge}, b""
        return 200, {}, config if "/blobs/" in path else manifest

    web.answer = answer
    return f"docker://{web.authority}/app"


@pytest.mark.behaviour("B39")
def test_a_registry_may_want_a_token(host, web):
    reference = registry(web, token="secret")
    assert fetch(host, reference, credentials=lambda name: ("me", "pw") if name == web.authority else None)
    tokens = [(path, headers["authorization"]) for _other, path, headers in web.asked if "/token" in path]
    assert tokens == [("/token?service=s&scope=repository%3Aapp%3Apull", "Basic bWU6cHc=")]


@pytest.mark.behaviour("B39", "B57")
def test_a_registry_may_want_a_login(host, web):
    reference = registry(web, login="me:pw")
    with pytest.raises(Unreachable, match="bad HTTP status code: 401"):
        fetch(host, reference)
    assert fetch(host, reference, credentials=lambda _name: ("me", "pw"))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:5000/x", True),
        ("127.1.2.3:5000", True),
        ("localhost", True),
        ("http://[::1]:5000/", True),
        ("http://127.0.0.1.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://localhost.example.com", False),
        ("https://example.com/127.0.0.1", False),
    ],
)
def test_what_is_on_this_machine(url, local):
    assert transport.is_loopback(url) is local


def test_a_url_is_shown_without_its_secrets():
    assert transport.shown("https://u:p@example.com/a?sig=1") == "https://example.com/a"
