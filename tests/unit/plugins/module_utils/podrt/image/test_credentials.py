# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which headers go with which request: those of the configuration, to the host that they are for and no other."""

from __future__ import annotations

import calendar
import json
import pathlib
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.config import Config, Credentials
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.awssign import signed
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.credentials import (
    basic,
    credentials_of,
    headers_for,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    configure,
    log_in,
    serving,
)

NEW = FetchPolicy("new", ("image",))
UPDATE = FetchPolicy("update", ("image",))
BASIC = Credentials("basic", user="me", password="pw")
TOKEN = Credentials("oauth", token="t0ken")
AWS = Credentials("aws", access_key="a", secret_key="b")
CONFIG = Config(
    auth=(
        ("[2001:db8::1]:8443", TOKEN),
        ("aws.example.com", AWS),
        ("example.com", BASIC),
        ("other.example.com:8443", TOKEN),
        ("usual.example.com:443", TOKEN),
    ),
    docker=(("docker.io", ("hub", "pw")), ("registry.example.com", ("reg", "pw"))),
)
ME, BEARER = {"Authorization": "Basic bWU6cHc="}, {"Authorization": "Bearer t0ken"}


@pytest.mark.behaviour("B35", "B36")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/a.aci", ME),
        ("https://example.com:443/a.aci", ME),
        ("https://EXAMPLE.com/a.aci", ME),
        ("https://example.com:8443/a.aci", {}),
        ("https://sub.example.com/a.aci", {}),
        ("https://example.com.evil.org/a.aci", {}),
        ("https://other.example.com:8443/a.aci", BEARER),
        ("https://other.example.com/a.aci", {}),
        ("https://usual.example.com/a.aci", BEARER),
        ("https://[2001:db8::1]:8443/a.aci", BEARER),
        ("https://registry.example.com/a.aci", {}),
        ("docker://registry.example.com/app:1", {"Authorization": "Basic cmVnOnB3"}),
        ("docker://registry-1.docker.io/library/app", {"Authorization": "Basic aHViOnB3"}),
        ("docker://example.com/app", {}),
    ],
)
def test_a_domain_and_a_registry_have_their_own(url: str, expected: dict[str, str]) -> None:
    assert headers_for(CONFIG, "GET", url, 0.0) == expected


@pytest.mark.behaviour("B35")
def test_a_request_to_amazon_is_signed_with_its_method_and_its_time() -> None:
    url = "https://aws.example.com/a.aci"
    found = headers_for(CONFIG, "GET", url, 86_400.0)
    assert found["x-amz-date"] == "19700102T000000Z"
    assert found["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=a/19700102/us-east-1/s3/aws4_request,"
    )
    assert headers_for(CONFIG, "HEAD", url, 86_400.0)["Authorization"] != found["Authorization"]
    with pytest.raises(Unreachable, match="refusing to send credentials"):
        headers_for(CONFIG, "GET", "http://aws.example.com/a.aci", 0.0)


def test_they_never_go_out_in_clear_text() -> None:
    with pytest.raises(Unreachable, match=r"refusing to send credentials to http://example\.com/a\.aci"):
        headers_for(CONFIG, "GET", "http://example.com/a.aci", 0.0)
    assert headers_for(CONFIG, "GET", "http://elsewhere.example.com/a.aci", 0.0) == {}


@pytest.mark.parametrize(
    ("url", "user", "asked"),
    [
        ("docker://own.example.com/app:1", "own", []),
        ("docker://helped.example.com/team/app:1", "helper one", [("one", "helped.example.com")]),
        (
            "docker://registry-1.docker.io/library/app:1",
            "helper one",
            [("one", "https://index.docker.io/v1/")],
        ),
        ("docker://filed.example.com/app:1", "filed", []),
        ("docker://silent.example.com/app:1", "filed", [("silent", "silent.example.com")]),
        ("docker://other.example.com:5000/app:1", "helper store", [("store", "other.example.com:5000")]),
        ("https://helped.example.com/a.aci", "", []),
    ],
)
def test_helpers_come_after_documents_and_their_store_after_files(
    url: str, user: str, asked: list[tuple[str, str]]
) -> None:
    config = Config(
        docker=(("own.example.com", ("own", "p")),),
        of_files=(("filed.example.com", ("filed", "p")), ("silent.example.com", ("filed", "p"))),
        helpers=(
            ("", "store"),
            *((name, "one") for name in ("helped.example.com", "index.docker.io", "own.example.com")),
            ("silent.example.com", "silent"),
        ),
    )
    seen = []

    def by_helper(helper: str, server: str) -> tuple[str, str] | None:
        seen.append((helper, server))
        return None if helper == "silent" else (f"helper {helper}", "p")

    found = headers_for(config, "GET", url, 0.0, by_helper)
    assert found == ({"Authorization": basic(user, "p")} if user else {})
    assert seen == asked


def test_a_helper_is_run_once_and_only_for_what_asks(
    host: Host, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-own"
    helper.write_text(f'#!/bin/sh\ncat >> {tmp_path}/calls\necho \'{{"Username": "me", "Secret": "p"}}\'\n')
    helper.chmod(0o755)
    monkeypatch.setattr(programs, "PATH", f"{tmp_path}:{programs.PATH}")
    files = tmp_path / "config.json"
    files.write_text(json.dumps({"credHelpers": {"a.example.com": "own"}}))
    files.chmod(0o600)
    document = {"rktKind": "dockerAuthFiles", "rktVersion": "v1", "files": [str(files)]}
    auth = pathlib.Path(host.paths.local_config, "auth.d")
    auth.mkdir(parents=True)
    (auth / "files.json").write_text(json.dumps(document))
    (auth / "files.json").chmod(0o600)
    ask = credentials_of(host)
    assert ask("GET", "docker://b.example.com/app:1") == {}
    assert not (tmp_path / "calls").exists()
    for _time in range(2):
        assert ask("GET", "docker://a.example.com/app:1") == {"Authorization": basic("me", "p")}
    assert (tmp_path / "calls").read_text() == "a.example.com"


def test_the_configuration_is_read_once_and_not_before_it_is_needed(host) -> None:
    pathlib.Path(host.paths.local_config, "auth.d").mkdir(parents=True)
    broken = pathlib.Path(host.paths.local_config, "auth.d", "broken.json")
    broken.write_text("{")
    ask = credentials_of(host)
    with pytest.raises(InvalidSpec, match=r"broken\.json"):
        ask("GET", "https://example.com/a.aci")
    broken.unlink()
    log_in(host, "example.com")
    assert ask("GET", "docker://example.com/app") == ME
    log_in(host, "later.example.com")
    assert ask("GET", "docker://later.example.com/app") == {}


def fetch(host, url, policy=NEW):
    return fetching.fetch(host, parse_reference(url), policy, lambda _line: None)


def wanting(web, aci, wanted):
    """Let a server give its image for this header alone, and tell by its ETag that it is still the same."""

    def answer(_method, _path, headers):
        if headers.get("authorization") != wanted:
            return 401, {"WWW-Authenticate": "Basic realm=r"}, b""
        return 304 if "if-none-match" in headers else 200, {"ETag": '"1"'}, aci()

    web.answer = answer
    return f"{web.url}/a.aci"


@pytest.mark.root
@pytest.mark.behaviour("B35", "B37", "B56")
@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("basic", {"user": "me", "password": "pw"}, ME["Authorization"]),
        ("oauth", {"token": "t0ken"}, BEARER["Authorization"]),
    ],
)
def test_an_image_at_a_url_may_want_credentials(host, web, aci, kind, given, wanted):
    url = wanting(web, aci, wanted)
    with pytest.raises(Unreachable, match="bad HTTP status code: 401") as caught:
        fetch(host, url)
    assert f"the auth document for {web.authority} in auth.d" in caught.value.hint
    configure(host, "auth", domains=[web.authority], type=kind, credentials=given)
    image = fetch(host, url)
    assert fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert fetch(host, url, UPDATE).id == image.id


@pytest.mark.root
@pytest.mark.behaviour("B35")
def test_an_image_in_a_bucket_is_fetched_by_signed_requests(host, web, aci):
    """The server computes each signature from what it has received, as S3 does."""
    key = Credentials("aws", access_key="AKIA", secret_key="secret", region="eu-west-1")

    def answer(method, path, headers):
        moment = headers.get("x-amz-date", "")
        if not moment:
            return 403, {}, b""
        now = calendar.timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ"))
        wanted = signed(key, method, f"http://{headers['host']}{path}", now)
        is_good = headers.get("authorization") == wanted["Authorization"] and abs(now - time.time()) < 60
        return (200, {"ETag": '"1"'}, aci()) if is_good else (403, {}, b"")

    web.answer = answer
    url = f"{web.url}/releases/a%20b.aci?versionId=7"
    with pytest.raises(Unreachable, match="bad HTTP status code: 403"):
        fetch(host, url)
    given = {"accessKeyID": "AKIA", "secretAccessKey": "secret"}
    configure(host, "auth", domains=[web.authority], type="aws", credentials=given, awsRegion="eu-west-1")
    image = fetch(host, url)
    assert fetching.is_current(host, parse_reference(url), UPDATE, image)
    assert {method for method, *_other in web.asked} == {"GET", "HEAD"}


@pytest.mark.root
@pytest.mark.finding("attack-F12")
def test_a_host_that_a_url_redirects_to_gets_none(host, web, aci):
    login = {"user": "me", "password": "pw"}
    configure(host, "auth", domains=[web.authority], type="basic", credentials=login)
    with serving() as elsewhere:
        wanting(elsewhere, aci, ME["Authorization"])
        web.answer = lambda *_other: (302, {"Location": f"{elsewhere.url}/b.aci"}, b"")
        with pytest.raises(Unreachable, match="bad HTTP status code: 401") as caught:
            fetch(host, f"{web.url}/a.aci")
        assert [headers.get("authorization") for *_other, headers in web.asked] == [ME["Authorization"]]
        assert [headers.get("authorization") for *_other, headers in elsewhere.asked] == [None]
    assert "credentials are for the host alone" in caught.value.hint
