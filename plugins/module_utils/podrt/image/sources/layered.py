# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of layers on their way into a workspace, from a registry or from an archive of this host."""

from __future__ import annotations

from ...store import blobs, claims
from ...store.workspace import Workspace
from ..convert import image_manifest
from ..download import ensure_layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...appc.image import ImageManifest
    from ...store.blobs import Incoming
    from ..download import Origin
    from ..job import FetchJob
    from ..manifests import DockerImage
    from .source import Received, Source, Verifier


def manifest_of(image: DockerImage) -> ImageManifest:
    """Its manifest, which names the content of all layers, so that its ID is known before they are read."""
    return image_manifest(image.reference, image.config, image.digest, image.config_digest)


def received(
    job: FetchJob,
    source: Source,
    verifier: Verifier,
    origin: Origin,
    image: DockerImage,
    recorded: Callable[[Incoming], Received],
) -> Iterator[Received]:
    """Get the layers that are missing, then yield the image in a workspace: once, as the body of Source.receive.

    recorded: what arrives, with the record of its source.
    """
    paths = job.host.paths
    manifest = manifest_of(image)
    for note in image.config.notes:
        job.progress(note)
    with claims.claimed(paths, image.layer_ids):
        verifier.announced(job, source, image.sent)
        ensure_layers(job, origin, image.layers)
        with Workspace(paths) as workspace:
            yield recorded(
                blobs.receive_manifest(
                    workspace, manifest, image.layer_ids, image.sent, latest=image.reference.tag == "latest"
                )
            )
