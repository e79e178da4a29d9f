# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a docker registry: manifests, configuration, layers, and the tokens that they require.

Source: OCI distribution specification; docker registry "Token Authentication Specification"; behaviours B39.
"""

from __future__ import annotations

import hashlib

from ..errors import NotFound, Unreachable, Untrusted
from ..fields import Fields
from . import manifests
from .access import RegistryAccess, schemes_of
from .answer import bad_status
from .http_policy import origin_of
from .manifests import DockerImage
from .transport import BadCertificate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..store.partial import Kept
    from .answer import Answer
    from .convert import DockerConfig
    from .credentials import AskCredentials
    from .manifests import LayerBlob
    from .policy import FetchPolicy
    from .reference import DockerReference
    from .transport import Transport

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
# How many indexes may come between a tag and a manifest.
_MOST_INDEXES = 3
_OK, _UNAUTHORIZED, _NOT_FOUND, _TOO_MANY = 200, 401, 404, 429


class Repository:
    """One repository, and the token for reading it.
    credentials: asked for the headers of the registry when that asks who we are; tokens are asked for with them, too.
    """

    verb = "Downloading"

    def __init__(
        self,
        transport: Transport,
        reference: DockerReference,
        policy: FetchPolicy,
        credentials: AskCredentials,
    ) -> None:
        self._transport = transport
        self._reference = reference
        self._policy = policy
        self._base = ""
        self._access = RegistryAccess(
            transport,
            reference.registry,
            policy,
            lambda: credentials("GET", str(reference)),
            self._refused_login,
        )

    @property
    def registry(self) -> str:
        """The registry that it is in."""
        return self._reference.registry

    def forked(self) -> None:
        """Share no connection with the parent process."""
        self._transport.forked()

    def current_digest(self) -> str:
        """The current digest of the reference, by one HEAD, or by a GET where that does not tell.

        Raises Unreachable, NotFound.
        """
        reference = self._reference
        if reference.digest:
            return reference.digest
        answer = self._ask("HEAD", f"manifests/{reference.tag}", {"Accept": _ACCEPT})
        digest = answer.header("docker-content-digest") if answer.status == _OK else ""
        if answer.status == _TOO_MANY:
            raise self._refusal("the manifest", answer)
        # Some registries refuse HEAD, and some omit the digest: GET shows it.
        return digest if manifests.DIGEST.fullmatch(digest) else self._manifest(reference.tag)[0]

    def image(self, arch: str) -> DockerImage:
        """Read the manifest and the configuration for a platform; arch in appc's spelling.

        Raises Unreachable, NotFound, Untrusted for a wrong digest, Corrupt, Unsupported.
        """
        what = str(self._reference)
        asked_digest, digest, fields, certain = self._manifest_for(arch)
        manifests.check_kind(fields, what)
        config_digest = manifests.config_digest(fields, what)
        config = self._config(config_digest)
        if not certain:
            manifests.check_platform(config, arch, what)
        layers = manifests.layers_of(fields, config, what)
        return DockerImage(self._reference, asked_digest, digest, config_digest, config, layers)

    def _manifest_for(self, arch: str) -> tuple[str, str, Fields, bool]:
        """The digest of the reference, the manifest for a platform, and whether that is certain to be for it."""
        reference, certain = self._reference, True
        asked_digest, fields = self._manifest(reference.digest or reference.tag)
        digest = asked_digest
        for _depth in range(_MOST_INDEXES):
            if not fields.has("manifests"):
                break
            digest, certain = manifests.choose(fields, arch, str(reference))
            digest, fields = self._manifest(digest, f"the manifest {digest}, which its index names,")
        return asked_digest, digest, fields, certain

    def layer(self, layer: LayerBlob, pulse: Callable[[], None], kept: Kept | None = None) -> Iterator[bytes]:
        """Stream a layer as it is sent; the caller checks its digest. Raises Unreachable, NotFound.

        pulse: called whenever bytes arrive. kept: what is there of it. A token that expires on the way is renewed.
        """
        url = f"{self._base}/blobs/{layer.digest}"

        def accept(answer: Answer) -> bool:
            if answer.status == _UNAUTHORIZED:
                self._authenticate(answer)
                return False
            if answer.status != _OK:
                raise self._refusal(f"the layer {layer.digest}", answer)
            return True

        yield from self._transport.stream(
            url, lambda: self._access.headers({}), accept, pulse, by_digest=True, kept=kept
        )

    def find(self, path: str, accept: str = "", missing: tuple[int, ...] = (_NOT_FOUND,)) -> Answer | None:
        """A document of the repository, such as a signature, or None where the registry has nothing there.

        path: in the repository; from the root of the server if it begins with a slash. missing: the statuses that mean
        that. The caller checks the digest. Raises Unreachable.
        """
        answer = self._ask("GET", path, {"Accept": accept} if accept else {})
        if answer.status in missing:
            return None
        if answer.status != _OK:
            raise self._bad_status(answer)
        return answer

    def _manifest(self, name: str, what: str = "") -> tuple[str, Fields]:
        """The digest and content of a manifest or an index, by tag or digest. what: a part of the image, for errors."""
        answer = self._get(what, f"manifests/{name}", {"Accept": _ACCEPT})
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if manifests.DIGEST.fullmatch(name) and name != digest:
            raise Untrusted(f"the manifest {name} of {self._reference} has another digest: {digest}")
        return digest, manifests.read_manifest(answer.body, str(self._reference))

    def _config(self, digest: str) -> DockerConfig:
        answer = self._get(f"the configuration {digest}", f"blobs/{digest}", {})
        actual = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if actual != digest:
            raise Untrusted(f"the configuration {digest} of {self._reference} has another digest: {actual}")
        return manifests.read_config(answer.body, str(self._reference))

    def _get(self, what: str, path: str, headers: dict[str, str]) -> Answer:
        answer = self._ask("GET", path, headers)
        if answer.status != _OK:
            raise self._refusal(what, answer)
        return answer

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        """The registry's answer after authentication, whatever the status is."""
        answer = self._try_schemes(method, path, headers)
        if answer.status == _UNAUTHORIZED:
            self._authenticate(answer)
            answer = self._send(method, _joined(self._base, path), headers)
        return answer

    def _refusal(self, what: str, answer: Answer) -> Unreachable | NotFound:
        """The error for a status. what: the part of the image that was requested, "" for the image itself."""
        if answer.status != _NOT_FOUND:
            return self._bad_status(answer)
        if what:
            return NotFound(
                f"{what} of {self._reference} is not in the registry: bad HTTP status code: 404",
                "the image there is incomplete: push it again",
            )
        return NotFound(
            f"{self._reference} is not in its registry: bad HTTP status code: 404", "check name and tag"
        )

    def _is_own(self, answer: Answer) -> bool:
        """Whether the registry itself answered, not a server that it redirects to."""
        return origin_of(answer.url) == origin_of(self._base)

    def _bad_status(self, answer: Answer) -> Unreachable:
        if self._is_own(answer):
            return self._refused_login(answer)
        where = f"the registry {self._reference.registry} redirects there"
        return bad_status(answer.url, answer.status, f"{where}, and credentials are for the registry alone")

    def _refused_login(self, answer: Answer) -> Unreachable:
        hint = f"check the name, and the dockerAuth document for {self._reference.registry} in auth.d"
        return bad_status(answer.url, answer.status, hint)

    def _try_schemes(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        """Send a request; the first one finds out whether the registry speaks TLS, if plain HTTP is allowed at all."""
        if self._base:
            return self._send(method, _joined(self._base, path), headers)
        failures: list[Unreachable] = []
        for scheme in schemes_of(self._reference.registry, self._policy):
            base = f"{scheme}://{self._reference.registry}/v2/{self._reference.repository}"
            try:
                answer = self._send(method, _joined(base, path), headers)
            except Unreachable as err:
                failures.append(err)
                continue
            if answer.status != 400:
                self._base = base
                return answer
            # This is how Go's server answers a plain request when it expects TLS.
            failures.append(bad_status(_joined(base, path), 400))
        # The failure with TLS says little about a server without it, unless it has presented a certificate.
        raise next((err for err in failures if isinstance(err, BadCertificate)), failures[0])

    def _send(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        send = self._transport.get if method == "GET" else self._transport.head
        return send(url, self._access.headers(headers))

    def _authenticate(self, answer: Answer) -> None:
        """Answer a challenge with the configured credentials for this registry.

        Raises Unreachable for a challenge of a server that the registry redirects to, which could choose where they go.
        """
        if not self._is_own(answer):
            raise self._bad_status(answer)
        pull = f"repository:{self._reference.repository}:pull"
        self._access.answer(answer, lambda asked: asked or pull)


def _joined(base: str, path: str) -> str:
    """The URL of a path, see Repository.find."""
    return f"{base.partition('/v2/')[0]}{path}" if path.startswith("/") else f"{base}/{path}"
