# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Keys from files and from servers."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    HostFailure,
    InvalidSpec,
    NotFound,
    Unreachable,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.host import Host
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import transport
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.keysource import (
    read_source,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import FetchPolicy
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import Web
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.gpglab import Gpg

SAFE = FetchPolicy()


@pytest.mark.behaviour("A60")
def test_a_path_is_a_file_of_this_host(host: Host, gpg: Gpg, good: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key.asc"
    path.write_bytes(gpg.export(good))
    found = read_source(host, str(path), SAFE)
    assert (found.key.fingerprint, found.location, found.vouched) == (good, str(path), False)
    with pytest.raises(NotFound, match="no such file"):
        read_source(host, str(tmp_path / "nosuch"), SAFE)
    with pytest.raises(HostFailure, match="cannot read the key file"):
        read_source(host, str(tmp_path), SAFE)
    path.write_bytes(os.urandom(5 << 20))
    with pytest.raises(Corrupt, match="larger than"):
        read_source(host, str(path), SAFE)


@pytest.mark.behaviour("A62")
@pytest.mark.parametrize(
    "location", ["ftp://example.com/key", "file:///etc/key", "docker://example.com/x", "://x"]
)
def test_other_schemes_are_refused(host: Host, location: str) -> None:
    with pytest.raises(InvalidSpec, match="only local files and http or https URLs are supported"):
        read_source(host, location, SAFE)


@pytest.mark.behaviour("A62")
def test_plain_http_needs_consent(host: Host) -> None:
    with pytest.raises(InvalidSpec, match="over plain http"):
        read_source(host, "http://192.0.2.1/key", SAFE)


def test_a_server_gives_a_key_and_its_query_is_not_shown(host: Host, web: Web, gpg: Gpg, good: str) -> None:
    web.answer = lambda *_other: (200, {}, gpg.export(good))
    found = read_source(host, f"{web.url}/key?token=secret", SAFE)
    assert (found.key.fingerprint, found.location, found.vouched) == (good, f"{web.url}/key", False)
    web.answer = lambda *_other: (404, {}, b"")
    with pytest.raises(Unreachable, match="bad HTTP status code: 404"):
        read_source(host, f"{web.url}/key", SAFE)
    web.answer = lambda *_other: (200, {}, b"<html>")
    with pytest.raises(InvalidSpec, match="does not hold a public key") as caught:
        read_source(host, f"{web.url}/key?token=secret", SAFE)
    assert "secret" not in str(caught.value)


@pytest.mark.behaviour("A62")
def test_tls_vouches_for_a_server_unless_it_is_not_checked(
    host: Host, web: Web, tls: str, gpg: Gpg, good: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transport, "_ROOTS", (tls,))
    web.answer = lambda *_other: (200, {}, gpg.export(good))
    assert read_source(host, f"{web.url}/key", SAFE).vouched
    assert not read_source(host, f"{web.url}/key", FetchPolicy(insecure=("tls",))).vouched
