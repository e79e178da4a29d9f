# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of docker images: where they are, and whether one of them satisfies a policy.

Those by OpenPGP are in a directory beside the registry, or come by an extension of it; those of cosign are in the
repository. A signature that is not good is no reason to refuse the image as long as another one is.
Source: containers/image, docs/signature-protocols.md and docs/containers-registries.d.5.md; OCI distribution
specification, "Listing Referrers".
"""

from __future__ import annotations

import binascii
import hashlib
import itertools

from ..contexts import contextmanager, suppress
from ..errors import Corrupt, HostFailure, InvalidSpec, Untrusted, few, first_of
from ..fields import Fields, parse_json
from ..host.reading import read_bytes
from . import cosign, publickeys
from .answer import bad_status
from .docker import INDEXES, MANIFESTS
from .openpgp import grouped
from .reference import unescape
from .signedmessage import MOST_MESSAGE, content_of
from .simplesigning import COSIGN_TYPE, OPENPGP_TYPE, BadSignature, check_claim, full_name, read_claim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .job import FetchJob
    from .policies import ImagePolicy
    from .publickeys import VerifyingKey
    from .reference import DockerReference
    from .transport import Transport

_MOST_MESSAGES = 64
_OK, _MISSING = 200, (404, 410)
# What registries without the API answer: an unknown path, or one that cannot be a digest.
_NO_REFERRERS = (400, 404, 405)
_EXTENSION = "x-registry-supports-signatures"
_FILE = "file://"
_MANIFEST, _INDEX = ", ".join(MANIFESTS), ", ".join(INDEXES)
_MOST_REASONS = 4


def signer_of(
    job: FetchJob, reference: DockerReference, policy: ImagePolicy, digests: tuple[str, ...]
) -> str:
    """The fingerprint of the key of a policy that has signed an image; sends requests for its signatures.

    digests: of what the registry has sent for the reference: of the manifest or index that was asked for, then of the
    manifest that it leads to. Raises Untrusted with the reasons and the keys that would be needed, Unreachable,
    Unsupported, HostFailure.
    """
    return _SignatureSearch(job, reference, policy, digests).signer()


class _SignatureSearch:
    """The signatures of one image. reasons: why those so far are not good."""

    def __init__(
        self, job: FetchJob, reference: DockerReference, policy: ImagePolicy, digests: tuple[str, ...]
    ) -> None:
        self._job = job
        self._reference = reference
        self._policy = policy
        self._digests = digests
        self._repository = job.repository(reference)
        self._reasons: list[str] = []
        self._blobs: dict[str, bytes | None] = {}
        self._sessions: list[Transport] = []

    def signer(self) -> str:
        """See signer_of."""
        keys = self._policy.keys
        found = (self._by_openpgp() if keys.openpgp else "") or (self._by_cosign() if keys.cosign else "")
        if not found:
            raise self._refusal()
        return found

    def _by_openpgp(self) -> str:
        for message in self._messages():
            with self._noting():
                content, fingerprint = content_of(self._policy.keys.openpgp, message)
                check_claim(read_claim(content, OPENPGP_TYPE), self._reference, self._digests)
                return fingerprint
        return ""

    def _by_cosign(self) -> str:
        for digest in self._digests:
            found = self._by_attached(digest) or self._by_bundles(digest)
            if found:
                return found
        return ""

    def _by_attached(self, digest: str) -> str:
        for attached in self._attached(digest):
            payload = self._blob(attached.digest)
            key = self._key_of(payload, attached.signature) if payload is not None else None
            if key and payload is not None:
                with self._noting():
                    claim = read_claim(payload, COSIGN_TYPE)
                    check_claim(claim, self._reference, self._digests, may_lack_tag=True)
                    return key.fingerprint
        return ""

    def _by_bundles(self, digest: str) -> str:
        for bundle in self._bundles(digest):
            with self._noting():
                envelope = cosign.read_bundle(bundle)
                for signature in envelope.signatures:
                    key = self._key_of(envelope.signed_bytes, signature)
                    if key:
                        cosign.check_statement(envelope.payload, self._digests)
                        return key.fingerprint
        return ""

    # --- by OpenPGP ---

    def _messages(self) -> Iterator[bytes]:
        for digest in self._digests:
            if self._policy.lookaside:
                yield from self._beside(digest)
            else:
                yield from self._by_extension(digest)

    def _beside(self, digest: str) -> Iterator[bytes]:
        """The signatures in the directory of a policy, which are numbered from 1 on."""
        kind, _colon, digits = digest.partition(":")
        place = f"{self._policy.lookaside.rstrip('/')}/{self._reference.repository}@{kind}={digits}"
        for number in range(1, _MOST_MESSAGES + 1):
            url = f"{place}/signature-{number}"
            message = self._read(url[len(_FILE) :]) if url.startswith(_FILE) else self._downloaded(url)
            if message is None:
                return
            yield message

    def _read(self, path: str) -> bytes | None:
        path = unescape(path)
        try:
            return read_bytes(path, MOST_MESSAGE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Corrupt as err:
            self._reasons.append(err.message)
            return b""
        except OSError as err:
            raise HostFailure.of(f"cannot read the signature {path}", err) from err

    def _downloaded(self, url: str) -> bytes | None:
        answer = self._beside_transport().get(url, self._job.credentials("GET", url))
        if answer.status in _MISSING:
            return None
        if answer.status != _OK:
            raise bad_status(answer.url, answer.status, "check the auth document for its host in auth.d")
        return answer.body

    def _beside_transport(self) -> Transport:
        """The session for the directory, whose host the policy names."""
        if not self._sessions:
            self._sessions.append(self._job.transport_of_its_own())
        return self._sessions[0]

    def _by_extension(self, digest: str) -> Iterator[bytes]:
        """The signatures that an extension of the registry has, if it says that it has one."""
        greeting = self._repository.find("/v2/")
        if greeting is None or greeting.header(_EXTENSION) != "1":
            return
        answer = self._repository.find(f"/extensions/v2/{self._reference.repository}/signatures/{digest}")
        for fields in _documents(answer.body if answer else b"", "signatures"):
            with suppress(InvalidSpec, ValueError):
                if fields.integer("schemaVersion") == 2 and fields.text("type") == "atomic":
                    yield binascii.a2b_base64(fields.text("content"))

    # --- by cosign ---

    def _attached(self, digest: str) -> tuple[cosign.Attached, ...]:
        manifest = self._document(f"manifests/{cosign.signature_tag(digest)}", _MANIFEST)
        return cosign.attached(manifest) if manifest else ()

    def _bundles(self, digest: str) -> Iterator[bytes]:
        index = self._document(f"referrers/{digest}", _INDEX, _NO_REFERRERS)
        if index is None:
            index = self._document(f"manifests/{cosign.referrers_tag(digest)}", _INDEX)
        for name in cosign.bundle_manifests(index) if index else ():
            manifest = self._document(f"manifests/{name}", _MANIFEST)
            blob = cosign.bundle_blob(manifest) if manifest else ""
            bundle = self._blob(blob) if blob else None
            if bundle is not None:
                yield bundle

    def _key_of(self, data: bytes, signature: bytes) -> VerifyingKey | None:
        for key in self._policy.keys.cosign:
            if publickeys.is_signed(key, signature, data):
                return key
        self._reasons.append("a signature of cosign is by another key, or of other content")
        return None

    def _document(self, path: str, accept: str, missing: tuple[int, ...] = _MISSING) -> Fields | None:
        """A manifest or an index. Its digest is not checked: what counts is what is signed."""
        answer = self._repository.find(path, accept, missing)
        if answer is None:
            return None
        try:
            return Fields(parse_json(answer.body, "it"), "manifest")
        except InvalidSpec as err:
            self._reasons.append(f"what the registry has of signatures is not valid: {err}")
            return None

    def _blob(self, digest: str) -> bytes | None:
        """A blob by its digest; many signatures are of one payload, which is downloaded once."""
        if digest not in self._blobs:
            answer = self._repository.find(f"blobs/{digest}")
            body = answer.body if answer else None
            if body is None or f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
                self._reasons.append(f"the blob {digest} of a signature is missing, or has another digest")
                body = None
            self._blobs[digest] = body
        return self._blobs[digest]

    # --- the verdict ---

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note why a signature is not good, and go on."""
        try:
            yield
        except BadSignature as err:
            self._reasons.append(str(err))

    def _refusal(self) -> Untrusted:
        policy = self._policy
        keys = [grouped(key.fingerprint) for key in policy.keys.openpgp]
        keys += [f"sha256:{key.fingerprint}" for key in policy.keys.cosign]
        reasons = few(tuple(dict.fromkeys(self._reasons)), _MOST_REASONS)
        return Untrusted(
            f"cannot verify {self._reference}: the policy for {policy.prefix or 'all images'} needs a signature by "
            f"{first_of(keys, 4)}, and {self._found(reasons)}",
            "ask for a signature by that key of this image under this name; policies and their keys are written by the "
            "module pod_trust and by podctl trust",
            image=full_name(self._reference),
            prefix=policy.prefix,
            trusted=list(policy.keys.fingerprints),
            reasons=reasons,
        )

    def _found(self, reasons: list[str]) -> str:
        if reasons:
            return f"no signature is good: {'; '.join(reasons)}"
        if self._policy.keys.openpgp and not self._policy.lookaside and not self._policy.keys.cosign:
            return "the registry has none: signatures beside it need the option lookaside"
        return "there is none"


def _documents(data: bytes, name: str) -> Iterator[Fields]:
    """The objects in a list of a document; none where it is not valid."""
    with suppress(InvalidSpec):
        yield from itertools.islice(Fields(parse_json(data, "it"), "").each(name), _MOST_MESSAGES)
