# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host ports that the host chooses: host_port: auto.

A port is chosen once, when a pod is prepared, and is in its manifest from then on: a pod that is started again has that
manifest, and one that takes the place of a named pod keeps the ports of that. The choice is made and written under
the lock of the firewall, so that no two pods make the same one.
"""

from __future__ import annotations

import binascii

from ..appc.ports import ANY_V4, ANY_V6, AUTO_PORTS
from ..contexts import contextmanager, suppress
from ..errors import Conflict, InvalidSpec, PodError
from ..net.firewall import published_ports
from ..net.hostlock import host_lock
from ..net.ports import is_bound
from ..net.rules import exposed_targets, forwards_of
from ..pod import documents
from ..pod.lifecycle import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Optional

    from ..appc.pod import PodManifest
    from ..host.host import Host

    _Taken = set[tuple[str, int]]
    _Key = tuple[str, int, int, Optional[str]]

_STATES = ("prepare", "prepared", "run", "exited-garbage")


def with_kept(wanted: PodManifest, found: PodManifest) -> PodManifest:
    """A wanted manifest with the ports that were chosen for the pod that has its name. Pure."""
    held: dict[_Key, int] = {}  # by what they lead to: an app may give a port another name
    with suppress(InvalidSpec):  # of a manifest that makes no sense, nothing is kept
        for exposed, protocol, first, count in exposed_targets(found):
            if exposed.auto:
                held[protocol, first, count, exposed.host_ip] = exposed.host_port
    ports = tuple(
        exposed.replace(host_port=held.get((protocol, first, count, exposed.host_ip), 0))
        if exposed.is_open
        else exposed
        for exposed, protocol, first, count in exposed_targets(wanted)
    )
    return wanted.replace(ports=ports)


@contextmanager
def settled(host: Host, manifest: PodManifest, name: str) -> Iterator[PodManifest]:
    """A manifest with a number for each port that has none yet; others choose none until the context ends.

    name: of the pod, which gets the same ports again where they are free. Raises Conflict when none is free.
    """
    with host_lock(host.paths, "net-firewall"):
        taken = _taken(host)
        ports = []
        for exposed, protocol, first, count in exposed_targets(manifest):
            if not exposed.is_open:
                ports.append(exposed)
                continue
            seed = binascii.crc32(f"{name} {protocol} {first} {exposed.host_ip or ''}".encode())
            number = _free(host, taken, protocol, count, seed)
            taken |= {(protocol, each) for each in range(number, number + count)}
            ports.append(exposed.replace(host_port=number))
        yield manifest.replace(ports=tuple(ports))


def _free(host: Host, taken: _Taken, protocol: str, count: int, seed: int) -> int:
    """The first of so many free ports in a row; the search begins where the seed says."""
    places = len(AUTO_PORTS) - count + 1
    for offset in range(places):
        first = AUTO_PORTS[(seed + offset) % places]
        wanted = range(first, first + count)
        if any((protocol, number) in taken for number in wanted):
            continue
        if not any(_is_bound(host, protocol, number) for number in wanted):
            return first
    raise Conflict(
        f"no {count} ports in a row are free on this host between {AUTO_PORTS[0]} and {AUTO_PORTS[-1]}"
        if count > 1
        else f"no port is free on this host between {AUTO_PORTS[0]} and {AUTO_PORTS[-1]}",
        "give the number of another one as host_port",
        where="ports",
    )


def _is_bound(host: Host, protocol: str, number: int) -> bool:
    return any(host.ask(is_bound, protocol, address, number) for address in (ANY_V4, ANY_V6))


def _taken(host: Host) -> _Taken:
    """The ports of every pod, also of those that do not run, and those in the tables, of other data directories."""
    taken: _Taken = set(host.ask(published_ports))
    for pod in walk(host.paths, _STATES):
        try:
            forwards = forwards_of(documents.read_manifest(pod.dir))
        except (OSError, PodError):
            continue
        taken |= {(forward.protocol, forward.host_port) for forward in forwards}
    return taken
