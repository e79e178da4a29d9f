# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image on its way into a registry: blobs that this lacks, then the manifest, whose tag means it from then on.

Source: OCI distribution specification, "Push".
"""

from __future__ import annotations

from ..errors import InvalidSpec, Untrusted
from ..fields import Fields, parse_json
from ..value import Value
from .content import MANIFEST_TYPE, Blob, blob_of
from .http_policy import origin_of
from .registry import FORBIDDEN, OK, UNAUTHORIZED, RegistrySession
from .transport import Body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..host.host import Host
    from .policy import FetchPolicy
    from .reference import DockerReference

_ACCEPT = ", ".join(
    (
        MANIFEST_TYPE,
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
_ACCEPTED, _CREATED, _NOT_FOUND = 202, 201, 404


class PushedImage(Value):
    """What a tag of a registry means. digest: of the manifest. config, layer: as the manifest says, if it is an image
    of one layer.
    """

    digest: str
    manifest: bytes
    config: str = ""
    layer: Blob | None = None


class RemoteRepository:
    """One repository of a registry, which images are pushed to."""

    def __init__(self, session: RegistrySession, reference: DockerReference) -> None:
        self._session = session
        self._reference = reference
        self._path = f"/v2/{reference.repository}"

    def image(self) -> PushedImage | None:
        """What the tag means, None if there is no such tag. Raises Unreachable, Untrusted."""
        answer = self._session.ask("GET", self._manifest_path, {"Accept": _ACCEPT})
        if answer.status == _NOT_FOUND:
            return None
        if answer.status != OK:
            raise self._session.refusal(answer)
        found = PushedImage(blob_of(answer.body).digest, answer.body)
        try:
            fields = Fields(parse_json(answer.body, "the manifest"), "")
            layers = [Blob(layer.text("digest"), layer.integer("size")) for layer in fields.each("layers")]
            config = fields.within("config").text("digest") if fields.has("config") else ""
        except InvalidSpec:
            return found  # it is replaced
        return found.replace(config=config, layer=layers[0] if len(layers) == 1 else None)

    def has(self, blob: Blob) -> bool:
        """Whether the repository has a blob. Raises Unreachable."""
        answer = self._session.ask("HEAD", f"{self._path}/blobs/{blob.digest}")
        if answer.status in (UNAUTHORIZED, FORBIDDEN):
            raise self._session.refusal(answer)
        return answer.status == OK

    def put(self, blob: Blob, content: Callable[[], Iterator[bytes]]) -> None:
        """Send a blob, unless it is there. Raises Unreachable, Untrusted."""
        if self.has(blob):
            return
        begun = self._session.ask("POST", f"{self._path}/blobs/uploads/", body=_NOTHING)
        place = begun.header("location")
        if begun.status != _ACCEPTED or not place:
            raise self._session.refusal(begun)
        target = _joined(begun.url, place)
        if origin_of(target) is None:
            raise self._session.refusal(begun)
        url = f"{target}{'&' if '?' in place else '?'}digest={blob.digest}"
        headers = {"Content-Type": "application/octet-stream"}
        done = self._session.ask("PUT", url, headers, Body(content, blob.size))
        if done.status != _CREATED:
            raise self._session.refusal(done)

    def tag(self, manifest: bytes) -> str:
        """Have the tag mean a manifest, whose blobs are there. Returns its digest. Raises Unreachable, Untrusted."""
        body = Body(lambda: iter((manifest,)), len(manifest))
        answer = self._session.ask("PUT", self._manifest_path, {"Content-Type": MANIFEST_TYPE}, body)
        if answer.status != _CREATED:
            raise self._session.refusal(answer)
        digest, told = blob_of(manifest).digest, answer.header("docker-content-digest")
        if told and told != digest:
            raise Untrusted(f"the registry {self._reference.registry} stored {digest} as {told}")
        return digest

    @property
    def _manifest_path(self) -> str:
        return f"{self._path}/manifests/{self._reference.tag}"


_NOTHING = Body(lambda: iter(()), 0)


def repository_of(host: Host, reference: DockerReference, policy: FetchPolicy) -> RemoteRepository:
    """The repository of a reference, with the host's credentials. Raises InvalidSpec, HostFailure."""
    from ..host.config import configured_limits
    from .credentials import credentials_of
    from .transport import Transport

    credentials = credentials_of(host)
    session = RegistrySession(
        Transport(policy, configured_limits(host.paths)),
        reference.registry,
        policy,
        lambda: credentials("GET", str(reference)),
        doing=f"cannot push {reference}",
        scope=f"repository:{reference.repository}:pull,push",
    )
    return RemoteRepository(session, reference)


def _joined(base: str, place: str) -> str:
    """The URL of a place that a server names, "" for none."""
    from urllib.parse import urljoin

    try:
        return urljoin(base, place)
    except ValueError:
        return ""
