# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords and signatures in URLs, of images and of proxies: no message has them, nor the chain that --debug shows."""

from __future__ import annotations

import socket
import traceback

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, Unreachable
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.limits import Limits
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.transport import Transport

SECRET = "S3CRET"


def all_of(err: BaseException) -> str:
    return "".join(traceback.format_exception(type(err), err, err.__traceback__))


def ask(url: str) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        Transport(FetchPolicy(insecure=("http",)), Limits(document_seconds=5)).get(url, {})
    return caught.value


@pytest.mark.finding("http-F11", "http-F14")
@pytest.mark.parametrize(
    "proxy",
    [
        f"http://user:{SECRET}@host:notaport",
        f"http://user:{SECRET}@[::1",
        f"http://user:{SECRET}@",
        f"user:{SECRET}@host:notaport",
        f"http://user:a {SECRET}@host:notaport",
        f"gopher://user:{SECRET}@host",
        f"http://user:{SECRET}@127.0.0.1:1",
    ],
    ids=["no port", "no address", "no host", "no scheme", "a blank", "another scheme", "refused"],
)
def test_a_proxy_that_is_wrong_is_an_error_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    err = ask("http://192.0.2.1/x.aci")
    assert err.message.startswith("cannot fetch http://192.0.2.1/x.aci: ")
    assert SECRET not in all_of(err) and "Plain(" not in all_of(err)


@pytest.mark.finding("http-F11")
def test_a_query_is_in_no_chain_of_causes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    err = ask(f"http://127.0.0.1:{port}/x.aci?sig={SECRET}")
    assert "refused" in err.message and "host=" not in err.message
    assert err.__cause__ is not None and "ConnectionError" in str(err.__cause__)
    assert SECRET not in all_of(err)


@pytest.mark.finding("http-F11")
@pytest.mark.parametrize(
    "text",
    [
        "https://user:S3CRET@host/x",
        "user:S3CRET@host/x",
        "user:S3CRET@host",
        "https://reg.test\\@user:S3CRET@x/x.aci",
        "https://user:S3CRET@host/x.aci",
        "https://host/x?sig=S3CRET",
        "docker://user:S3CRET@host/x",
        "docker://user:S3/CRET@host",
        "docker:user:S3CRET@host/a",
        "cimd:docker:v=0:user:S3CRET@host/a",
        "cimd:foo:user:S3CRET@host",
    ],
)
def test_what_was_given_for_an_image_is_shown_without_its_password(text: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_reference(text, "image", relative=False)
    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert "CRET" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.finding("http-F11")
def test_a_backslash_makes_no_host() -> None:
    with pytest.raises(InvalidSpec, match="holds a backslash"):
        parse_reference("https://reg.test\\x/x.aci")
