# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The context that all steps of one fetch share."""

from __future__ import annotations

from ..contexts import contextmanager
from ..errors import Corrupt, InvalidSpec
from ..store import locks
from ..value import Value
from .progress import Lines, Observer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..host.host import Host
    from ..host.limits import Limits
    from ..host.turns import Turn
    from .credentials import AskCredentials
    from .mirrors import MirroredRepository
    from .policy import FetchPolicy
    from .reference import DockerReference
    from .transport import Transport


def silent() -> None:
    """Do nothing: the pulse of work that no other process waits for."""


# Bounds of a chain of images that name one another, each on a server's word.
_DEEPEST, _MOST = 16, 64


class Needed:
    """The dependencies that a fetch is bringing, outermost first, and how many there have been."""

    def __init__(self) -> None:
        self._way: list[str] = []
        self._count = 0

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """While a dependency of this name is fetched.

        Raises InvalidSpec for one on the way to itself, Corrupt for too many.
        """
        if name in self._way:
            raise InvalidSpec(f"the image {name} depends on itself", "one of its dependencies is wrong")
        self._count += 1
        if len(self._way) >= _DEEPEST or self._count > _MOST:
            raise Corrupt(
                f"the image {name} is one too many of those that images need: {_MOST} are fetched at most, and "
                f"{_DEEPEST} that need one another",
                "build the image upon fewer others",
            )
        self._way.append(name)
        try:
            yield
        finally:
            self._way.pop()


def new_job(host: Host, policy: FetchPolicy, progress: Observer | Callable[[str], None]) -> FetchJob:
    """A fetch that has not begun. Raises InvalidSpec and HostFailure for the configuration."""
    from ..host.config import configured_limits
    from .credentials import credentials_of

    if not isinstance(progress, Observer):
        progress = Observer(Lines(progress), host.clock.monotonic)
    return FetchJob(
        host, policy, progress, credentials_of(host), configured_limits(host.paths), [], {}, Needed()
    )


class FetchJob(Value):
    """One fetch. progress: called with lines for the user, and hears of downloads. pulse: called whenever it has made
    progress.

    credentials: the headers for a method and a URL. sessions, repositories: those that were made, kept by the methods
    below, with the tokens that registries gave. needed: what it fetches besides.
    """

    host: Host
    policy: FetchPolicy
    progress: Observer
    credentials: AskCredentials
    limits: Limits
    sessions: list[Transport]
    repositories: dict[str, MirroredRepository]
    needed: Needed
    pulse: Callable[[], None] = silent

    def turn(self, key: str, what: str) -> Turn:
        """The turn for work that other processes may want too; the same key means the same bytes of the same server."""
        return locks.turn(
            self.host.paths, key, what, patience=self.limits.rate_seconds / 2, tell=self.progress
        )

    def transport(self) -> Transport:
        """The session of this fetch: the first host decides to which others all of it may lead."""
        if not self.sessions:
            self.sessions.append(self.transport_of_its_own())
        return self.sessions[0]

    def transport_of_its_own(self) -> Transport:
        """A session for another host that the user has named."""
        from .transport import Transport

        return Transport(self.policy, self.limits, self.pulse)

    def repository(self, reference: DockerReference) -> MirroredRepository:
        """The repository of an image, wherever it is. Raises InvalidSpec for the configuration, HostFailure."""
        key = str(reference)
        if key not in self.repositories:
            self.repositories[key] = self._repository(reference)
        return self.repositories[key]

    def _repository(self, reference: DockerReference) -> MirroredRepository:
        from .docker import Repository
        from .mirrors import MirroredRepository, mirrors_of

        places = [
            Repository(self.transport_of_its_own(), place, self.policy, self.credentials)
            for place in mirrors_of(self.host.paths, reference)
        ]
        own = Repository(self.transport(), reference, self.policy, self.credentials)
        return MirroredRepository(reference, [*places, own], self.progress)
