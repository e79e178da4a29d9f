# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes of a named pod. Everything is prepared before anything that runs is touched."""

from __future__ import annotations

from ..errors import Conflict, HostFailure, NotFound
from ..host.files import remove_tree, write_new
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, locate, open_pod
from . import gc, start, units
from .change import Change, Difference, at_stage
from .entry import call
from .networks import check_networks
from .prepare import check_sources, commit, give_name, prepare, reprepare
from .swap import StartUp, bring_up, clear, remove_others, swap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .manifest import Preparation
    from .spec import PodSpec


class CreatePod(Change):
    """Prepare a pod under a free name, and start it if asked to. boot: whether it also starts after a boot."""

    wanted: Preparation | None
    running: bool
    boot: bool

    def foresee(self, host: Host) -> None:
        """Raise NotFound or Conflict."""
        check_new(host, self.wanted, "")

    def apply(self, host: Host) -> None:
        """Remove the pod again if it does not come up."""
        name = _required(self.wanted).runspec.name
        _check_unchanged(host, name, "")
        uuid = _prepare_new(host, self.wanted, "")
        give_name(host, name, uuid)
        if self.running:
            bring_up(host, uuid, boot=self.boot)
        else:
            _await_connections(host, name, uuid)
        remove_others(host, name, uuid)


class ReplacePod(Change):
    """Prepare the new pod, stop the old one, start the new one; if that fails, the old one is started again.

    min_uptime: how many seconds the new one must stay up where the old one runs.
    """

    wanted: Preparation | None
    old: str
    running: bool
    boot: bool
    min_uptime: float = 0.0

    def foresee(self, host: Host) -> None:
        """Raise NotFound or Conflict."""
        check_new(host, self.wanted, self.old)

    def apply(self, host: Host) -> None:
        """Replace it. Raises the failure of the new pod, with rolled_back in its facts."""
        name = _required(self.wanted).runspec.name
        start_up = StartUp(self.boot, self.min_uptime) if self.running else None
        with lookup.expect(host.paths, name, self.old) as old:
            new = _prepare_new(host, self.wanted, self.old)
            swap(host, name, old, new, start_up)
        if not self.running:
            _await_connections(host, name, new)
        remove_others(host, name, new)


class MissingPod(Change):
    """Fail on a pod that does not exist; in check mode an earlier task may be about to make it."""

    name: str

    def foresee(self, host: Host) -> None:
        """Raise NotFound."""
        raise NotFound(
            f'there is no pod of the name "{self.name}"', "describe its apps to have one made", name=self.name
        )

    def apply(self, host: Host) -> None:
        """Raise NotFound."""
        self.foresee(host)


class StartPod(Change):
    """Start a pod that is prepared, or one that has ended, from its documents, as a new pod."""

    name: str
    uuid: str
    boot: bool

    def foresee(self, host: Host) -> None:
        """Raise NotFound or Conflict."""
        with open_pod(host.paths, self.uuid) as found:
            check_documents(host, found)

    def apply(self, host: Host) -> None:
        """Start it; its name means the new pod afterwards."""
        if start.runs_meanwhile(host, self.name, self.uuid):
            return
        with lookup.expect(host.paths, self.name, self.uuid) as found:
            check_documents(host, found)
        with start.start_again(host, self.name, self.uuid) as pod:
            start.start(host, pod, boot=self.boot)
            remove_others(host, self.name, pod.uuid)


class StopPod(Change):
    """Stop a pod; it keeps its files and its name."""

    name: str
    uuid: str

    def apply(self, host: Host) -> None:
        """Wait until it has ended. A mark in its directory records that it was asked to stop."""
        with lookup.expect(host.paths, self.name, self.uuid) as pod:
            write_new(pod.dir.stopped, b"")
            try:
                start.stop(host, pod)
            except BaseException:
                if pod.state() is PodState.RUNNING:
                    remove_tree(pod.dir.stopped)  # if it ends now, it does so by itself
                raise


class RestartPod(Change):
    """Stop a pod and start it again from its documents.

    boot: whether it also starts after a boot; None leaves that as it is. min_uptime: how many seconds it must stay up.
    moves: whether it asks for its addresses again, since its networks are defined otherwise now.
    """

    name: str
    uuid: str
    boot: bool | None
    min_uptime: float = 0.0
    moves: bool = False

    def foresee(self, host: Host) -> None:
        """Raise NotFound or Conflict."""
        with open_pod(host.paths, self.uuid) as found:
            check_documents(host, found)

    def apply(self, host: Host) -> None:
        """Prepare a new pod before the old one is stopped."""
        with lookup.expect(host.paths, self.name, self.uuid) as old:
            check_documents(host, old)
            with reprepare(host, old) as fresh:
                new = fresh.uuid
                if self.moves:
                    from ..net.kept import write_kept  # only pods that a task moves have addresses to keep

                    write_kept(old.dir, fresh.dir)
            swap(host, self.name, old, new, StartUp(self.boot, self.min_uptime))
        remove_others(host, self.name, new)


class MendPod(Change):
    """Restore what a running pod has lost of its networks, limits and control groups. Its apps keep running."""

    name: str
    uuid: str

    def apply(self, host: Host) -> None:
        """Call the pod's own runtime, which knows how the pod was made."""
        with open_pod(host.paths, self.uuid) as pod:
            call(host, pod, "mend")


class RemovePod(Change):
    """Stop a pod and delete everything of it, and of the pods that had its name before.

    uuid: "" when the name means no pod. leftovers: UUIDs of pods that had the name and do not run.
    """

    name: str
    uuid: str
    leftovers: tuple[str, ...]

    def apply(self, host: Host) -> None:
        """Remove its network, cgroups, mounts, files, unit and name."""
        _check_unchanged(host, self.name, self.uuid)
        units.remove(host, self.name)
        if self.uuid:
            try:
                with open_pod(host.paths, self.uuid) as pod:
                    start.stop(host, pod)
                    gc.remove(host, pod)
            except NotFound:
                if locate(host.paths, self.uuid):  # something else was not found
                    raise
        for uuid in self.leftovers:
            clear(host, uuid)


class SettleUnit(Change):
    """Bring the unit of a pod up to date. enabled: whether it starts the pod after a boot."""

    name: str
    uuid: str
    enabled: bool

    def apply(self, host: Host) -> None:
        """Write it, load it, enable or disable it, without touching the pod."""
        with lookup.expect(host.paths, self.name, self.uuid) as pod:
            units.install(host, pod, boot=self.enabled)


def _required(wanted: Preparation | None) -> Preparation:
    if wanted is None:
        raise HostFailure("an image that the pod needs was not fetched", "this is a bug of stagecraft.pods")
    return wanted


def _await_connections(host: Host, name: str, uuid: str) -> None:
    """Write the unit of a pod that does not run yet, if a connection to a socket of systemd is to start it."""
    if host.runs_systemd and units.has_socket(host, name):
        with open_pod(host.paths, uuid) as pod:
            units.install(host, pod, boot=False)


def _check_unchanged(host: Host, name: str, uuid: str) -> None:
    """Raise Conflict when a name means a pod that the plan has not seen. uuid: the pod that it has seen, or ""."""
    found = lookup.uuid_of_name(host.paths, name)
    if found not in (None, uuid):
        raise Conflict(
            f'the name "{name}" means pod {found} now',
            "another process has changed it meanwhile: run the task again",
            name=name,
            uuid=found,
        )


def chosen_ports(spec: PodSpec) -> tuple[Difference, ...]:
    """A difference for each port that the host is to choose for a new pod; the result has its number."""
    return tuple(
        Difference(f"ports[{at}].host_port", None, "auto") for at, port in enumerate(spec.ports) if port.auto
    )


def check_new(host: Host, wanted: Preparation | None, replaced: str) -> None:
    """Check the sources of volumes, the apps, the networks and the host ports of a pod to be made, once it is known.

    Raises InvalidSpec, NotFound, Conflict.
    """
    if wanted is not None:
        from .inspection import check_apps  # only for a pod that is made: most tasks make none
        from .preflight import check_ports

        check_sources(host, wanted.manifest, own_users=wanted.runspec.private_users)
        check_apps(wanted.manifest, wanted.images, own_users=wanted.runspec.private_users)
        families = check_networks(host, wanted.manifest, wanted.runspec, replaced)
        check_ports(host, wanted.manifest, replaced, families)


def check_documents(host: Host, pod: Pod) -> None:
    """The same of a pod that is there, by its documents, but for its apps. Raises InvalidSpec, NotFound, Conflict."""
    from .preflight import check_ports

    manifest, runspec = documents.read_manifest(pod.dir), documents.read_runspec(pod.dir)
    check_sources(host, manifest, own_users=runspec.private_users)
    families = check_networks(host, manifest, runspec, pod.uuid)
    check_ports(host, manifest, pod.uuid, families)


def _prepare_new(host: Host, wanted: Preparation | None, replaced: str) -> str:
    found = _required(wanted)
    with at_stage("prepare", f'cannot prepare pod "{found.runspec.name}"'):
        check_new(host, found, replaced)
        pod = prepare(host, found)
        commit(pod)
        return pod.uuid
