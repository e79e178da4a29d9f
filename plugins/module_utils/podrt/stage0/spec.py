# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wanted pod: the one type that YAML and argv both become."""

from __future__ import annotations

from ..appc.isolators import SECCOMP_PROFILE, Capabilities, Sysctl, check_memory, check_sets
from ..appc.names import ACName, first_repeated
from ..errors import InvalidSpec
from ..image.policy import FetchPolicy
from ..pod.runspec import RunSpec
from ..value import Value

STATES = ("started", "stopped", "prepared", "absent", "restarted")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.app import EventHandler
    from ..appc.isolators import Isolator
    from ..appc.ports import ExposedPort, Port
    from ..appc.volumes import Mount, Tmpfs, Volume
    from ..host.paths import Paths
    from ..image.reference import ImageReference

    Pairs = tuple[tuple[str, str], ...]


class Conduct(Value):
    """The options for a task that are not part of its pod.

    wait_timeout: seconds. tail: how many lines of each app are shown. min_uptime: how many seconds a pod that replaces
    a running one must stay up; an app that cannot find its configuration or its database ends within two. restart_apps:
    apps of a running pod to be started again.
    """

    state: str = "started"
    wait: bool = False
    wait_timeout: int = 300
    tail: int = 20
    min_uptime: float = 2.0
    restart_apps: tuple[str, ...] = ()


class Stage1Choice(Value):
    """The stage1 that a pod asks for, in one of five ways; none for the configured one. Source: behaviours D21."""

    name: str = ""
    url: str = ""
    path: str = ""
    hash: str = ""
    from_dir: str = ""

    def check(self) -> None:
        """Raise InvalidSpec for two of them."""
        names = [f"stage1_{name}" for name, _value in self.asked]
        if len(names) > 1:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in names[:2])
            raise InvalidSpec(
                f"{names[0]} and {names[1]} exclude each other",
                "take one or the other out",
                where=names[1],
                on_argv=f"flags {flags} are mutually exclusive",
            )

    @property
    def asked(self) -> tuple[tuple[str, str], ...]:
        """The ways that are given, by name."""
        ways = ("url", self.url), ("path", self.path), ("name", self.name), ("hash", self.hash)
        return tuple(way for way in (*ways, ("from_dir", self.from_dir)) if way[1])


class AppSpec(Value):
    """An image, and what overrides its manifest. None and "": as in the image.

    exec replaces the image's whole exec vector; args are appended to the result. command replaces what comes after the
    image's Entrypoint, and excludes both. environment: the strongest
    source of a variable. supplementary_gids, user_annotations, user_labels replace the image's. image_isolators: one of
    consent.POLICIES, "" for the pod's.
    """

    image: ImageReference
    name: ACName | None = None
    exec: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    group: str = ""
    supplementary_gids: tuple[int, ...] | None = None
    environment: Pairs = ()
    mounts: tuple[Mount, ...] = ()
    isolators: tuple[Isolator, ...] = ()
    ports: tuple[Port, ...] = ()
    event_handlers: tuple[EventHandler, ...] = ()
    read_only_root_fs: bool = False
    annotations: Pairs = ()
    user_annotations: Pairs | None = None
    user_labels: Pairs | None = None
    image_isolators: str = ""
    tmpfs: tuple[Tmpfs, ...] = ()
    privileged: bool = False

    def check(self) -> None:
        """Check that a command stands alone, and capabilities are either retained or removed, or all there."""
        if self.command and (self.exec or self.args):
            raise InvalidSpec(
                f"command does not go with {'exec' if self.exec else 'args'}",
                "command replaces the image's Cmd and keeps its Entrypoint; exec replaces both, and args are appended "
                "to all that the image runs: take one or the other out",
                where="command",
            )
        check_sets(self.isolators, "caps_retain")
        if self.privileged and any(isinstance(each, Capabilities) for each in self.isolators):
            raise InvalidSpec(
                "a privileged app has all capabilities",
                "take privileged out, or caps_retain and caps_remove",
                where="privileged",
                on_argv="cannot use --privileged with --caps-retain or --caps-remove on the same image",
            )


class PodSpec(Value):
    """A pod: its apps and everything that they share.

    mounts: of every app. Environment, weakest first: inherited (only names that are not set otherwise), the image's,
    env_file, set_env, the app's own. image_isolators: one of consent.POLICIES, "" for the host's configuration.
    isolators: of the pod as a whole. private_users: None for the host's configuration. stage1: as it is asked for;
    run.stage1 is what was found. Source: behaviours, ruling 1.
    """

    apps: tuple[AppSpec, ...]
    volumes: tuple[Volume, ...] = ()
    mounts: tuple[Mount, ...] = ()
    ports: tuple[ExposedPort, ...] = ()
    inherited: Pairs = ()
    env_file: Pairs = ()
    set_env: Pairs = ()
    run: RunSpec = RunSpec()
    policy: FetchPolicy = FetchPolicy()
    user_labels: Pairs = ()
    image_isolators: str = ""
    isolators: tuple[Isolator, ...] = ()
    private_users: bool | None = None
    stage1: Stage1Choice = Stage1Choice()

    def settled(self, paths: Paths) -> PodSpec:
        """This spec, with the host's configuration where it leaves something open. Raises PodError."""
        own = self.private_users
        if own is None:
            from ..host.config import configured_private_users

            own = configured_private_users(paths)
        apps = tuple(_with_profile(app, f"apps[{at}].seccomp_profile") for at, app in enumerate(self.apps))
        return self.replace(run=self.run.replace(private_users=own), private_users=own, apps=apps)

    def check(self) -> None:
        """Check that volumes are unique, mounts name one, and ports and sysctls have a namespace of the pod."""
        check_memory(self.isolators)
        _check_sysctls(self.isolators, self.run)
        names = [volume.name for volume in self.volumes]
        repeated = first_repeated(names)
        if repeated:
            raise InvalidSpec(f'duplicate volume name "{repeated}"', where="volumes")
        for index, app in enumerate(self.apps):
            self._check_mounts(app.mounts, names, f"apps[{index}].mounts")
        self._check_mounts(self.mounts, names, "mounts")
        for special in ("none", "host"):
            if self.ports and any(request.name == special for request in self.run.networks):
                raise InvalidSpec(
                    f"ports do not go with networks: [{special}]",
                    "take one or the other out",
                    where="ports",
                    on_argv=f"--port flag does not work with '{special}' networking",
                )

    @staticmethod
    def _check_mounts(mounts: tuple[Mount, ...], names: list[ACName], where: str) -> None:
        for index, mount in enumerate(mounts):
            if mount.volume not in names:
                raise InvalidSpec(
                    f'dangling mount point "{mount.path}": volume "{mount.volume}" not found',
                    "declare the volume, or mount one that is declared",
                    where=f"{where}[{index}]",
                )


def _with_profile(app: AppSpec, where: str) -> AppSpec:
    """An app with the content of its profile of system calls. Raises InvalidSpec, HostFailure."""
    if not any(isolator.name == SECCOMP_PROFILE for isolator in app.isolators):
        return app
    from .seccomp_profile import read_profile  # few apps have one

    return app.replace(isolators=tuple(read_profile(each, where) for each in app.isolators))


def _check_sysctls(isolators: tuple[Isolator, ...], run: RunSpec) -> None:
    names = [name for each in isolators if isinstance(each, Sysctl) for name, _value in each.pairs]
    if names:
        from ..pod.sysctls import check_sysctl  # few pods have any

        for name in names:
            check_sysctl(name, run, f"sysctls.{name}")
