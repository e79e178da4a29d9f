# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Signatures of cosign as registries keep them."""

from __future__ import annotations

import base64
import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image import cosign
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.publickeys import (
    is_signed,
    read_pem,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.simplesigning import (
    BadSignature,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.cosignlab import (
    BUNDLE,
    SIGN,
    CosignKey,
    statement,
)

DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "ab")


def layer(signature: object = "c2ln", **members: object) -> dict[str, object]:
    return {
        "mediaType": cosign.PAYLOAD,
        "digest": DIGEST,
        "size": 1,
        "annotations": {"dev.cosignproject.cosign/signature": signature},
        **members,
    }


def test_tags_are_those_of_the_digest() -> None:
    assert cosign.signature_tag(DIGEST) == f"sha256-{'a' * 64}.sig"
    assert cosign.referrers_tag(DIGEST) == f"sha256-{'a' * 64}"


def test_attached_signatures_are_read_the_newest_first_and_others_left_out() -> None:
    layers = [
        layer(),
        layer(mediaType="application/vnd.oci.image.layer.v1.tar"),
        layer(digest="sha512:1"),
        layer("no base64!"),
        layer(annotations={}),
        layer(annotations=[]),
        layer("bmV3", digest=OTHER),
    ]
    found = cosign.attached(Fields({"layers": layers}, "manifest"))
    assert found == (cosign.Attached(OTHER, b"new"), cosign.Attached(DIGEST, b"sig"))
    assert cosign.attached(Fields({"layers": 1}, "manifest")) == ()
    assert len(cosign.attached(Fields({"layers": [layer()] * 1000}, "manifest"))) == cosign.MOST


def test_bundles_are_among_the_referrers() -> None:
    index = {
        "manifests": [
            {"artifactType": BUNDLE, "digest": DIGEST},
            {"artifactType": "application/spdx+json", "digest": OTHER},
            {"artifactType": BUNDLE, "digest": "no digest"},
            {"artifactType": BUNDLE, "digest": OTHER},
        ]
    }
    assert cosign.bundle_manifests(Fields(index, "index")) == (OTHER, DIGEST)
    manifest = {"layers": [{"mediaType": "x", "digest": OTHER}, {"mediaType": BUNDLE, "digest": DIGEST}]}
    assert cosign.bundle_blob(Fields(manifest, "manifest")) == DIGEST
    assert cosign.bundle_blob(Fields({}, "manifest")) == ""


@pytest.mark.parametrize("kind", ["P-256", "ed25519"])
def test_a_bundle_is_signed_and_of_its_manifest(tmp_path: pathlib.Path, kind: str) -> None:
    key = CosignKey(tmp_path, kind=kind)
    envelope = cosign.read_bundle(key.bundle(DIGEST))
    (public,) = read_pem(key.public, "it")
    assert is_signed(public, envelope.signatures[0], envelope.signed_bytes)
    cosign.check_statement(envelope.payload, (OTHER, DIGEST))
    with pytest.raises(BadSignature, match=f"it is for the manifest {DIGEST}"):
        cosign.check_statement(envelope.payload, (OTHER,))


def test_an_attestation_is_no_signature_of_an_image() -> None:
    with pytest.raises(BadSignature, match="is an attestation of the type"):
        cosign.check_statement(statement(DIGEST, "https://spdx.dev/Document"), (DIGEST,))


@pytest.mark.parametrize(
    "text",
    [
        statement(DIGEST).replace(b"/Statement/v1", b"/Statement/v9"),
        statement(DIGEST)[:-1] + b', "subject": []}',
        statement(DIGEST).replace(b'"subject"', b'"Subject"'),
        statement(DIGEST).replace(b"sha256", b"sha1"),
        json.dumps(
            {"_type": "https://in-toto.io/Statement/v1", "predicateType": SIGN, "subject": [1]}
        ).encode(),
        b"[]",
    ],
)
def test_a_statement_that_is_not_of_the_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(BadSignature):
        cosign.check_statement(text, (DIGEST,))


GOOD = {
    "mediaType": BUNDLE,
    "dsseEnvelope": {
        "payload": "e30=",
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "c2ln"}],
    },
}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.1"),
        ("dsseEnvelope", None),
        ("dsseEnvelope.payloadType", "text/plain"),
        ("dsseEnvelope.payload", "!"),
        ("dsseEnvelope.payload", 1),
        ("dsseEnvelope.signatures", []),
        ("dsseEnvelope.signatures", [{"sig": "c2ln"}] * 100),
        ("dsseEnvelope.signatures", [{}]),
        ("dsseEnvelope.signatures", [{"sig": base64.b64encode(bytes(5000)).decode()}]),
    ],
)
def test_a_bundle_of_another_form_is_refused(place: str, value: object) -> None:
    cosign.read_bundle(json.dumps(GOOD).encode())
    changed = json.loads(json.dumps(GOOD))
    *outer, name = place.split(".")
    (changed[outer[0]] if outer else changed)[name] = value
    with pytest.raises(BadSignature):
        cosign.read_bundle(json.dumps(changed).encode())
