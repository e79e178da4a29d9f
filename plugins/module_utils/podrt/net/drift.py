# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a running pod's networks has gone since it joined them: links, addresses, routes, switches, nftables.

Reading costs some netlink messages and files of /proc, no program and no namespace; mending does the steps that are
missing and no others.
"""

from __future__ import annotations

import os

from ..errors import HostFailure
from ..host.reading import kernel_text_or, read_bytes
from ..value import Value
from .addresses import V4_BITS, Address, Subnet, parse_prefixed
from .conf import NetConf
from .info import read_net_info
from .links import addresses_of, routes_of
from .nfsocket import NetfilterSocket
from .plan import Place, gateway_link, steps_of
from .ranges import Assigned
from .rtsocket import RouteSocket
from .rules import PodRules, rules_of_record
from .steps import HOST_SIDE, AddAddress, AddRoute, EnsureBridge, EnsureBridgeAddress, MakeVeth, SetSysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .info import NetInfo
    from .rules import PortForward
    from .steps import Step


class Joined(Value):
    """A network as a pod has joined it."""

    conf: NetConf
    place: Place

    @property
    def steps(self) -> tuple[Step, ...]:
        """What made it."""
        return steps_of(self.conf, self.place)


class Drift(Value):
    """What is missing. steps: with the network that they are of. rules: all of the pod, () when none is missing."""

    steps: tuple[tuple[Joined, tuple[Step, ...]], ...] = ()
    rules: PodRules | None = None

    @property
    def sentences(self) -> tuple[tuple[int, str], ...]:
        """What is missing, in words, each with the number of its network, -1 for nftables."""
        found = [
            (joined.place.index, ", ".join(_word(step) for step in steps)) for joined, steps in self.steps
        ]
        return (*found, *([(-1, "nftables rules")] if self.rules else []))


def read_joined(uuid: str, info_path: str, conf_dir: str) -> tuple[tuple[NetInfo, ...], tuple[Joined, ...]]:
    """The networks of a pod from its record: net-info.json, and with the copies of their configurations.

    Raises Corrupt, InvalidSpec; none where the pod has not come that far.
    """
    infos = read_net_info(info_path)
    try:
        confs = [read_copy(conf_dir, info) for info in infos]
    except FileNotFoundError:
        return infos, ()
    return infos, tuple(
        Joined(conf, Place(uuid, index, _addresses(info, conf)))
        for index, (info, conf) in enumerate(zip(infos, confs))
    )


def read_copy(conf_dir: str, info: NetInfo) -> NetConf:
    """The configuration that an interface of a pod was made from. Raises Corrupt, InvalidSpec, FileNotFoundError."""
    name = os.path.basename(info.conf_path)
    return NetConf.read(read_bytes(f"{conf_dir}/{name}"), name, conf_dir)


def find_drift(
    pid: int, joined: Sequence[Joined], infos: Sequence[NetInfo], forwards: Sequence[PortForward]
) -> Drift:
    """Compare what a pod has joined with what the kernel has. pid: its PID 1. Raises HostFailure, InvalidSpec."""
    uuid = joined[0].place.uuid
    try:
        rules = rules_of_record(uuid, infos, forwards)
        with RouteSocket() as host:
            seen = _Seen(host, pid)
            target = _target(joined) if forwards else None
            steps = tuple((network, _missing(network, seen, network is target)) for network in joined)
        with NetfilterSocket() as table:
            complete = all(table.has(element) for element in rules.elements)
    except OSError as err:
        raise HostFailure.of("cannot read what the kernel has of the pod's networks", err) from err
    return Drift(tuple(found for found in steps if found[1]), None if complete else rules)


class _Seen:
    """What the kernel has: of the host by netlink, of the pod by /proc."""

    def __init__(self, host: RouteSocket, pid: int) -> None:
        self.links = {link.name: link for link in host.links()}
        self.addresses = frozenset(addresses_of(host))
        self.routes = frozenset((index, dst) for index, dst in routes_of(host))
        self.pod_links = _links_in(pid)
        self.pod_addresses = _addresses_in(pid)
        self.pod_routes = _routes_in(pid)

    def has(self, step: Step) -> bool:
        if isinstance(step, MakeVeth):
            link, bridge = self.links.get(step.host_if), self.links.get(step.bridge)
            there = link is not None and step.pod_if in self.pod_links
            return there and (not step.bridge or (bridge is not None and link.master == bridge.index))  # type: ignore[union-attr]
        if isinstance(step, EnsureBridge):
            return step.name in self.links
        if isinstance(step, EnsureBridgeAddress):
            return self._host_address(step.name, step.address, step.prefix)
        if isinstance(step, SetSysctl):
            return kernel_text_or(f"/proc/sys/{step.key}", step.value).strip() == step.value
        if isinstance(step, AddAddress):
            if step.side == HOST_SIDE:
                return self._host_address(step.link, step.address, step.prefix)
            return step.address in self.pod_addresses
        return self._has_route(step)

    def _has_route(self, step: AddRoute) -> bool:
        if step.side != HOST_SIDE:
            return step.dst in self.pod_routes
        link = self.links.get(step.link)
        return link is not None and (link.index, step.dst) in self.routes

    def _host_address(self, name: str, address: Address, prefix: int) -> bool:
        link = self.links.get(name)
        return link is not None and (link.index, address, prefix) in self.addresses


def _target(joined: Sequence[Joined]) -> Joined:
    """The network that published ports lead to. Source: behaviours E22."""
    return next((network for network in joined if network.conf.ip_masq), joined[-1])


def _missing(joined: Joined, seen: _Seen, is_target: bool) -> tuple[Step, ...]:
    localnet = SetSysctl(f"net/ipv4/conf/{gateway_link(joined.conf, joined.place)}/route_localnet", "1")
    steps = (*joined.steps, localnet) if is_target else joined.steps
    found = tuple(step for step in steps if not seen.has(step))
    if any(isinstance(step, MakeVeth) for step in found):
        return steps  # all that hung on the link went with it
    return found


def _addresses(info: NetInfo, conf: NetConf) -> tuple[Assigned, ...]:
    if conf.ipam.type != "host-local":
        return conf.ipam.static
    texts = list(info.ip6)
    if info.ip:
        mask = Address.parse(info.mask, "mask")
        texts.insert(0, f"{info.ip}/{bin(mask.number).count('1')}")
    spans = [span for ranges in conf.ipam.range_sets for span in ranges]
    found = []
    for address, prefix in (parse_prefixed(text) for text in texts):
        gateway = next((span.gateway for span in spans if span.subnet.holds(address)), None)
        found.append(Assigned(address, prefix, gateway))
    return tuple(found)


def _links_in(pid: int) -> frozenset[str]:
    lines = kernel_text_or(f"/proc/{pid}/net/dev", "").splitlines()
    return frozenset(line.partition(":")[0].strip() for line in lines if ":" in line)


def _addresses_in(pid: int) -> frozenset[Address]:
    """Source: proc_pid_net(5); fib_trie names each address before the line that calls it local."""
    found, last = [], ""
    for line in kernel_text_or(f"/proc/{pid}/net/fib_trie", "").splitlines():
        if "|--" in line:
            last = line.split()[-1]
        elif "host LOCAL" in line:
            found.append(Address.parse(last))
    for line in kernel_text_or(f"/proc/{pid}/net/if_inet6", "").splitlines():
        found.append(Address(128, int(line.split()[0], 16)))
    return frozenset(found)


def _routes_in(pid: int) -> frozenset[Subnet]:
    found = []
    for line in kernel_text_or(f"/proc/{pid}/net/route", "").splitlines()[1:]:
        words = line.split()
        number, mask = (int.from_bytes(bytes.fromhex(words[at])[::-1], "big") for at in (1, 7))
        found.append(Subnet(V4_BITS, number, bin(mask).count("1")))
    for line in kernel_text_or(f"/proc/{pid}/net/ipv6_route", "").splitlines():
        words = line.split()
        found.append(Subnet(128, int(words[0], 16), int(words[1], 16)))
    return frozenset(found)


def _word(step: Step) -> str:
    if isinstance(step, MakeVeth):
        return f"link {step.host_if}"
    if isinstance(step, (EnsureBridge, EnsureBridgeAddress)):
        return f"bridge {step.name}" if isinstance(step, EnsureBridge) else f"address {step.address}"
    if isinstance(step, AddAddress):
        return f"address {step.address}"
    if isinstance(step, AddRoute):
        return f"route to {step.dst}"
    return step.key.replace("/", ".")
