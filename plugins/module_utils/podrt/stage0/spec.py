# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody wants to run: the one type that YAML and argv both become."""

from __future__ import annotations

from ..appc.names import ACName, first_repeated
from ..errors import InvalidSpec
from ..image.policy import FetchPolicy
from ..pod.runspec import RunSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from ..appc.app import EventHandler
    from ..appc.isolators import Isolator
    from ..appc.ports import ExposedPort, Port
    from ..appc.volumes import EmptyVolume, HostVolume
    from ..image.reference import ImageReference

    SpecVolume = Union[HostVolume, EmptyVolume, "NamedVolume"]
    Pairs = tuple[tuple[str, str], ...]


class NamedVolume(Value):
    """A volume of a pod that stands for one made by pod_volume."""

    name: ACName
    volume: ACName
    read_only: bool | None = None


class SpecMount(Value):
    """A volume at a path, or at the mount point of an image that has this name."""

    volume: ACName
    path: str


class AppSpec(Value):
    """An image and what is to be different from what it says. None and "" mean: as the image says.

    exec replaces the image's whole exec vector; args are appended to what is then there. environment: the strongest
    source of a variable. supplementary_gids, user_annotations, user_labels replace the image's. image_isolators: one of
    consent.POLICIES, "" as the pod says.
    """

    image: ImageReference
    name: ACName | None = None
    exec: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    group: str = ""
    supplementary_gids: tuple[int, ...] | None = None
    environment: Pairs = ()
    mounts: tuple[SpecMount, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    ports: tuple[Port, ...] = ()
    event_handlers: tuple[EventHandler, ...] = ()
    read_only_root_fs: bool = False
    annotations: Pairs = ()
    user_annotations: Pairs | None = None
    user_labels: Pairs | None = None
    image_isolators: str = ""


class PodSpec(Value):
    """A pod: its apps and everything that they share.

    mounts hold for every app. Environment, weakest first: inherited (only names that are not set otherwise), the
    image's, env_file, set_env, the app's own. image_isolators: one of consent.POLICIES, "" as the host is configured.
    isolators: of the pod as a whole. Source: behaviours, ruling 1.
    """

    apps: tuple[AppSpec, ...]
    volumes: tuple[SpecVolume, ...] = ()
    mounts: tuple[SpecMount, ...] = ()
    ports: tuple[ExposedPort, ...] = ()
    inherited: Pairs = ()
    env_file: Pairs = ()
    set_env: Pairs = ()
    run: RunSpec = RunSpec()
    policy: FetchPolicy = FetchPolicy()
    user_labels: Pairs = ()
    image_isolators: str = ""
    isolators: tuple[Isolator, ...] = ()

    def check(self) -> None:
        """Volumes are unique, mounts name one, and ports need a network of the pod's own."""
        names = [volume.name for volume in self.volumes]
        repeated = first_repeated(names)
        if repeated:
            raise InvalidSpec(f'duplicate volume name "{repeated}"', where="volumes")
        for index, app in enumerate(self.apps):
            self._check_mounts(app.mounts, names, f"apps[{index}].mounts")
        self._check_mounts(self.mounts, names, "mounts")
        for special in ("none", "host"):
            if self.ports and any(request.name == special for request in self.run.networks):
                raise InvalidSpec(f"--port flag does not work with '{special}' networking", where="ports")

    @staticmethod
    def _check_mounts(mounts: tuple[SpecMount, ...], names: list[ACName], where: str) -> None:
        for index, mount in enumerate(mounts):
            if mount.volume not in names:
                raise InvalidSpec(
                    f'dangling mount point "{mount.path}": volume "{mount.volume}" not found',
                    "declare the volume, or mount one that is declared",
                    where=f"{where}[{index}]",
                )
