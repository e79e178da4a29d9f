# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done to a named pod. Everything is prepared before anything that runs is touched."""

from __future__ import annotations

from ..errors import HostFailure, NotFound, PodError
from ..pod import documents, lookup
from ..pod.lifecycle import PodState, open_pod
from . import gc, start
from .change import Change
from .preflight import check_ports
from .prepare import Preparation, check_sources, commit, name_pod, prepare, reprepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..pod.lifecycle import Pod


class CreatePod(Change):
    """Prepare a pod under a name that is free, and start it if asked."""

    wanted: Preparation | None
    running: bool

    def apply(self, host: Host) -> None:
        """What does not come up is removed again."""
        uuid = _prepare_new(host, self.wanted, "")
        name = _required(self.wanted).runspec.name
        lookup.set_name(host.paths, name, uuid)
        if not self.running:
            return
        try:
            with open_pod(host.paths, uuid) as pod:
                start.start(host, pod)
        except PodError as err:
            _clear(host, uuid)
            err.facts.setdefault("stage", "start")
            raise


class ReplacePod(Change):
    """Prepare the new pod, stop the old one, start the new one; if that fails, the old one is started again."""

    wanted: Preparation | None
    old: str
    running: bool

    def apply(self, host: Host) -> None:
        """Raises what stopped the new pod from coming up, with rolled_back in its facts."""
        new = _prepare_new(host, self.wanted, self.old)
        name = _required(self.wanted).runspec.name
        with open_pod(host.paths, self.old) as old:
            was_running = old.state() is PodState.RUNNING
            try:
                start.stop(host, old)
                lookup.set_name(host.paths, name, new)
                if self.running:
                    with open_pod(host.paths, new) as pod:
                        start.start(host, pod)
            except PodError as err:
                _roll_back(host, name, old, new, err, was_running=was_running)
                raise
            _retire(host, old)
        for uuid in gc.named_leftovers(host, name):
            if uuid != new:
                _clear(host, uuid)


class StartPod(Change):
    """Start a pod that is prepared, or one that has ended: from its documents, as a new pod."""

    name: str

    def apply(self, host: Host) -> None:
        """The pod's name means the pod that runs afterwards."""
        with lookup.resolve(host.paths, self.name) as found:
            if found.state() is PodState.RUNNING:
                return
            manifest = documents.read_manifest(found.dir)
            check_sources(manifest)
            check_ports(host, manifest, found.uuid)
        with start.start_again(host, self.name) as pod:
            start.start(host, pod)
            _remove_others(host, self.name, pod.uuid)


class StopPod(Change):
    """Stop a pod; it keeps its files and its name."""

    name: str

    def apply(self, host: Host) -> None:
        """Waits until it has ended."""
        with lookup.resolve(host.paths, self.name) as pod:
            start.stop(host, pod)


class RestartPod(Change):
    """Stop a pod and start it again from its documents."""

    name: str

    def apply(self, host: Host) -> None:
        """A new pod is prepared before the old one is stopped."""
        with lookup.resolve(host.paths, self.name) as old:
            manifest = documents.read_manifest(old.dir)
            check_sources(manifest)
            check_ports(host, manifest, old.uuid)
            with reprepare(host, old) as fresh:
                new = fresh.uuid
            try:
                start.stop(host, old)
                lookup.set_name(host.paths, self.name, new)
                with open_pod(host.paths, new) as pod:
                    start.start(host, pod)
            except PodError as err:
                _roll_back(host, self.name, old, new, err, was_running=True)
                raise
            _retire(host, old)
        _remove_others(host, self.name, new)


class RemovePod(Change):
    """Stop a pod and delete everything that is left of it, and of the pods that had its name before."""

    name: str

    def apply(self, host: Host) -> None:
        """Its network, cgroups, mounts, files, unit and name."""
        try:
            with lookup.resolve(host.paths, self.name) as pod:
                gc.remove_whole(host, pod)
        except NotFound:
            pass
        for uuid in gc.named_leftovers(host, self.name):
            _clear(host, uuid)


def _required(wanted: Preparation | None) -> Preparation:
    if wanted is None:
        raise HostFailure("an image that the pod needs was not fetched", "this is a bug of stagecraft.pods")
    return wanted


def _prepare_new(host: Host, wanted: Preparation | None, replaced: str) -> str:
    found = _required(wanted)
    check_ports(host, found.built.manifest, replaced)
    pod = prepare(host, found)
    commit(pod)
    return pod.uuid


def _roll_back(host: Host, name: str, old: Pod, new: str, err: PodError, *, was_running: bool) -> None:
    """Bring the old pod back after a failure; what came of it goes into the facts of err."""
    err.facts["rolled_back"] = False
    err.facts.setdefault("stage", "start")
    lookup.set_name(host.paths, name, old.uuid)
    try:
        _clear(host, new)
        lookup.set_name(host.paths, name, old.uuid)
        if was_running and old.state() is not PodState.RUNNING:
            with start.start_again(host, name) as pod:
                start.start(host, pod)
            _remove_others(host, name, lookup.uuid_of_name(host.paths, name) or "")
        err.facts["rolled_back"] = True
    except PodError as second:
        err.message += f"; bringing the old pod back failed as well: {second.message}"


def _retire(host: Host, old: Pod) -> None:
    """Remove a pod that was replaced."""
    _clear(host, old.uuid)


def _remove_others(host: Host, name: str, kept: str) -> None:
    for uuid in gc.named_leftovers(host, name):
        if uuid != kept:
            _clear(host, uuid)


def _clear(host: Host, uuid: str) -> None:
    """Remove a pod whatever became of it; the next gc does what cannot be done now."""
    try:
        with open_pod(host.paths, uuid) as pod:
            start.stop(host, pod)
            gc.remove(host, pod)
    except (NotFound, HostFailure):
        return


def prepared_pod(host: Host, wanted: Preparation) -> str:
    """Prepare a pod and name it; its UUID."""
    uuid = _prepare_new(host, wanted, "")
    name_pod(host, wanted.runspec, uuid)
    return uuid
