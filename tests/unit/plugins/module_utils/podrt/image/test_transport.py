# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP: trust, headers that are sent, and the reading of URLs."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    Unreachable,
    Unsupported,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import http_policy, transport
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import shown


def open_transport(*insecure):
    return transport.Transport(FetchPolicy(insecure=insecure), Limits())


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:5000/x", True),
        ("127.1.2.3:5000", True),
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("http://[::1]:5000/", True),
        ("[::1]:5000", True),
        ("http://127.0.0.1.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://localhost.example.com", False),
        ("https://example.com/127.0.0.1", False),
        ("http://example.com?@localhost/", False),
        ("http://example.com#@localhost/", False),
        ("http://example.com\\@localhost/", False),
        ("http://[::1", False),
    ],
)
def test_what_is_on_this_machine(url, local):
    assert http_policy.is_loopback(url) is local


def test_a_url_is_shown_without_its_secrets():
    assert shown("https://u:p@example.com/a?sig=1") == "https://example.com/a"


def test_without_the_library_the_runtime_is_incomplete(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(Unsupported, match="needs the Python library requests") as caught:
        open_transport().get("http://127.0.0.1:9/", {})
    assert "pod_runtime" in caught.value.hint


@pytest.mark.behaviour("B21")
@pytest.mark.parametrize("target", ["http://192.0.2.1/a", "//192.0.2.1/a"])
def test_a_redirect_to_plain_http_is_not_followed(web, target):
    web.answer = lambda *_other: (302, {"Location": target}, b"")
    with pytest.raises(InvalidSpec, match=r"refusing to fetch http://192.0.2.1/a over plain http"):
        open_transport().get(web.url, {})


@pytest.mark.behaviour("B21")
def test_credentials_are_for_one_host_and_those_of_a_netrc_for_none(web, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text(
        "machine localhost login me password pw\nmachine 127.0.0.1 login me password pw\n"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    other = web.url.replace("127.0.0.1", "localhost")

    def answer(_method, path, _headers):
        places = {"/0": "/1", "/1": f"{other}/2"}
        return (302, {"Location": places[path]}, b"") if path in places else (200, {}, b"")

    web.answer = answer
    open_transport().get(f"{web.url}/0", {"Authorization": "Bearer x"})
    assert [headers.get("authorization") for _other, _other, headers in web.asked] == [
        "Bearer x",
        "Bearer x",
        None,
    ]
    web.asked.clear()
    open_transport().get(f"{web.url}/0", {})
    assert [headers.get("authorization") for _other, _other, headers in web.asked] == [None, None, None]


@pytest.mark.behaviour("B21")
def test_the_roots_that_the_host_trusts_count(web, tls, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # these are still honoured
        monkeypatch.delenv(name, raising=False)
    web.answer = lambda *_other: (200, {}, b"hello")
    monkeypatch.setattr(transport, "_ROOTS", ("/nonexistent", tls))
    assert open_transport().get(web.url, {}).body == b"hello"
    monkeypatch.setattr(transport, "_ROOTS", ())
    with pytest.raises(transport.BadCertificate, match="certificate"):
        open_transport().get(web.url, {})
    assert open_transport("tls").get(web.url, {}).status == 200


def test_a_server_without_tls_is_no_matter_of_certificates(web):
    with pytest.raises(Unreachable) as caught:
        open_transport().get(web.url.replace("http:", "https:"), {})
    assert not isinstance(caught.value, transport.BadCertificate)
