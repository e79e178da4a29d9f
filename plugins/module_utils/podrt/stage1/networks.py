# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a pod as its documents ask for them. Source: behaviours C40, E1, E2, E25."""

from __future__ import annotations

import contextlib
import os

from ..errors import HostFailure, InvalidSpec, NotFound, PodError
from ..net.attach import Neighbours, PortForward, attach, loopback_only
from ..net.conf import choose, load_confs
from ..net.info import read_net_info
from ..net.resolv import from_network, resolv_conf
from ..net.rules import rules_of_record
from ..pod import documents
from ..pod.lifecycle import PodState, locate, open_pod, walk
from .stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..host.paths import Paths
    from ..net.conf import ChosenNet
    from ..net.info import NetInfo
    from ..net.rules import PodRules
    from ..pod.runspec import RunSpec

_ANY = "0.0.0.0"
_UUID_LENGTH = 36
_OWN_TYPES = ("ptp", "bridge", "macvlan", "ipvlan")
_OWN_IPAM = ("", "host-local", "static")


def choose_networks(host: Host, runspec: RunSpec, report: Callable[[str], None]) -> tuple[ChosenNet, ...]:
    """The networks that a pod joins which wants some. Raises NotFound, InvalidSpec."""
    try:
        confs = load_confs(host.paths.config_dirs, report)
    except OSError as err:
        raise HostFailure.of("cannot read the network configurations", err) from err
    return choose(confs, tuple((request.name, request.args) for request in runspec.networks))


def join(  # noqa: PLR0913 - one call from the start, which has nothing else to put these into
    host: Host,
    uuid: str,
    pid: int,
    manifest: PodManifest,
    chosen: tuple[ChosenNet, ...],
    report: Callable[[str], None],
    *,
    later: list[Callable[[], None]],
) -> tuple[NetInfo, ...]:
    """Join PID 1's network namespace to networks, or bring up its loopback interface alone. Raises PodError.

    later gets what the apps need not wait for.
    """
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
            neighbours=neighbours(host.paths, uuid),
            report=report,
            later=later,
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
        host_ip = None if exposed.host_ip == _ANY else exposed.host_ip
        found.append(PortForward(port.protocol, host_ip, exposed.host_port, port.port))
    return tuple(found)


def neighbours(paths: Paths, uuid: str) -> Neighbours:
    """The other pods of the host, as far as this data directory knows them."""
    return Neighbours(
        is_live=lambda other: not _is_known(paths, other) or _is_running(paths, other),
        is_known=lambda other: _is_known(paths, other),
        rules=lambda: _running_rules(paths, uuid),
    )


def _is_known(paths: Paths, uuid: str) -> bool:
    """Whether a holder of something is a pod of this data directory, whatever has become of it."""
    return len(uuid) == _UUID_LENGTH and "/" not in uuid and locate(paths, uuid) is not None


def _is_running(paths: Paths, uuid: str) -> bool:
    try:
        with open_pod(paths, uuid) as pod:
            return pod.state() is PodState.RUNNING
    except NotFound:
        return False


def _running_rules(paths: Paths, uuid: str) -> Iterator[PodRules]:
    """What nftables says for every pod but uuid whose PID 1 lives: none of these has begun to leave its networks."""
    for pod in walk(paths, ("run",)):
        with contextlib.suppress(PodError, OSError):
            pid = documents.read_pid(pod.dir)
            if pod.uuid == uuid or not pid or not holds(pid, pod):
                continue
            infos = read_net_info(pod.dir.net_info)
            yield rules_of_record(pod.uuid, infos, forwards(documents.read_manifest(pod.dir)))


def _may_answer(net: ChosenNet) -> bool:
    conf = net.conf
    return bool(conf.dns.to_json()) or conf.type not in _OWN_TYPES or conf.ipam.type not in _OWN_IPAM
