# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry made of a Web server and a dictionary, which can be given the habits of real ones."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable

from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.conftest import (
    Reply,
    Web,
)

OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
# An empty archive.
EMPTY = bytes(1024)


def digest_of(data: bytes) -> str:
    """The digest of some bytes as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def archive(**files: bytes) -> bytes:
    """A layer of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


class FakeRegistry:
    """Manifests by tag or digest, and blobs.

    habit: sees (method, path, headers) first, and may answer instead. said: headers of a manifest's answer.
    """

    def __init__(self, web: Web) -> None:
        self.web = web
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.habit: Callable[[str, str, dict[str, str]], Reply | None] = lambda *_other: None
        self.said: Callable[[bytes], dict[str, str]] = lambda data: {
            "Docker-Content-Digest": digest_of(data),
            "Content-Type": OCI,
        }
        web.answer = self._answer
        self.reference = f"docker://{web.authority}/app"

    def asked(self) -> list[str]:
        """The requests so far, such as "HEAD manifests/latest"."""
        return [f"{method} {'/'.join(path.split('/')[-2:])}" for method, path, _headers in self.web.asked]

    def blob(self, data: bytes, kind: str = OCI_LAYER) -> dict[str, object]:
        """Add a blob; return its descriptor."""
        self.blobs[digest_of(data)] = data
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    def manifest(self, tag: str = "latest", **members: object) -> dict[str, object]:
        """Add a manifest of any form under a tag and its digest; return its descriptor."""
        data = json.dumps({"schemaVersion": 2, **members}).encode()
        self.manifests[tag] = self.manifests[digest_of(data)] = data
        return {"mediaType": OCI, "digest": digest_of(data), "size": len(data)}

    def image(
        self, *layers: bytes, tag: str = "latest", kinds: tuple[str, ...] = (), **members: object
    ) -> dict[str, object]:
        """Add an image of layers that are sent unchanged; return the descriptor of its manifest."""
        described = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
        kinds = kinds or (OCI_LAYER,) * len(layers)
        form = {
            "mediaType": OCI,
            "config": self.blob(json.dumps(described).encode(), OCI_CONFIG),
            "layers": [self.blob(layer, kind) for layer, kind in zip(layers, kinds)],
        }
        return self.manifest(tag, **{**form, **members})

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> Reply:
        answer = self.habit(method, path, headers)
        if answer:
            return answer
        name = path.rpartition("/")[2]
        held = self.manifests if "/manifests/" in path else self.blobs
        if name not in held:
            return 404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'
        return 200, self.said(held[name]) if held is self.manifests else {}, held[name]
