# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a pod as its documents ask for them. Source: behaviours C40, E1, E2, E25."""

from __future__ import annotations

import os

from ..errors import HostFailure, InvalidSpec, NotFound
from ..net.attach import PortForward, attach, loopback_only
from ..net.conf import choose, load_confs
from ..net.resolv import from_network, resolv_conf
from ..pod.lifecycle import PodState, open_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..host.paths import Paths
    from ..net.conf import ChosenNet
    from ..net.info import NetInfo
    from ..pod.runspec import RunSpec

_OWN_TYPES = ("ptp", "bridge", "macvlan", "ipvlan")
_OWN_IPAM = ("", "host-local", "static")


def choose_networks(host: Host, runspec: RunSpec, report: Callable[[str], None]) -> tuple[ChosenNet, ...]:
    """The networks that a pod joins which wants some. Raises NotFound, InvalidSpec."""
    try:
        confs = load_confs(host.paths.config_dirs, report)
    except OSError as err:
        raise HostFailure.of("cannot read the network configurations", err) from err
    return choose(confs, tuple((request.name, request.args) for request in runspec.networks))


def join(
    host: Host,
    uuid: str,
    pid: int,
    manifest: PodManifest,
    chosen: tuple[ChosenNet, ...],
    report: Callable[[str], None],
) -> tuple[NetInfo, ...]:
    """Join PID 1's network namespace to networks, or bring up its loopback interface alone. Raises PodError."""
    pod = host.paths.pod("run", uuid)
    netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not chosen:
            report("networking namespace with loopback only")
            loopback_only(netns)
            return ()
        return attach(
            host.paths,
            uuid,
            netns,
            chosen,
            forwards(manifest),
            pod.net_confs,
            pod.net_info,
            is_live=lambda other: is_live(host.paths, other),
            report=report,
        )
    finally:
        os.close(netns)


def may_give_dns(runspec: RunSpec, chosen: tuple[ChosenNet, ...]) -> bool:
    """Whether resolv.conf can depend on what the networks answer. Pure."""
    return runspec.dns.mode == "auto" and any(_may_answer(net) for net in chosen)


def resolv_of(infos: tuple[NetInfo, ...], report: Callable[[str], None]) -> str:
    """The resolv.conf that the networks ask for, "" when none does; the first one wins."""
    asking = [info for info in infos if info.dns.to_json()]
    for other in asking[1:]:
        report(
            f"the DNS settings of network {other.net_name} are ignored: {asking[0].net_name} has given some"
        )
    if not asking:
        return ""
    dns, name = asking[0].dns, asking[0].net_name
    return resolv_conf(dns.nameservers, dns.search, dns.options, dns.domain, from_network(name))


def forwards(manifest: PodManifest) -> tuple[PortForward, ...]:
    """The host's ports that lead to ports of apps. Pure. Raises InvalidSpec for a port that no app has."""
    known = {port.name: port for app in manifest.apps if app.app for port in app.app.ports}
    found = []
    for exposed in manifest.ports:
        port = known.get(exposed.name)
        if port is None:
            raise InvalidSpec(f'port name "{exposed.name}" could not be found in any apps', where="ports")
        found.append(PortForward(port.protocol, exposed.host_ip, exposed.host_port, port.port))
    return tuple(found)


def is_live(paths: Paths, uuid: str) -> bool:
    """Whether a pod runs, and so needs its addresses and ports."""
    try:
        with open_pod(paths, uuid) as pod:
            return pod.state() is PodState.RUNNING
    except NotFound:
        return False


def _may_answer(net: ChosenNet) -> bool:
    conf = net.conf
    return bool(conf.dns.to_json()) or conf.type not in _OWN_TYPES or conf.ipam.type not in _OWN_IPAM
