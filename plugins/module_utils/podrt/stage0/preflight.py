# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks before anything running is touched: host ports that are taken, and networks that do not do what is asked."""

from __future__ import annotations

from ..appc.ports import ANY_V4, hosts_clash
from ..errors import Conflict, PodError
from ..pod import documents, holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.runspec import RunSpec

_V4 = 32  # bits of an address
_PLAIN = ("default", "host", "none")


def check_ports(host: Host, manifest: PodManifest, replaced: str = "", families: Sequence[int] = ()) -> None:
    """Raise Conflict when a host port of the manifest is taken by another pod or by a process of the host.

    replaced: the UUID of a pod that will have released its ports by then. families: those over which ports on every
    address are published, as the bits of their addresses; IPv4 where that is not known.
    """
    wanted = _forwards(manifest)
    if not wanted:
        return
    from ..net.ports import is_bound, probed  # few pods have ports

    own: set[tuple[str, str, int]] = set()
    for pod in holders.running(host.paths):
        try:
            taken = _forwards(documents.read_manifest(pod.dir))
        except (OSError, PodError):
            continue
        if pod.uuid == replaced:
            own |= taken
            continue
        _check_pod(wanted, taken, f'pod "{documents.read_outline(pod.dir).name or pod.uuid}"')
    for protocol, address, port in sorted(wanted - own):
        for probe in probed(address or None, families or (_V4,)):
            if host.ask(is_bound, protocol, probe, port):
                raise _conflict(protocol, probe, port, "a process of the host")


def check_start(host: Host, manifest: PodManifest, runspec: RunSpec) -> tuple[str, ...]:
    """Check the host ports of a pod, whose start finds what else is wrong; returns the warnings about its networks.

    Nothing is looked at for one without ports and limits in the default network alone: its start takes milliseconds.
    Raises Conflict.
    """
    if not manifest.ports and not manifest.network_limit and _is_plain(runspec):
        return ()
    from ..net.reach import unrouted
    from ..net.rules import forwards_of
    from .networks import plan_of_networks, unjoined_warnings, warnings_of_plan

    try:
        plan = plan_of_networks(host, manifest, runspec)
    except PodError:
        check_ports(host, manifest)
        return (*unrouted(forwards_of(manifest)), *unjoined_warnings(runspec))
    check_ports(host, manifest, families=plan.families if plan else ())
    return warnings_of_plan(host, plan) if plan else unjoined_warnings(runspec)


def _is_plain(runspec: RunSpec) -> bool:
    """Whether a pod is in one network that every host has."""
    return len(runspec.networks) == 1 and runspec.networks[0].name in _PLAIN


def _check_pod(wanted: set[tuple[str, str, int]], taken: set[tuple[str, str, int]], holder: str) -> None:
    addresses: dict[tuple[str, int], set[str]] = {}  # ranges are long
    for protocol, address, port in taken:
        addresses.setdefault((protocol, port), set()).add(address)
    for protocol, address, port in sorted(wanted):
        others = addresses.get((protocol, port), set())
        if any(hosts_clash(address or None, other or None) for other in others):
            raise _conflict(protocol, address, port, holder)


def _forwards(manifest: PodManifest) -> set[tuple[str, str, int]]:
    """Protocol, address and number of each port; "" for every address."""
    if not manifest.ports:
        return set()
    from ..net.rules import forwards_of

    return {(forward.protocol, forward.host_ip or "", forward.host_port) for forward in forwards_of(manifest)}


def _conflict(protocol: str, address: str, port: int, holder: str) -> Conflict:
    shown = f"[{address}]" if ":" in address else address or ANY_V4
    return Conflict(
        f"host port {protocol} {shown}:{port} is in use by {holder}",
        "choose another host_port, or stop what holds it",
        where="ports",
        port=port,
    )
