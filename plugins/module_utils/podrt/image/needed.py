# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that a received image depends on: those that are missing are discovered. Source: behaviours B20, B51."""

from __future__ import annotations

from ..appc.names import ImageID
from ..contexts import contextmanager
from ..errors import InvalidSpec, PodError
from ..store import index
from .find import lookup_of, source_of
from .reference import AppcName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.image import Dependency, ImageManifest
    from ..host.host import Host
    from .policy import FetchPolicy
    from .sources.source import Source


def missing(host: Host, manifest: ImageManifest) -> Iterator[Source]:
    """The sources of the dependencies of an image that are not in the store and can be discovered."""
    for dependency in manifest.dependencies:
        source = source_of(host, AppcName(dependency.image_name, dependency.labels))
        if source.has_remote and not _is_there(host, source, dependency):
            yield source


@contextmanager
def needed_by(manifest: ImageManifest) -> Iterator[None]:
    """Have an error of a dependency tell which image needs it."""
    try:
        yield
    except PodError as err:
        if not err.facts.get("needed_by"):
            name = manifest.full_name
            err.message, err.facts["needed_by"] = f"{err.message} (the image {name} needs it)", name
        raise


def policy_of(policy: FetchPolicy) -> FetchPolicy:
    """The policy for dependencies: that of the image, whose signature is not theirs; only missing ones are fetched."""
    return policy.replace(signature="", anyway=False)


def _is_there(host: Host, source: Source, dependency: Dependency) -> bool:
    if dependency.image_id is None:
        return lookup_of(source) is not None
    try:
        return index.has_image(host.paths, ImageID(dependency.image_id))
    except InvalidSpec:
        return True  # it is cut, which is refused
