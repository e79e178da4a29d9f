# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks before anything running is touched: host ports that are taken."""

from __future__ import annotations

from ..errors import Conflict, PodError
from ..pod import documents, holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..appc.pod import PodManifest
    from ..host.host import Host

_ANY = "0.0.0.0"


def check_ports(host: Host, manifest: PodManifest, replaced: str = "") -> None:
    """Raise Conflict when a host port of the manifest is taken by another pod or by a process of the host.

    replaced: the UUID of a pod that will have released its ports by then.
    """
    wanted = _forwards(manifest)
    if not wanted:
        return
    from ..net.ports import is_bound  # few pods have ports

    own: set[tuple[str, str, int]] = set()
    for pod in holders.running(host.paths):
        try:
            taken = _forwards(documents.read_manifest(pod.dir))
        except (OSError, PodError):
            continue
        if pod.uuid == replaced:
            own |= taken
            continue
        addresses: dict[tuple[str, int], set[str]] = {}  # ranges are long
        for protocol, address, port in taken:
            addresses.setdefault((protocol, port), set()).add(address)
        for protocol, address, port in sorted(wanted):
            others = addresses.get((protocol, port), set())
            if others and (address == _ANY or others & {address, _ANY}):
                raise _conflict(protocol, address, port, f'pod "{pod.uuid}"')
    for protocol, address, port in sorted(wanted - own):
        if host.ask(is_bound, protocol, address, port):
            raise _conflict(protocol, address, port, "a process of the host")


def _forwards(manifest: PodManifest) -> set[tuple[str, str, int]]:
    if not manifest.ports:
        return set()
    from ..net.rules import forwards_of

    return {
        (forward.protocol, forward.host_ip or _ANY, forward.host_port) for forward in forwards_of(manifest)
    }


def _conflict(protocol: str, address: str, port: int, holder: str) -> Conflict:
    return Conflict(
        f"host port {protocol} {address}:{port} is in use by {holder}",
        "choose another host_port, or stop what holds it",
        where="ports",
        port=port,
    )
