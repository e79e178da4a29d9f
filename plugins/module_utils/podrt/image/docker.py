# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository in a docker registry: manifests, configuration, layers, and the tokens that they cost.

Source: OCI distribution specification; docker registry "Token Authentication Specification"; behaviours B39.
"""

from __future__ import annotations

import hashlib
import re

from ..appc.fields import Fields, parse_json
from ..errors import Corrupt, InvalidSpec, NotFound, Unreachable, Unsupported, Untrusted
from ..value import Value
from .convert import PLATFORMS, DockerConfig
from .reference import escape
from .transport import bad_status, basic, is_loopback, refuse_plain_http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .policy import FetchPolicy
    from .reference import DockerReference
    from .transport import Answer, Credentials, Transport

_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT = ", ".join((*_MANIFESTS, *_INDEXES))
_PARAMETER = re.compile(r'([A-Za-z]+)="([^"]*)"')
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class LayerBlob(Value):
    """A layer as the registry has it. digest and size of what is sent; diff_id of what is in it."""

    digest: str
    size: int
    diff_id: str


class DockerImage(Value):
    """An image of one platform. asked_digest: of what the tag stood for, which may be an index. Bottom layer first."""

    asked_digest: str
    digest: str
    config_digest: str
    config: DockerConfig
    layers: tuple[LayerBlob, ...]


class Repository:
    """One repository, and the token for reading it. Threads may share it."""

    def __init__(
        self, transport: Transport, reference: DockerReference, policy: FetchPolicy, credentials: Credentials
    ) -> None:
        self._transport = transport
        self._reference = reference
        self._policy = policy
        self._credentials = credentials
        self._base = ""
        self._authorization = ""

    def current_digest(self) -> str:
        """The digest that the reference stands for now: one HEAD. Raises Unreachable, NotFound."""
        reference = self._reference
        if reference.digest:
            return reference.digest
        answer = self._ask("HEAD", f"manifests/{reference.tag}", {"Accept": _ACCEPT})
        found = answer.header("docker-content-digest")
        return found if _DIGEST.fullmatch(found) else self._manifest(reference.tag)[0]

    def image(self, arch: str) -> DockerImage:
        """Read the manifest and the configuration for a platform; arch in appc's spelling.

        Raises Unreachable, NotFound, Untrusted for a wrong digest, Corrupt, Unsupported.
        """
        reference = self._reference
        asked_digest, fields = self._manifest(reference.digest or reference.tag)
        digest = asked_digest
        if fields.has("manifests"):
            digest, fields = self._manifest(_choose(fields, arch, str(reference)))
        if not fields.has("layers") or not fields.has("config"):
            raise Unsupported(
                f"cannot read {reference}: its manifest is of an old or unknown kind", "push it again"
            )
        config_digest = _digest(Fields(fields.raw("config"), "config"))
        config = self._config(config_digest)
        return DockerImage(
            asked_digest, digest, config_digest, config, _layers(fields, config, str(reference))
        )

    def layer(self, layer: LayerBlob) -> Iterator[bytes]:
        """Stream a layer as it is sent; its digest is the caller's to check. Raises Unreachable."""
        url = f"{self._base}/blobs/{layer.digest}"
        try:
            yield from self._transport.stream(url, self._headers({}), lambda answer: _expect_ok(url, answer))
        except _Challenged as challenge:
            self._authenticate(url, challenge.answer)
            yield from self._transport.stream(
                url, self._headers({}), lambda answer: _expect_success(url, answer)
            )

    def _manifest(self, name: str) -> tuple[str, Fields]:
        """A manifest or an index by tag or digest, and its digest."""
        answer = self._ask("GET", f"manifests/{name}", {"Accept": _ACCEPT})
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if _DIGEST.fullmatch(name) and name != digest:
            raise Untrusted(f"the manifest {name} of {self._reference} has another digest: {digest}")
        try:
            return digest, Fields(parse_json(answer.body, "it"), "manifest")
        except InvalidSpec as err:
            raise Corrupt(f"the manifest of {self._reference} is not valid: {err}") from err

    def _config(self, digest: str) -> DockerConfig:
        answer = self._ask("GET", f"blobs/{digest}", {})
        found = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        if found != digest:
            raise Untrusted(f"the configuration {digest} of {self._reference} has another digest: {found}")
        try:
            return DockerConfig.from_json(parse_json(answer.body, "it"))
        except InvalidSpec as err:
            raise Corrupt(f"the configuration of {self._reference} is not valid: {err}") from err

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        answer = self._try_schemes(method, path, headers)
        url = f"{self._base}/{path}"
        if answer.status == 401:
            self._authenticate(url, answer)
            answer = self._send(method, url, headers)
        if answer.status == 404:
            raise NotFound(
                f"{self._reference} is not in its registry: bad HTTP status code: 404", "check name and tag"
            )
        if answer.status != 200:
            raise bad_status(url, answer.status)
        return answer

    def _try_schemes(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        """The first request finds out whether the registry speaks TLS, where plain HTTP is allowed at all."""
        if self._base:
            return self._send(method, f"{self._base}/{path}", headers)
        schemes = _schemes(self._reference.registry, self._policy)
        for scheme in schemes:
            base = f"{scheme}://{self._reference.registry}/v2/{self._reference.repository}"
            try:
                answer = self._send(method, f"{base}/{path}", headers)
            except Unreachable:
                if scheme == schemes[-1]:
                    raise
                continue
            # Status 400 is how a server of Go tells a plain request that it wants TLS.
            if answer.status != 400 or scheme == schemes[-1]:
                self._base = base
                return answer
        raise bad_status(f"https://{self._reference.registry}", 400)

    def _send(self, method: str, url: str, headers: dict[str, str]) -> Answer:
        send = self._transport.get if method == "GET" else self._transport.head
        return send(url, self._headers(headers))

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {**headers, "Authorization": self._authorization} if self._authorization else headers

    def _authenticate(self, url: str, answer: Answer) -> None:
        """Answer a challenge with what the configuration has for this registry."""
        kind, _space, parameters = answer.header("www-authenticate").partition(" ")
        login = self._credentials(self._reference.registry)
        if kind.lower() == "basic" and login:
            _refuse_clear_text(url)
            self._authorization = basic(*login)
        elif kind.lower() == "bearer":
            self._authorization = f"Bearer {self._token(dict(_PARAMETER.findall(parameters)), login)}"
        else:
            raise bad_status(url, answer.status)

    def _token(self, challenge: dict[str, str], login: tuple[str, str] | None) -> str:
        realm = challenge.get("realm", "")
        refuse_plain_http(realm, self._policy)
        scope = challenge.get("scope") or f"repository:{self._reference.repository}:pull"
        query = f"service={escape(challenge.get('service', ''))}&scope={escape(scope)}"
        url = f"{realm}{'&' if '?' in realm else '?'}{query}"
        if login:
            _refuse_clear_text(realm)
        answer = self._transport.get(url, {"Authorization": basic(*login)} if login else {})
        if answer.status != 200:
            raise bad_status(url, answer.status)
        try:
            fields = Fields(parse_json(answer.body, "the token"), "token")
            return fields.text("token", "") or fields.text("access_token")
        except InvalidSpec as err:
            raise Unreachable(f"the registry {self._reference.registry} gave no usable token: {err}") from err


class _Challenged(Exception):
    """The token has run out."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def _expect_ok(url: str, answer: Answer) -> None:
    if answer.status == 401:
        raise _Challenged(answer)
    _expect_success(url, answer)


def _expect_success(url: str, answer: Answer) -> None:
    if answer.status != 200:
        raise bad_status(url, answer.status)


def _refuse_clear_text(url: str) -> None:
    """No option makes credentials travel in clear, but on this machine (B21)."""
    if not url.startswith("https://") and not is_loopback(url):
        raise Unreachable(
            f"refusing to send credentials to {url.split('?', 1)[0]} over plain http", "use https"
        )


def _schemes(registry: str, policy: FetchPolicy) -> tuple[str, ...]:
    if is_loopback(registry):
        return ("http", "https")
    return ("https", "http") if policy.waives("http") else ("https",)


def _choose(index: Fields, arch: str, what: str) -> str:
    """The digest of the manifest in an index that fits a platform best."""
    offered: dict[tuple[str, str], str] = {}
    for value, where in index.items("manifests"):
        fields = Fields(value, where)
        platform = Fields(fields.raw("platform") or {}, fields.where_of("platform"))
        if platform.text("os", "") == "linux":
            key = (platform.text("architecture", ""), platform.text("variant", ""))
            offered.setdefault(key, _digest(fields))
    for wanted in PLATFORMS.get(arch, ((arch, ""),)):
        if wanted in offered:
            return offered[wanted]
    names = ", ".join(sorted("/".join(filter(None, key)) for key in offered)) or "no linux at all"
    raise NotFound(
        f"{what} is not made for {arch}: it offers {names}", "build it for this platform", arch=arch
    )


def _digest(fields: Fields) -> str:
    digest = fields.text("digest")
    if not _DIGEST.fullmatch(digest):
        raise Corrupt(
            f'"{digest[:80]}" is not a digest that can be checked', "push the image with sha256 digests"
        )
    return digest


def _layers(manifest: Fields, config: DockerConfig, what: str) -> tuple[LayerBlob, ...]:
    blobs = [Fields(value, where) for value, where in manifest.items("layers")]
    if len(blobs) != len(config.diff_ids):
        raise Corrupt(f"{what} has {len(blobs)} layers, but its configuration names {len(config.diff_ids)}")
    for diff_id in config.diff_ids:
        if not _DIGEST.fullmatch(diff_id):
            raise Corrupt(
                f'"{diff_id[:80]}" is not a digest that can be checked', "push the image with sha256 digests"
            )
    return tuple(
        LayerBlob(_digest(fields), fields.integer("size"), diff_id)
        for fields, diff_id in zip(blobs, config.diff_ids)
    )
