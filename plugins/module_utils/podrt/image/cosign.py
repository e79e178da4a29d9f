# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of cosign with a pair of keys, as registries keep them, in both forms. Pure.

attached: the tag sha256-DIGEST.sig is a manifest whose layers are payloads, each with its signature as an annotation.
bundles: cosign 3 has the referrers of a manifest name documents with a signed statement of in-toto in them. Such a
statement has the digest of the manifest, but no name of an image.
Source: sigstore/cosign, specs/SIGNATURE_SPEC.md and specs/BUNDLE_SPEC.md; secure-systems-lab/dsse, protocol.md.
"""

from __future__ import annotations

from ..contexts import suppress
from ..errors import InvalidSpec, printable
from ..fields import Fields
from ..value import Value
from . import manifests
from .simplesigning import BadSignature, members

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
# How many signatures of one image are tried.
MOST = 64
_SIGNATURE = "dev.cosignproject.cosign/signature"
_STATEMENT = "application/vnd.in-toto+json"
_STATEMENT_TYPES = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
# An attestation, such as a bill of materials, is signed by the same key and consents to nothing.
_PREDICATE = "https://sigstore.dev/cosign/sign/v1"
_LONGEST_SIGNATURE = 1024


class Attached(Value):
    """A signature beside its payload. digest: of the blob that is the payload."""

    digest: str
    signature: bytes


class Envelope(Value):
    """A signed document. payload: the statement. signatures: of all that a key signs, see signed_bytes."""

    payload: bytes
    signatures: tuple[bytes, ...]

    @property
    def signed_bytes(self) -> bytes:
        """What the signatures are of. Source: dsse, protocol.md."""
        kind = _STATEMENT.encode()
        return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(self.payload), self.payload)


def signature_tag(digest: str) -> str:
    """The tag of the signatures that are attached to a manifest."""
    return f"{digest.replace(':', '-')}.sig"


def referrers_tag(digest: str) -> str:
    """The tag of the referrers of a manifest, in registries without that API."""
    return digest.replace(":", "-")


def attached(manifest: Fields) -> tuple[Attached, ...]:
    """The signatures of a manifest with payloads, the newest first. What is no signature is left out."""
    found = []
    with suppress(InvalidSpec):
        for fields in manifest.each("layers"):
            with suppress(InvalidSpec, BadSignature):
                if fields.text("mediaType", "") == PAYLOAD:
                    annotations = dict(fields.pairs("annotations"))
                    found.append(Attached(_digest(fields), _decoded(annotations.get(_SIGNATURE, ""))))
    return tuple(reversed(found))[:MOST]


def bundle_manifests(referrers: Fields) -> tuple[str, ...]:
    """The digests of the manifests that hold bundles, of an index of referrers."""
    found = []
    with suppress(InvalidSpec):
        for fields in referrers.each("manifests"):
            with suppress(InvalidSpec):
                if fields.text("artifactType", "") == BUNDLE:
                    found.append(_digest(fields))
    return tuple(dict.fromkeys(reversed(found)))[:MOST]


def bundle_blob(manifest: Fields) -> str:
    """The digest of the bundle of such a manifest, "" if it has none."""
    with suppress(InvalidSpec):
        for fields in manifest.each("layers"):
            if fields.text("mediaType", "") == BUNDLE:
                return _digest(fields)
    return ""


def read_bundle(data: bytes) -> Envelope:
    """Read a bundle. Raises BadSignature."""
    bundle = members(data, "the bundle")
    kind, envelope = bundle.get("mediaType"), bundle.get("dsseEnvelope")
    if kind != BUNDLE:
        raise BadSignature("the bundle is of another version")
    if not isinstance(envelope, dict) or envelope.get("payloadType") != _STATEMENT:
        raise BadSignature("the bundle has no statement of in-toto")
    listed = envelope.get("signatures")
    signatures = (
        [each.get("sig") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    if not signatures or len(signatures) > MOST:
        raise BadSignature("the bundle has no signature, or too many")
    return Envelope(_decoded(envelope.get("payload"), 1 << 20), tuple(map(_decoded, signatures)))


def check_statement(payload: bytes, digests: tuple[str, ...]) -> None:
    """Raise BadSignature unless a signed statement says that one of these manifests is signed."""
    statement = members(payload, "the statement")
    if statement.get("_type") not in _STATEMENT_TYPES:
        raise BadSignature("the bundle has no statement of in-toto")
    if statement.get("predicateType") != _PREDICATE:
        raise BadSignature(
            f"it is an attestation of the type {printable(str(statement.get('predicateType'))[:200])}, which "
            "says nothing about trust"
        )
    subjects = statement.get("subject")
    found = [_subject(each) for each in subjects] if isinstance(subjects, list) else []
    if not set(found) & set(digests):
        named = printable(next(filter(None, found), "no manifest at all")[:200])
        raise BadSignature(
            f"it is for the manifest {named}, and the registry has sent {' in '.join(reversed(digests))}"
        )


def _subject(value: object) -> str:
    digest = value.get("digest") if isinstance(value, dict) else None
    found = digest.get("sha256") if isinstance(digest, dict) else None
    return f"sha256:{found}" if isinstance(found, str) else ""


def _digest(fields: Fields) -> str:
    digest = fields.text("digest")
    if not manifests.DIGEST.fullmatch(digest):
        raise InvalidSpec("it is not a digest", where=fields.where_of("digest"))
    return digest


def _decoded(text: object, most: int = _LONGEST_SIGNATURE) -> bytes:
    """The bytes of base64. Raises BadSignature."""
    import base64

    try:
        if not isinstance(text, str) or not text or len(text) > most * 2:
            raise ValueError("it is no text of that length")
        return base64.b64decode(text, validate=True)
    except ValueError as err:
        raise BadSignature("its signature is not valid base64") from err
