# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Payloads of signatures: read strictly, and of the image that was asked for."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import simplesigning
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_docker
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.simplesigning import (
    COSIGN_TYPE,
    OPENPGP_TYPE,
    BadSignature,
    Claim,
    check_claim,
    read_claim,
)

DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "ab")
CRITICAL = {
    "type": OPENPGP_TYPE,
    "image": {"docker-manifest-digest": DIGEST},
    "identity": {"docker-reference": "example.com/app:v1"},
}
OPTIONAL = {"creator": "atomic 5.23.1", "timestamp": 1795924661}


def written(critical: object = None, **members: object) -> bytes:
    return json.dumps({"critical": critical or CRITICAL, "optional": OPTIONAL, **members}).encode()


def test_a_payload_says_what_is_signed() -> None:
    claim = Claim(DIGEST, "example.com/app:v1")
    assert read_claim(written(), OPENPGP_TYPE) == claim
    assert read_claim(written({**CRITICAL, "type": COSIGN_TYPE}, optional=None), COSIGN_TYPE) == claim


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{",
        b"\xff{}",
        b"[" * 30_000,
        written() + b" {}",
        written()[:-1] + b', "optional": null}',
        written()[:-1] + b', "Critical": {}}',
        written(more=1),
        written().replace(b'"optional"', b'"Optional"'),
        written(optional=[]),
        written(optional={"n": float("nan")}),
        written({**CRITICAL, "more": 1}),
        written({**CRITICAL, "image": {"docker-manifest-digest": DIGEST, "more": 1}}),
        written({**CRITICAL, "image": {"docker-manifest-digest": 1}}),
        written({**CRITICAL, "image": {"Docker-Manifest-Digest": DIGEST}}),
        written({**CRITICAL, "identity": {}}),
        written({**CRITICAL, "identity": "example.com/app:v1"}),
        written({**CRITICAL, "type": COSIGN_TYPE}),
        written(optional={"x": "y" * simplesigning.MOST_PAYLOAD}),
    ],
)
def test_a_payload_that_could_be_read_in_two_ways_is_refused(payload: bytes) -> None:
    with pytest.raises(BadSignature):
        read_claim(payload, OPENPGP_TYPE)


@pytest.mark.parametrize(
    ("asked", "stated", "lax"),
    [
        ("example.com/app:v1", "example.com/app:v1", False),
        ("127.0.0.1:5000/team/app", "127.0.0.1:5000/team/app:latest", False),
        ("nginx:1.27", "docker.io/library/nginx:1.27", False),
        ("docker.io/library/nginx:1.27", "nginx:1.27", False),
        (f"example.com/app@{DIGEST}", "example.com/app:any", False),
        (f"example.com/app@{DIGEST}", f"example.com/app@{DIGEST}", False),
        ("example.com/app:v1", "example.com/app", True),
        (f"example.com/app@{DIGEST}", "example.com/app", True),
        ("nginx", "index.docker.io/library/nginx", True),
    ],
)
def test_a_statement_of_the_image_is_good(asked: str, stated: str, lax: bool) -> None:
    check_claim(Claim(DIGEST, stated), parse_docker(asked), (DIGEST,), may_lack_tag=lax)


@pytest.mark.parametrize(
    ("asked", "stated", "lax"),
    [
        ("example.com/app:v1", "example.com/app:v2", False),
        ("example.com/app:v1", "example.com/app:v2", True),
        ("example.com/app:v1", "example.com/app", False),
        ("example.com/app:latest", "example.com/app", False),
        ("example.com/app:v1", f"example.com/app@{DIGEST}", False),
        ("example.com/app:v1", f"example.com/app:v1@{DIGEST}", False),
        ("example.com/app:v1", "example.com/other:v1", False),
        ("example.com/app:v1", "example.com/app/below:v1", True),
        ("example.com/app:v1", "example.org/app:v1", True),
        ("example.com/app:v1", "example.com:443/app:v1", True),
        (f"example.com/app@{DIGEST}", "example.com/app", False),
        (f"example.com/app@{DIGEST}", "example.com/other:v1", False),
        ("example.com/app:v1", "", True),
        ("example.com/app:v1", "EXAMPLE.com/App:v1", True),
        ("example.com/app:v1", "docker://example.com/app:v1", True),
        ("example.com/app:v1", "example.com/app:", True),
        ("example.com/app:v1", "example.com/app:v1 ", True),
    ],
)
def test_a_statement_of_another_image_is_not(asked: str, stated: str, lax: bool) -> None:
    with pytest.raises(BadSignature, match="it is for the image"):
        check_claim(Claim(DIGEST, stated), parse_docker(asked), (DIGEST,), may_lack_tag=lax)


def test_a_statement_of_another_manifest_is_not() -> None:
    asked = parse_docker("example.com/app:v1")
    check_claim(Claim(DIGEST, "example.com/app:v1"), asked, (OTHER, DIGEST))
    with pytest.raises(BadSignature, match=f"it is for the manifest {DIGEST}.*has sent {OTHER}"):
        check_claim(Claim(DIGEST, "example.com/app:v1"), asked, (OTHER,))
