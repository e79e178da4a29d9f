# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places of a docker image: the mirrors that the host has for its registry, in order, then the registry.

A mirror is asked for the same repository and tag, by its own credentials, and its word on tags is taken for the
registry's; the image keeps its name. Only the first request to a place decides whether it is used.
"""

from __future__ import annotations

from ..errors import InvalidSpec, NotFound, Unreachable
from ..host.config import configured_mirrors
from .reference import DockerReference, names_of_registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from ..host.paths import Paths
    from ..store.partial import Kept
    from .answer import Answer
    from .docker import Repository
    from .manifests import DockerImage, LayerBlob

    T = TypeVar("T")


def mirrors_of(paths: Paths, reference: DockerReference) -> list[DockerReference]:
    """What the image is called in each mirror of its registry. Raises InvalidSpec, HostFailure."""
    mirrors = dict(configured_mirrors(paths))
    names = names_of_registry(reference.registry)
    found = next((mirrors[name] for name in names if name in mirrors), ())
    return [_in_mirror(mirror, reference) for mirror in found]


def _in_mirror(mirror: str, reference: DockerReference) -> DockerReference:
    registry, slash, prefix = mirror.partition("/")
    try:
        return reference.replace(registry=registry, repository=f"{prefix}{slash}{reference.repository}")
    except InvalidSpec as err:
        raise InvalidSpec(
            f'"{mirror}" is not a mirror of {reference.registry}: {err.reason}',
            "write HOST, HOST:PORT or HOST/PATH in the document of the kind registryMirrors in registries.d",
        ) from err


class MirroredRepository:
    """Repositories that have the same images, asked one after the other until one answers."""

    verb = "Downloading"

    def __init__(
        self, reference: DockerReference, places: list[Repository], progress: Callable[[str], None]
    ) -> None:
        self._reference = reference
        self._places = places
        self._progress = progress

    @property
    def registry(self) -> str:
        """The registry that answers."""
        return self._places[0].registry

    def forked(self) -> None:
        """Share no connection with the parent process."""
        self._places[0].forked()

    def current_digest(self) -> str:
        """See Repository.current_digest."""
        return self._first(lambda place: place.current_digest())

    def image(self, arch: str) -> DockerImage:
        """See Repository.image; by the name that was asked for."""
        return self._first(lambda place: place.image(arch)).replace(reference=self._reference)

    def layer(self, layer: LayerBlob, pulse: Callable[[], None], kept: Kept | None = None) -> Iterator[bytes]:
        """See Repository.layer."""
        return self._places[0].layer(layer, pulse, kept)

    def find(self, path: str, accept: str = "", missing: tuple[int, ...] = (404,)) -> Answer | None:
        """See Repository.find: from the first place that has it, since a mirror may lack signatures."""
        found = None
        for place in self._places:
            found = found or place.find(path, accept, missing)
        return found

    def _first(self, ask: Callable[[Repository], T]) -> T:
        """The answer of the first place that has one; the others are not asked again."""
        while True:
            try:
                return ask(self._places[0])
            except (Unreachable, NotFound) as err:
                if len(self._places) == 1:
                    raise
                self._progress(f"{err.message}; trying the next place")
                self._places.pop(0)
