# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifier of ACIs: a trusted key has signed the file that was sent. Source: behaviours B24 to B28."""

from __future__ import annotations

from ..errors import Corrupt, PodError, Unreachable, Untrusted, printable, reason_of
from . import keysource, keystore, signature
from .answer import bad_status
from .openpgp import MOST_SIGNATURES
from .reference import as_docker, shown
from .sources.source import Verifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .job import FetchJob
    from .policy import FetchPolicy
    from .sources.source import Received, Source
    from .transport import Transport

_SCHEMES = ("http://", "https://")
_OK, _DEFERRED = 200, 202
# The server does not have it, and does not have it elsewhere.
_MISSING = (404, 410)


class Signed(Verifier):
    """A detached signature decides. It comes before the image, unless its server asks for the image first (B25, B26).

    policy: says where it is, see FetchPolicy, and whether keys may be discovered.
    """

    keeps_sent = True

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._given = policy.signature
        self._signature: bytes | None = None
        self._place = ""

    def foresee(self, source: Source) -> None:
        """Refuse an image whose signature should be in a file and is not, or that no key may sign."""
        place = self._place_of(source)
        if place and not _is_url(place):
            _read(source, place)
        name = "" if source.is_at_hand or self._policy.may_find_keys else source.known_name()
        if name and not keystore.trusted_for(source.host.paths, name):
            raise _without_keys(source, name)
        if not self._policy.may_find_keys and keystore.is_empty(source.host.paths):
            raise _without_any_key(source)

    def predict(self, source: Source) -> None:
        """Verify an archive that is at hand with its signature; of one that is sent later, whose signature it is."""
        archive, place = source.archive_at_hand(), self._place_of(source)
        name = source.known_name() if place and not _is_url(place) else ""
        if name and archive:
            signature.foresee(source.host.paths, name, archive, _read(source, place))
        elif name and not self._policy.may_find_keys:
            signature.check_signer(source.host.paths, name, _read(source, place))

    def announced(self, job: FetchJob, source: Source, _digests: tuple[str, ...]) -> None:
        """Get the signature, and refuse one by a key that is not trusted for the image, where its name is known."""
        self._place = self._place_of(source)
        name = "" if source.is_at_hand else source.known_name()
        if name and self._policy.may_find_keys:
            keysource.trust_discovered(job.host, name, self._policy, job.progress)
        if not _is_url(self._place):
            self._signature = _read(source, self._place)
        else:
            self._signature = self._downloaded(job, source)
            if self._signature is None:
                job.progress("server requested deferring the signature download")
        if name and self._signature is not None:
            signature.check_signer(source.host.paths, name, self._signature)

    def verify(self, job: FetchJob, source: Source, received: Received) -> str:
        """Ask for a deferred signature again; then verify, and tell whose signature it is."""
        found = self._signature
        if found is None:
            found = self._downloaded(job, source)
        if found is None:
            raise Unreachable(
                f"error downloading the signature file: the server has deferred {shown(self._place)} twice, and "
                "the image has come already",
                "try again later",
                url=shown(self._place),
                status=_DEFERRED,
            )
        incoming = received.incoming
        name, sent = str(incoming.manifest.name), incoming.workspace.sent
        signer = signature.verify(source.host.paths, name, sent, found)
        source.check_manifest(incoming.manifest)
        job.progress("signature verified:")
        for identity in signer.identities:
            job.progress(f"  {printable(identity)}")
        return signer.fingerprint

    def _downloaded(self, job: FetchJob, source: Source) -> bytes | None:
        transport = job.transport_of_its_own() if self._given else job.transport()
        return _download(job, transport, source, self._place)

    def _place_of(self, source: Source) -> str:
        return self._given or source.signature_place()


def _is_url(place: str) -> bool:
    return place.lower().startswith(_SCHEMES)


def _read(source: Source, path: str) -> bytes:
    """The content of a signature file. Raises Untrusted without one that can be read."""
    try:
        return source.read_signature(path)
    except (OSError, Corrupt) as err:
        reason = reason_of(err) if isinstance(err, OSError) else err.message
        raise _missing(source, f"error opening signature file {path}: {reason}") from err


def _download(job: FetchJob, transport: Transport, source: Source, url: str) -> bytes | None:
    """The signature at a URL, None if its server defers it. Raises Untrusted if it has none, Unreachable."""
    job.progress.announce("Downloading signature")
    download = job.progress.transfer("signature")
    try:
        answer = transport.get(url, job.credentials("GET", url), MOST_SIGNATURES)
    except PodError as err:
        err.message = f"error downloading the signature file: {err.message}"
        raise
    if answer.status == _DEFERRED:
        return None
    if answer.status == _OK:
        download.begins(len(answer.body), 0)
        download.has(len(answer.body))
        download.ends()
        return answer.body
    bad = bad_status(answer.url, answer.status, "check the auth document for its host in auth.d")
    message = f"error downloading the signature file: {bad.message}"
    if answer.status in _MISSING:
        raise _missing(source, message, answer.status)
    raise Unreachable(message, bad.hint, **bad.facts)


def _without_keys(source: Source, name: str) -> Untrusted:
    written = as_docker(str(source.reference))
    return Untrusted(
        f"cannot verify {name}: no key is trusted for it",
        (f"for an image of a docker registry write {written}; " if written else "")
        + f"podctl trust --prefix={name} finds its keys and asks, the module pod_trust has those that you name; or say "
        "insecure_options: image (--insecure-options=image), if the source of the image is to be trusted",
        image=name,
    )


def _without_any_key(source: Source) -> Untrusted:
    return Untrusted(
        f"cannot verify {source.reference}: no key is trusted on this host (try --insecure-options=image)",
        "trust its maker's key with the module pod_trust, or say insecure_options: image, if its source is to be "
        "trusted",
    )


def _missing(source: Source, message: str, status: int = 0) -> Untrusted:
    """The error for an image without a signature, whose hint has the keys that could make one."""
    name = source.known_name()
    keys = f"{signature.trusted_text(name, keystore.trusted_for(source.host.paths, name))}; " if name else ""
    return Untrusted(
        f"cannot verify {source.reference}: {message} (try --insecure-options=image)",
        f"{keys}put the signature there, or say insecure_options: image, "
        "if the source of the image is to be trusted",
        **({"image": name} if name else {}),
        **({"status": status} if status else {}),
    )
