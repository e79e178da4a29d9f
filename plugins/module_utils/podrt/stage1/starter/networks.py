# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a pod, as its documents request them. Source: behaviours C40, E1, E2, E25."""

from __future__ import annotations

import _socket
import os

from ...contexts import nullcontext, suppress
from ...errors import HostFailure, PodError
from ...host.files import write_new
from ...net.announce import announce
from ...net.attach import attach, loopback_only
from ...net.conf import choose, load_confs
from ...net.detach import detach
from ...net.firewall import begin_tables
from ...net.hostlock import programs_lock
from ...net.info import read_net_info
from ...net.member import JoiningPod
from ...net.names import leave as leave_names
from ...net.neighbours import Neighbours
from ...net.network_plan import network_plan
from ...net.programs import find_delegates, find_programs
from ...net.resolv import from_network, resolv_conf
from ...net.rules import forwards_of, rules_of_record
from ...net.takeover import share_leases
from ...pod import documents, holders
from .stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...appc.pod import PodManifest
    from ...host.dirs import PodDir
    from ...host.host import Host
    from ...host.paths import Paths
    from ...host.programs import Running
    from ...net.dhcp import DhcpLease
    from ...net.info import NetInfo
    from ...net.network_plan import NetworkPlan
    from ...net.rules import PodRules
    from ...pod.runspec import RunSpec


def plan_networks(
    host: Host, manifest: PodManifest, runspec: RunSpec, report: Callable[[str], None]
) -> NetworkPlan:
    """The networks that a pod is to join. Raises NotFound, InvalidSpec, HostFailure."""
    try:
        confs = load_confs(host.paths.config_dirs, report)
        chosen = choose(confs, tuple((request.name, request.args) for request in runspec.networks))
        chosen = find_delegates(chosen, host.paths)
        programs = find_programs(chosen, host.paths)
    except OSError as err:
        raise HostFailure.of("cannot read the network configurations", err) from err
    forwards = forwards_of(manifest) if chosen else ()
    plan = network_plan(chosen, forwards, programs, manifest.network_limit)
    return plan.replace(aliases=(runspec.name, *runspec.aliases)) if runspec.name else plan


def prepare(paths: Paths, uuid: str, plan: NetworkPlan) -> Running | None:
    """Record the pod as a holder for other data directories, and begin to make the tables that it needs, if any.

    The leases of the host are shared before, also those of 0.1.0. Raises PodError.
    """
    try:
        for other in share_leases(paths):
            holders.record(paths, other)
        holders.record(paths, uuid)
    except OSError as err:
        raise HostFailure.of("networking: cannot use the leases of the host", err) from err
    return begin_tables(paths, plan.foundations, neighbours(paths, uuid))


def join(
    pod: JoiningPod,
    pid: int,
    plan: NetworkPlan | None,
    report: Callable[[str], None],
    later: list[Callable[[], None]],
    leases: list[DhcpLease],
) -> tuple[NetInfo, ...]:
    """Join PID 1's network namespace to networks, or bring up its loopback interface alone. Raises PodError.

    later: receives the work that the apps need not wait for. leases: receives those of DHCP servers.
    """
    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if plan is None or not plan.attachments:
            report("networking namespace with loopback only")
            loopback_only(netns)
            return ()
        path = f"/proc/{pid}/ns/net"
        _record_netns(pod.paths, pod.uuid, path)
        # A program that collects would take what it attaches now for what is not attached.
        with programs_lock(pod.paths, shared=True) if plan.executes else nullcontext():
            infos = attach(pod.replace(netns=path), netns, plan, report=report, later=later, leases=leases)
        later += [lambda: _announce(pid, infos), lambda: sweep(pod.paths)]
        return infos
    finally:
        os.close(netns)


def _announce(pid: int, infos: tuple[NetInfo, ...]) -> None:
    """Announce the addresses of a pod to its neighbours, if it still runs."""
    with suppress(OSError):
        netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            announce(netns, infos)
        finally:
            os.close(netns)


def _record_netns(paths: Paths, uuid: str, netns: str) -> None:
    """Record the path of the pod's network namespace in its directory. Raises HostFailure."""
    try:
        write_new(paths.pod("run", uuid).netns, netns.encode())
    except OSError as err:
        raise HostFailure.of("networking: cannot record the network namespace of the pod", err) from err


def joining_pod(paths: Paths, uuid: str) -> JoiningPod:
    """A running pod, as its networks see it."""
    pod = paths.pod("run", uuid)
    joining = JoiningPod(paths, uuid, pod.net_confs, pod.net_info, neighbours(paths, uuid))
    if os.path.exists(pod.net_kept):
        from ...net.kept import read_kept  # only for a pod that a task has moved

        return joining.replace(kept=read_kept(pod))
    return joining


def may_give_dns(runspec: RunSpec, plan: NetworkPlan) -> bool:
    """Whether resolv.conf can depend on the results of the networks. Pure."""
    return runspec.dns.mode == "auto" and any(
        attachment.conf.main.dns.to_json() or not attachment.is_sure for attachment in plan.attachments
    )


def resolv_of(infos: tuple[NetInfo, ...], report: Callable[[str], None]) -> str:
    """The resolv.conf of the first network with DNS settings, "" if no network has any."""
    asking = [info for info in infos if info.result.dns.to_json()]
    for other in asking[1:]:
        report(
            f"the DNS settings of network {other.net_name} are ignored: those of {asking[0].net_name} are used"
        )
    if not asking:
        return ""
    dns, name = asking[0].result.dns, asking[0].net_name
    return resolv_conf(dns.nameservers, dns.search, dns.options, dns.domain, from_network(name))


def neighbours(paths: Paths, uuid: str) -> Neighbours:
    """The other pods of the host, in any data directory."""
    return Neighbours(
        is_live=lambda other: holders.is_live(paths, other),
        shown=lambda other: holders.shown(paths, other),
        rules=lambda: _running_rules(paths, uuid),
    )


def leave_networks(paths: Paths, uuid: str, pod: PodDir, *, links: bool = True) -> None:
    """Remove a pod that has ended from its networks, if it may be in any; see detach for links. Raises PodError.

    Copies of the configurations are the first files that joining writes, and the last that leaving removes. The pod's
    link as a holder goes after that: without it the UUID would look like another engine's, and its leases would stay.
    """
    if holders.may_hold(paths, uuid, pod):
        _release(paths, uuid, pod, links=links)
    holders.forget(paths, uuid)


def _release(paths: Paths, uuid: str, pod: PodDir, *, links: bool = True) -> None:
    """Give back what it holds there: its names, and then all else, also if those could not be taken back."""
    try:
        leave_names(paths, uuid)
    finally:
        detach(JoiningPod(paths, uuid, pod.net_confs, pod.net_info), links=links)


def sweep(paths: Paths) -> None:
    """Release what pods hold that have ended by themselves. Failures are left for the next time."""
    for home, uuid, state_dir in holders.dead(paths):
        pod = home.pod(state_dir, uuid)
        with suppress(PodError, OSError):
            _release(home, uuid, pod)
            holders.forget(home, uuid)


def _running_rules(paths: Paths, uuid: str) -> Iterator[PodRules]:
    """The nftables rules of every pod but uuid whose PID 1 lives: none of these has begun to leave its networks.

    Of pods in this network namespace only: tests, and other users of network namespaces, run pods side by side.
    """
    here = {name for _index, name in _socket.if_nameindex()}
    for pod in holders.running(paths):
        with suppress(PodError, OSError):
            pid = documents.read_pid(pod.dir)
            if pod.uuid == uuid or not pid or not holds(pid, pod):
                continue
            infos = read_net_info(pod.dir.net_info)
            if infos and infos[0].is_built_in and infos[0].host_if not in (*here, ""):
                continue
            yield rules_of_record(pod.uuid, infos, forwards_of(documents.read_manifest(pod.dir)))
