# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drift of a running pod: what it has lost of its networks, limits and groups. Reading starts no program.

Each of the three is read by itself; a warning reports one that cannot be read.
"""

from __future__ import annotations

import os

from ..errors import Corrupt, NotFound, PodError, reason_of
from ..net.drift import LATER, find_drift, read_joined
from ..net.info import read_net_info
from ..net.rules import forwards_of
from ..pod import cgroups
from ..pod.documents import stage1_of
from ..pod.lifecycle import PodState, open_pod
from ..pod.limits import changed_limits
from ..pod.strays import find_strays
from ..value import Value
from .change import Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..net.drift import Drift, Joined
    from ..net.info import NetInfo
    from ..pod.lifecycle import Pod
    from .status import PodStatus


class DriftReport(Value):
    """The drift of a running pod, and a warning for each part that could not be read."""

    lost: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()

    def beside(self, other: DriftReport) -> DriftReport:
        """Both looks as one."""
        return DriftReport(self.lost + other.lost, self.warnings + other.warnings)


class _Subject(Value):
    """The running pod. can_mend, knows_switches: features of its own runtime."""

    host: Host
    pod: Pod
    found: PodStatus
    manifest: PodManifest
    pid: int
    can_mend: bool
    knows_switches: bool


def find_pod_drift(host: Host, found: PodStatus) -> DriftReport:
    """The drift of a running pod, as the kernel shows it. impact: live, or restart for an older runtime."""
    if found.manifest is None or not found.pid:
        return DriftReport()
    try:
        with open_pod(host.paths, found.uuid) as pod:
            stage1 = stage1_of(host, pod)
            if not stage1.shows_drift:
                return DriftReport()
            subject = _Subject(
                host,
                pod,
                found,
                found.manifest,
                found.pid,
                stage1.offers("mend"),
                stage1.has_module("net/switches.py"),
            )
            seen = _look(subject)
            # A pod that ends meanwhile has lost everything; its end is reported elsewhere.
            return seen if seen == DriftReport() or _runs(host, pod, found.pid) else DriftReport()
    except NotFound:
        return DriftReport()


def _look(subject: _Subject) -> DriftReport:
    looks = {"networks": _networks}
    if subject.can_mend:
        looks = {"limits": _limits, "processes": _strays, **looks}
    if subject.found.runspec and subject.found.runspec.names:
        looks["names"] = _names
    seen = DriftReport()
    for what, look_at in looks.items():
        try:
            seen = seen.beside(look_at(subject))
        except (PodError, OSError) as err:
            seen = seen.beside(_unseen(subject, what, reason_of(err)))
    return seen


def _unseen(subject: _Subject, what: str, reason: str) -> DriftReport:
    return DriftReport((), (f'cannot tell what pod "{subject.found.name}" has lost of its {what}: {reason}',))


def _runs(host: Host, pod: Pod, pid: int) -> bool:
    """Whether a pod still runs, with its first process."""
    return pod.state() is PodState.RUNNING and host.ask(is_process, pid)


def is_process(pid: int) -> bool:
    """Whether there is a process with this PID, zombies included."""
    return os.path.exists(f"/proc/{pid}")


def _limits(subject: _Subject) -> DriftReport:
    manifest = subject.manifest
    names = [str(app.name) for app in manifest.apps]
    differences = []
    for changed in subject.host.ask(changed_limits, cgroups.recorded(subject.pod.dir), manifest):
        option = _option_of(changed.isolator)
        path = f"apps[{names.index(changed.leaf)}].{option}" if changed.leaf else option
        before = f"{changed.setting.file}={changed.found}"
        differences.append(Difference(path, before, changed.setting.value, "drift", "live"))
    return DriftReport(tuple(differences))


def _option_of(isolator: str) -> str:
    """The name of the option that is an isolator."""
    from .options.app import APP  # for what has drifted alone

    return next((row.name for row in APP if row.document.startswith(f"app.isolators[{isolator}]")), isolator)


def _strays(subject: _Subject) -> DriftReport:
    """A difference for each app, and one for processes of no app: PIDs and counts change at any time."""
    names = [str(app.name) for app in subject.manifest.apps]
    strays = subject.host.ask(find_strays, subject.pod.dir, subject.pid, names)
    paths = [
        f"apps[{names.index(leaf)}]" if leaf else f"pods.{subject.found.name}"
        for leaf in dict.fromkeys(stray.leaf for stray in strays)
    ]
    before = "processes outside of its control group"
    return DriftReport(tuple(Difference(path, before, "inside", "drift", "live") for path in paths))


def _networks(subject: _Subject) -> DriftReport:
    pod, runspec = subject.pod, subject.found.runspec
    if runspec is None or runspec.host_network or runspec.no_network:
        return DriftReport()
    infos, joined = read_joined(pod.uuid, pod.dir.net_info, pod.dir.net_confs)
    if not joined:  # it has a PID, and so has joined them
        raise Corrupt("the record of its networks is missing", "restart the pod")
    unknown = () if subject.knows_switches else LATER
    forwards = forwards_of(subject.manifest)
    limit = subject.manifest.network_limit
    drift = subject.host.ask(find_drift, subject.pid, joined, infos, forwards, limit=limit, unknown=unknown)
    seen = DriftReport(
        tuple(_network_differences(subject, [request.name for request in runspec.networks], joined, drift))
    )
    for sentence in drift.unseen:
        seen = seen.beside(_unseen(subject, "networks", sentence))
    if any(network.has_programs for network in joined):
        complaints = tuple(
            _complaints(subject, [request.name for request in runspec.networks], joined, infos)
        )
        seen = seen.beside(DriftReport(complaints))
    return seen


def _complaints(
    subject: _Subject, asked: list[str], joined: Sequence[Joined], infos: Sequence[NetInfo]
) -> Iterator[Difference]:
    """What programs of networks miss of theirs. Only they could restore it, and CNI has no such command."""
    from ..net.drivers.external import complaints
    from ..net.member import JoiningPod, NetMember

    place, netns = subject.pod.dir, f"/proc/{subject.pid}/ns/net"
    pod = JoiningPod(subject.host.paths, subject.pod.uuid, place.net_confs, place.net_info, netns=netns)
    members = [
        (NetMember(pod, network.conf, network.place, info.args), info.result)
        for network, info in zip(joined, infos)
    ]
    for index, sentence in subject.host.ask(complaints, members):
        yield Difference(_path(joined[index].conf.name, asked), sentence, "as joined", "drift", "restart")


def _names(subject: _Subject) -> DriftReport:
    """The names of other pods that its hosts files lack, or have too many; and its name servers, if it has the host's.

    A pod that has them is of a release that mends them.
    """
    from ..net import names, servers

    pod, runspec = subject.pod, subject.found.runspec
    if runspec is None:
        return DriftReport()
    found: list[Difference] = []
    named = names.named_pod(
        pod.dir,
        subject.manifest,
        names.names_of(runspec.name, runspec.aliases, subject.manifest),
        runspec.own_hostname(f"rkt-{pod.uuid}"),
        lists=runspec.own_hosts,
    )
    infos = read_net_info(pod.dir.net_info) if named.files and runspec.has_addresses else ()
    words = subject.host.ask(names.what_is_wrong, pod.paths, named, infos) if infos else ""
    if words:
        found.append(Difference("networks", words, "as joined", "drift", "live"))
    if runspec.follows_servers:
        held, now = subject.host.ask(servers.compared, pod.dir, shares_network=runspec.host_network)
        if held != now:
            found.append(Difference("dns", held, now, "drift", "live"))
    return DriftReport(tuple(found))


def _network_differences(
    subject: _Subject, asked: list[str], joined: Sequence[Joined], drift: Drift
) -> Iterator[Difference]:
    impact = "live" if subject.can_mend else "restart"
    for index, words in drift.sentences:
        name = joined[index].conf.name if index >= 0 else ""
        yield Difference(_path(name, asked), f"missing: {words}", "as joined", "drift", impact)


def _path(name: str, asked: list[str]) -> str:
    """The place of a network in the option that lists them."""
    return f"networks[{asked.index(name)}]" if name in asked else "networks"
