# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the networks of a host, also of those that cannot be used."""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import InvalidSpec, PodError, reason_of
from ..host.files import entries
from ..net.addresses import V4_BITS, Address
from ..net.plan import bridge_of, gateway_holder
from ..net.reservations import is_lease, lease_dir
from ..value import Value
from .network_files import defining, network_files
from .network_fit import gateways_of, range_sets_of
from .network_users import as_asked_for, as_joined, network_users, outdated_users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..host.host import Host
    from ..net.conf import NetConf
    from ..net.network_plan import HostFacts
    from ..net.ranges import AddressRange
    from .network_files import NetworkFile
    from .network_users import NetworkUser


class NetworkStatus(Value):
    """A network. leases: how many addresses are leased, None where that cannot be counted.

    free: how many addresses of IPv4 are not, None without any. problem: what is wrong with the file, or with what the
    host has of the network.
    """

    file: NetworkFile
    users: tuple[NetworkUser, ...] = ()
    leases: int | None = None
    free: int | None = None
    problem: str = ""

    @property
    def ranges(self) -> tuple[AddressRange, ...]:
        """The ranges of its addresses."""
        conf = self.file.conf
        return tuple(span for ranges in range_sets_of(conf) for span in ranges) if conf else ()


def list_networks(host: Host) -> tuple[NetworkStatus, ...]:
    """Every network, sorted by name, and every file that defines none. Raises nothing of a single network."""
    files = network_files(host.paths)
    known = defining(files)
    users, (facts, blind) = network_users(host), _facts(host)
    found = []
    for name in sorted(known):
        status = _status(host, known[name], users, facts)
        found.append(status.replace(problem="; ".join(filter(None, (status.problem, blind)))))
    return (*found, *(NetworkStatus(file, problem=why) for file, why in _unused(files, known)))


def network_status(host: Host, name: str) -> NetworkStatus | None:
    """One of them, None if there is no network of the name."""
    return next((status for status in list_networks(host) if status.file.name == name), None)


def _facts(host: Host) -> tuple[HostFacts | None, str]:
    """What the host has, or why that cannot be read."""
    from ..net.facts import host_facts

    try:
        return host.ask(host_facts), ""
    except PodError as err:
        return None, err.message


def _status(
    host: Host, file: NetworkFile, users: Sequence[NetworkUser], facts: HostFacts | None
) -> NetworkStatus:
    conf = file.conf
    own = tuple(user for user in users if user.network == file.name)
    if conf is None or file.problem:
        return NetworkStatus(file, own, problem=file.problem)
    status = NetworkStatus(file, own)
    joined = as_joined(host, conf)
    problems = [*_unjoinable(host, conf), *(_drift(joined, own, facts) if facts and joined else ())]
    if status.ranges:
        try:
            leased = _leased(lease_dir(host.paths, conf))
            status = status.replace(leases=len(leased), free=_free(status.ranges, leased))
        except OSError as err:
            problems.append(f"cannot count its leases: {reason_of(err)}")
    return status.replace(problem="; ".join(problems))


def _unjoinable(host: Host, conf: NetConf) -> Iterator[str]:
    """What keeps every pod from joining a network, such as a plugin whose program is missing."""
    from ..net.network_plan import network_plan
    from ..net.programs import find_delegates, find_programs

    try:
        chosen = find_delegates((as_asked_for(conf),), host.paths)
        network_plan(chosen, (), find_programs(chosen, host.paths))
    except PodError as err:
        yield err.message
    except OSError as err:
        yield f"cannot look for the programs of its plugins: {reason_of(err)}"


def _leased(directory: str) -> tuple[Address, ...]:
    found = []
    for name in filter(is_lease, entries(directory)):
        with suppress(InvalidSpec):
            found.append(Address.parse(name))
    return tuple(found)


def _free(ranges: Sequence[AddressRange], leased: Sequence[Address]) -> int | None:
    """How many addresses of IPv4 pods could still get."""
    spans = [span for span in ranges if span.subnet.bits == V4_BITS]
    if not spans:
        return None
    free = 0
    for span in spans:
        taken = {address.number for address in leased if span.subnet.holds(address)} | {span.gateway.number}
        inside = [number for number in taken if span.start.number <= number <= span.end.number]
        free += span.end.number - span.start.number + 1 - len(inside)
    return free


def _drift(conf: NetConf, users: Sequence[NetworkUser], facts: HostFacts) -> Iterator[str]:
    """What is wrong with what the host has of a network that pods use. conf: see as_joined."""
    outdated = outdated_users(users, conf)
    if outdated:
        yield f"pod {', '.join(user.shown for user in outdated)} has joined another definition of it"
    bridge = bridge_of(conf)
    if not bridge:
        return
    kind = dict(facts.links).get(bridge)
    current = [user for user in users if user.running and user not in outdated]
    if kind not in (None, "bridge"):
        yield f'"{bridge}" is not a bridge'
    elif current and kind is None:
        yield f"the bridge {bridge} is missing"
    elif current:
        holder = gateway_holder(conf)
        held = {(address, prefix) for link, address, prefix in facts.addresses if link == holder}
        missing = [
            f"{address}/{prefix}" for address, prefix in gateways_of(conf) if (address, prefix) not in held
        ]
        if missing:
            yield f"the bridge {holder} lacks {', '.join(missing)}"


def _unused(files: Sequence[NetworkFile], known: dict[str, NetworkFile]) -> Iterator[tuple[NetworkFile, str]]:
    """The files that define no network, and why; those that a stronger directory overrides are as they should be."""
    counting = {(os.path.dirname(file.path), file.name): file for file in reversed(files) if file.name}
    for file in files:
        if not file.name:
            yield file, file.problem
        elif counting[os.path.dirname(file.path), file.name] is not file:
            first = counting[os.path.dirname(file.path), file.name]
            yield file, f"ignored: {first.path} defines the network"
