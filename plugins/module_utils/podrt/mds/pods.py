# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registered pods, in memory. Source: behaviours F3, F6."""

from __future__ import annotations

import hmac
import os

from ..appc.image import ImageManifest
from ..appc.labels import Labels
from ..appc.pod import PodManifest
from ..fields import parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .registration import Registration

_KEY_BYTES = 64


class RegisteredPod:
    """A pod that is registered. manifest: as it came. images: the manifests of its apps' images, by app.

    receiving: bytes of bodies that are on their way with its token.
    """

    def __init__(self, uuid: str, registration: Registration, data: bytes) -> None:
        """Raise InvalidSpec unless data is a pod manifest."""
        self.uuid = uuid
        self.registration = registration
        self.manifest = data
        self.images: dict[str, bytes] = {}
        self.receiving = 0
        parsed = PodManifest.from_json(parse_json(data, "the pod manifest"))
        self.annotations = parsed.annotations
        self._ids = {str(app.name): str(app.image.id) for app in parsed.apps}
        self._of_apps = {str(app.name): app.annotations for app in parsed.apps}
        self._of_images: dict[str, Labels] = {}

    def has_app(self, app: str) -> bool:
        """Whether its manifest has an app."""
        return app in self._ids

    def add_image(self, app: str, data: bytes) -> None:
        """Add the manifest of the image of an app. Raises InvalidSpec."""
        parsed = ImageManifest.from_json(parse_json(data, "the image manifest"))
        self.images[app] = data
        self._of_images[app] = parsed.annotations

    def image_id(self, app: str) -> str:
        """The ID of the image of an app that it has."""
        return self._ids[app]

    def annotations_of(self, app: str) -> Labels:
        """The annotations of an app: those of the pod's manifest override those of the image's."""
        return self._of_images[app].merged(self._of_apps[app])


class Registry:
    """All registered pods. key: of signatures, for the life of the service.

    They are looked up by a keyed digest of the token: how long that takes tells nothing of a token.
    """

    def __init__(self) -> None:
        self.key = os.urandom(_KEY_BYTES)
        self._blind = os.urandom(_KEY_BYTES)
        self._by_uuid: dict[str, RegisteredPod] = {}
        self._by_token: dict[bytes, RegisteredPod] = {}

    def __len__(self) -> int:
        return len(self._by_uuid)

    def add(self, pod: RegisteredPod) -> None:
        """Register a pod; the same one once more is replaced."""
        self.remove(pod.uuid)
        self._by_uuid[pod.uuid] = pod
        self._by_token[self._place(pod.registration.token)] = pod

    def remove(self, uuid: str) -> bool:
        """Remove a pod. Returns whether it was registered."""
        pod = self._by_uuid.pop(uuid, None)
        place = self._place(pod.registration.token) if pod else b""
        if pod and self._by_token.get(place) is pod:
            del self._by_token[place]
        return pod is not None

    def pod(self, uuid: str) -> RegisteredPod | None:
        """The pod with a UUID."""
        return self._by_uuid.get(uuid)

    def owner(self, token: str, address: str) -> RegisteredPod | None:
        """The pod that a token belongs to, if the request comes from one of its addresses."""
        pod = self._by_token.get(self._place(token))
        if pod is None or not hmac.compare_digest(pod.registration.token.encode(), token.encode()):
            return None
        own = pod.registration.addresses
        return pod if not own or address in own else None

    def _place(self, token: str) -> bytes:
        return hmac.digest(self._blind, token.encode(), "sha256")
