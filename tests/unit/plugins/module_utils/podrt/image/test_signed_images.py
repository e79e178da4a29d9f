# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Images with detached signatures, from files and URLs: only those that a trusted key has signed count."""

from __future__ import annotations

import os
import re

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Unreachable,
    Untrusted,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import fetch as fetching
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import find, keystore, openpgp
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_reference
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store import index
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import (
    THEN,
)

pytestmark = [pytest.mark.root, pytest.mark.behaviour("B24", "B27")]
NAME = "example.com/team/app"
STRICT = FetchPolicy("new", ())


@pytest.fixture(name="host")
def _host(tmp_path, gpg, good):
    """A host that trusts one key for the images of a team."""
    paths = Paths(
        data=str(tmp_path / "data"), local_config=str(tmp_path / "etc"), system_config=str(tmp_path / "lib")
    )
    keystore.store(paths, "example.com/team", openpgp.read_keys(gpg.export(good), "a test")[0])
    return Host.here(paths)


@pytest.fixture(name="offer", params=["file", "url"])
def _offer(request, web, tmp_path):
    """Offer an image with or without a signature; returns its reference."""

    def offer(data: bytes, signature: bytes | None) -> str:
        if request.param == "file":
            (tmp_path / "app.aci").write_bytes(data)
            if signature is not None:
                (tmp_path / "app.aci.asc").write_bytes(signature)
            return str(tmp_path / "app.aci")
        replies = {"/app.aci": data, "/app.aci.asc": signature}
        web.answer = lambda _method, path, _headers: (
            (200, {}, replies[path]) if replies.get(path) is not None else (404, {}, b"")
        )
        return f"{web.url}/app.aci"

    return offer


def fetch(host, text, told=None):
    said = told if told is not None else []
    return fetching.fetch(host, parse_reference(text), STRICT, said.append)


def refused(host, text):
    """The message of the refusal, after which nothing counts and nothing is left."""
    with pytest.raises((Untrusted, Unreachable)) as caught:
        fetch(host, text)
    assert index.list_ids(host.paths) == ()
    assert not os.path.isdir(host.paths.workspaces) or os.listdir(host.paths.workspaces) == []
    return caught.value.message


def test_a_signed_image_counts_and_tells_its_signer(host, gpg, good, offer, aci):
    data, told = aci(NAME), []
    image = fetch(host, offer(data, gpg.sign(good, data)), told)
    assert index.list_ids(host.paths) == (image.id,)
    begin = told.index("signature verified:")
    assert told[begin + 1] == "  Team <team@example.com>"


def test_one_without_a_signature_is_refused(host, offer, aci):
    text = offer(aci(NAME), None)
    assert refused(host, text) == (
        f"cannot verify {text}: error opening signature file {text}.asc: no such file or directory "
        "(try --insecure-options=image)"
        if text.startswith("/")
        else f"cannot verify {text}: error downloading the signature file: cannot fetch {text}.asc: "
        "bad HTTP status code: 404 "
        "(try --insecure-options=image)"
    )


def test_the_signature_of_another_image_is_refused(host, gpg, good, offer, aci):
    text = offer(aci(NAME, content=b"bad"), gpg.sign(good, aci(NAME, content=b"good")))
    assert "does not belong to this file" in refused(host, text)


def test_the_key_of_a_team_does_not_sign_for_another(host, gpg, good, offer, aci):
    data = aci("example.com/other/app")
    assert "signature made by unknown entity" in refused(host, offer(data, gpg.sign(good, data)))


def test_a_stranger_is_refused(host, gpg, offer, aci):
    data = aci(NAME)
    assert "signature made by unknown entity" in refused(host, offer(data, gpg.sign(gpg.make("x"), data)))


def test_an_expired_key_is_refused(host, gpg, offer, aci):
    old = gpg.make("Old <old@example.com>", "ed25519", "1d", "--faked-system-time", THEN)
    keystore.store(host.paths, "", openpgp.read_keys(gpg.export(old), "a test")[0])
    data = aci(NAME)
    text = offer(data, gpg("--faked-system-time", THEN, "--local-user", old, "--detach-sign", stdin=data))
    assert "expired" in refused(host, text)


@pytest.mark.parametrize(
    "signature", [b"", b"no signature", b"x" * (1 << 20) + b"more"], ids=["empty", "text", "large"]
)
def test_what_is_no_signature_is_refused(host, offer, aci, signature):
    assert re.match(
        "cannot verify|error downloading the signature", refused(host, offer(aci(NAME), signature))
    )


def test_a_pipe_in_the_place_of_a_signature_is_not_waited_for(host, tmp_path, aci):
    (tmp_path / "app.aci").write_bytes(aci(NAME))
    os.mkfifo(tmp_path / "app.aci.asc")
    assert "error opening signature file" in refused(host, str(tmp_path / "app.aci"))


def test_an_empty_signature_is_not_asked_for_twice(host, web, aci):
    replies = {"/app.aci": aci(NAME), "/app.aci.asc": b""}
    web.answer = lambda _method, path, _headers: (200, {}, replies[path])
    refused(host, f"{web.url}/app.aci")
    assert [path for _method, path, _headers in web.asked] == ["/app.aci.asc", "/app.aci"]


def test_a_waived_check_asks_for_no_signature(host, web, offer, aci):
    text = offer(aci(NAME), None)
    fetching.fetch(host, parse_reference(text), FetchPolicy("new", ("image",)), lambda _line: None)
    assert [path for _method, path, _headers in web.asked if path.endswith(".asc")] == []


@pytest.mark.behaviour("B26")
def test_the_signature_of_a_url_is_fetched_before_the_image(host, gpg, good, web, aci):
    data = aci(NAME)
    replies = {"/app.aci": data, "/app.aci.asc": gpg.sign(good, data)}
    web.answer = lambda _method, path, _headers: (200, {}, replies[path])
    fetch(host, f"{web.url}/app.aci")
    assert [path for _method, path, _headers in web.asked] == ["/app.aci.asc", "/app.aci"]


@pytest.mark.behaviour("B25")
@pytest.mark.parametrize("ready", [True, False])
def test_a_signature_that_is_deferred_is_asked_for_once_more(host, gpg, good, web, aci, ready):
    data, asked = aci(NAME), []

    def answer(_method, path, _headers):
        asked.append(path)
        if path == "/app.aci":
            return 200, {}, data
        if ready and len(asked) > 1:
            return 200, {}, gpg.sign(good, data)
        return 202, {}, b""

    web.answer = answer
    text, told = f"{web.url}/app.aci", []
    if ready:
        fetch(host, text, told)
        assert "server requested deferring the signature download" in told
    else:
        assert f"the server has deferred {text}.asc twice" in refused(host, text)
    assert asked == ["/app.aci.asc", "/app.aci", "/app.aci.asc"]


def test_check_mode_verifies_a_file(host, gpg, good, tmp_path, aci):
    data = aci(NAME)
    path = tmp_path / "app.aci"
    path.write_bytes(data)
    (tmp_path / "app.aci.asc").write_bytes(gpg.sign(good, data))
    fetching.check_may_fetch(host, parse_reference(str(path)), STRICT)
    path.write_bytes(aci(NAME, content=b"changed"))
    with pytest.raises(Untrusted, match="does not belong to this file"):
        fetching.check_may_fetch(host, parse_reference(str(path)), STRICT)
    assert find.lookup(host, parse_reference(str(path))) is None


def test_a_renewed_image_is_verified_again(host, gpg, good, web, aci):
    replies = {}

    def offer(content):
        data = aci(NAME, content=content)
        replies.update({"/app.aci": data, "/app.aci.asc": gpg.sign(good, data)})
        return data

    web.answer = lambda _method, path, _headers: (200, {"ETag": f'"{hash(replies[path])}"'}, replies[path])
    offer(b"one")
    text = f"{web.url}/app.aci"
    first = fetch(host, text)
    replies["/app.aci"] = aci(NAME, content=b"forged")
    update = FetchPolicy("update", ())
    with pytest.raises(Untrusted, match="does not belong"):
        fetching.fetch(host, parse_reference(text), update, lambda _line: None)
    assert index.list_ids(host.paths) == (first.id,)
    assert find.lookup(host, parse_reference(text)).id == first.id
