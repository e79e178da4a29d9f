# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that is built on its way into the store, as any other is: received, then committed.

It needs no signature: the task that describes it says what is in it, and nothing comes from elsewhere.
"""

from __future__ import annotations

import hashlib

from ...appc.names import ImageID
from ...contexts import contextmanager
from ...errors import HostFailure
from ...store import blobs, index
from ..reference import AppcName
from .built import archive_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...host.host import Host
    from ...store.blobs import Incoming
    from ...store.index import Remote
    from ...store.partial import Kept
    from ...store.trees import RenderedImage
    from ..manifests import LayerBlob
    from ..sources.source import Received
    from .built import Built


def image_id_of(built: Built) -> ImageID:
    """The ID that it has in the store."""
    if built.is_aci:
        return ImageID.of_digest(built.digest)
    from ..sources.layered import manifest_of

    data = blobs.archive_of(manifest_of(built.docker_image))
    return ImageID.of_digest(hashlib.sha512(data).hexdigest())


def source_of(built: Built) -> str:
    """The name of its record in the store: an OCI image is what its name means there, without a request."""
    if built.is_aci:
        manifest = built.recipe.manifest
        return f"build:{AppcName(manifest.name, manifest.labels).source}"
    return built.docker_image.reference.source


def commit_built(host: Host, built: Built) -> RenderedImage:
    """Put it into the store and render it. Raises NotFound for a dependency, Conflict, Corrupt, HostFailure."""
    from ...store.commit import commit

    try:
        with _received(host, built) as received:
            return commit(host.paths, received.incoming, (received.remote,))
    except OSError as err:
        raise HostFailure.of(f"cannot store {built.recipe.manifest.full_name}", err) from err


@contextmanager
def _received(host: Host, built: Built) -> Iterator[Received]:
    if not built.is_aci:
        yield from _received_layers(host, built)
        return
    from ...store.workspace import Workspace
    from ..sources.source import Received

    what = built.recipe.manifest.full_name
    with Workspace(host.paths) as workspace:
        incoming = blobs.receive_archive(host.paths, workspace, archive_of(built), what)
        yield Received(incoming, _remote(host, built, incoming))


def _received_layers(host: Host, built: Built) -> Iterator[Received]:
    from ..job import new_job
    from ..policy import FetchPolicy
    from ..sources import layered
    from ..sources.source import Received, Source, Verifier

    job = new_job(host, FetchPolicy(), lambda _line: None)
    image = built.docker_image
    yield from layered.received(
        job,
        Source(host, image.reference),
        Verifier(),
        _OwnLayer(built),
        image,
        lambda incoming: Received(incoming, _remote(host, built, incoming)),
    )


def _remote(host: Host, built: Built, incoming: Incoming) -> Remote:
    return index.Remote(source_of(built), incoming.id, download_time=host.clock.time())


class _OwnLayer:
    """The layer of an OCI image, read from its files as if a registry sent it."""

    verb = "Building"

    def __init__(self, built: Built) -> None:
        self._built = built

    @property
    def registry(self) -> str:
        """What stands for the registry of the layer."""
        return source_of(self._built)

    def forked(self) -> None:
        """Do nothing: its files are opened when they are read."""

    def layer(
        self, _layer: LayerBlob, pulse: Callable[[], None], _kept: Kept | None = None
    ) -> Iterator[bytes]:
        """Stream the layer, uncompressed."""
        for chunk in archive_of(self._built):
            pulse()
            yield chunk
