# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Keys of cosign that openssl makes, and what they sign by its specifications; skopeo of Debian does not."""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import subprocess

STATEMENT = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"


def openssl(*words: str, stdin: bytes = b"") -> bytes:
    """The output of openssl."""
    return subprocess.run(
        ["openssl", *words], input=stdin, capture_output=True, check=True, timeout=60
    ).stdout


class CosignKey:
    """A pair of keys in a directory. kind: P-256, ed25519, or another one of openssl genpkey."""

    def __init__(self, folder: pathlib.Path, name: str = "cosign", kind: str = "P-256") -> None:
        self.private = folder / f"{name}.pem"
        self.kind = kind
        curve = ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}"]
        openssl(
            "genpkey", *(curve if kind.startswith("P-") else ["-algorithm", kind]), "-out", str(self.private)
        )
        self.public = openssl("pkey", "-in", str(self.private), "-pubout")
        der = openssl("pkey", "-in", str(self.private), "-pubout", "-outform", "DER")
        self.fingerprint = hashlib.sha256(der).hexdigest()

    def sign(self, data: bytes) -> bytes:
        """A signature as cosign makes it."""
        if self.kind.startswith("P-"):
            return openssl("dgst", "-sha256", "-sign", str(self.private), stdin=data)
        path = self.private.with_suffix(".data")
        path.write_bytes(data)
        return openssl("pkeyutl", "-sign", "-inkey", str(self.private), "-rawin", "-in", str(path))

    def envelope(self, statement: bytes, kind: str = STATEMENT) -> dict[str, object]:
        """A statement in an envelope with its signature."""
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(statement), statement)
        signature = base64.b64encode(self.sign(signed)).decode()
        return {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": kind,
            "signatures": [{"sig": signature}],
        }

    def bundle(self, digest: str, predicate: str = SIGN) -> bytes:
        """The bundle that cosign 3 makes of a manifest."""
        envelope = self.envelope(statement(digest, predicate))
        return json.dumps(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": {"publicKey": {"hint": "none"}, "tlogEntries": []},
                "dsseEnvelope": envelope,
            }
        ).encode()


def statement(digest: str, predicate: str = SIGN) -> bytes:
    """The statement of in-toto that cosign 3 signs."""
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": digest.partition(":")[2]}}],
            "predicateType": predicate,
            "predicate": {},
        }
    ).encode()


def payload(digest: str, reference: str, kind: str = "cosign container image signature") -> bytes:
    """A payload of simple signing."""
    return json.dumps(
        {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest},
                "type": kind,
            },
            "optional": None,
        }
    ).encode()
