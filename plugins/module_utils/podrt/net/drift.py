# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift of a running pod's networks: links, addresses, routes, switches and nftables rules that have gone.

Reading costs some netlink messages and files of /proc, no program and no namespace; mending does only the missing
steps. Files that an app can make long are read up to a bound.
"""

from __future__ import annotations

from ..errors import HostFailure
from ..host.reading import kernel_lines, kernel_text_or, kernel_text_within
from ..value import Value
from .addresses import V4_BITS, V6_BITS, Address, Subnet
from .conf import NetConf
from .elements import OURS
from .info import read_copy, read_net_info
from .nfsocket import NetfilterSocket
from .place import Place
from .plan import gateway_link, steps_of
from .result import NetResult, result_of_addresses
from .rtsocket import RouteSocket
from .rules import PodRules, on_record, rules_of_record, targets_of
from .steps import (
    HOST_SIDE,
    MAKING,
    AddAddress,
    AddRoute,
    BringUp,
    EnsureBridge,
    EnsureBridgeAddress,
    FilterVlans,
    IgnoreRouters,
    IsolatePort,
    LetThrough,
    MakeLink,
    MakeTap,
    MakeVeth,
    MoveLink,
    MoveRoutes,
    PortVlans,
    SetSysctl,
    ShapeLink,
    TuneLink,
    VlanGateway,
)
from .switches import ignores_routers, is_off, localnet_key, may_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import TypeVar

    from .info import NetInfo
    from .rtsocket import Link
    from .rules import PortForward
    from .steps import NetStep, RareStep

    T = TypeVar("T")


# Steps that runtimes without podrt/net/switches.py do not know; pods of these are left as they were joined.
LATER = (BringUp, IgnoreRouters)
_PARTS = {IsolatePort: "isolation", ShapeLink: "limits", PortVlans: "VLANs", VlanGateway: "VLANs"}
_RARE = (IsolatePort, ShapeLink, TuneLink, MoveRoutes, FilterVlans, PortVlans, VlanGateway, LetThrough)
# The bound on a file that an app can make longer: some 8000 routes, which take 40 ms.
_MOST_BYTES = 1 << 20


class Joined(Value):
    """A network as a pod has joined it. publisher: of the pod's ports. link: the host's interface that leads there.

    host_if: the host's end of the pod's interface. limit: of the pod's isolators, -1 where its runtime applies none.
    limit_in_bits: whether its runtime takes it as bits.
    """

    conf: NetConf
    place: Place
    publisher: str = ""
    link: str = ""
    host_if: str = ""
    limit: int = -1
    limit_in_bits: bool = False

    @property
    def has_programs(self) -> bool:
        """Whether programs have made some of it."""
        return any(plugin.program for plugin in self.conf.plugins)

    @property
    def steps(self) -> tuple[NetStep, ...]:
        """The steps that made it."""
        steps = steps_of(self.conf, self.place)
        limited = self.limit > 0 or any(plugin.limits_rates for plugin in self.conf.plugins)
        if self.limit < 0 or not limited:
            return steps
        from .rates import Rate
        from .shaping import shape_of  # for the few that are limited

        rate = Rate.of_limit(self.limit, in_bits=self.limit_in_bits)
        return (*steps, *shape_of(self.conf, self.place, self.host_if, rate))

    @property
    def gateway_link(self) -> str:
        """The interface of the host that leads to it."""
        return self.link or gateway_link(self.conf, self.place)


class Drift(Value):
    """The missing parts of a pod's networks. steps: each network's. rules: all rules, None when none is missing.

    localnet: the network that 127.0.0.1 of the host should lead to and does not. unseen: a sentence for each part of
    the pod that could not be read.
    """

    steps: tuple[tuple[Joined, tuple[NetStep, ...]], ...] = ()
    rules: PodRules | None = None
    localnet: Joined | None = None
    unseen: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[tuple[int, str], ...]:
        """The missing things in words, each with the number of its network, -1 for nftables."""
        found = {joined.place.index: [_word(step) for step in steps] for joined, steps in self.steps}
        if self.localnet:
            key = localnet_key(self.localnet.gateway_link)
            found.setdefault(self.localnet.place.index, []).append(key.replace("/", "."))
        sentences = [(index, ", ".join(words)) for index, words in sorted(found.items())]
        return (*sentences, *([(-1, "nftables rules")] if self.rules else []))


def read_joined(uuid: str, info_path: str, conf_dir: str) -> tuple[tuple[NetInfo, ...], tuple[Joined, ...]]:
    """The networks of a pod from its record: as in net-info.json, and with the copies of their configurations.

    Empty where the pod has not come that far. Raises Corrupt, InvalidSpec.
    """
    infos = read_net_info(info_path)
    try:
        confs = [read_copy(conf_dir, info) for info in infos]
    except FileNotFoundError:
        return infos, ()
    return infos, tuple(
        Joined(
            conf,
            info.place(uuid, index).replace(given=_given(info, conf)),
            info.publisher,
            info.gateway_link,
            info.host_if,
            info.limit,
            info.limit_in_bits,
        )
        for index, (info, conf) in enumerate(zip(infos, confs))
    )


def find_drift(
    pid: int,
    joined: Sequence[Joined],
    infos: Sequence[NetInfo],
    forwards: Sequence[PortForward],
    *,
    limit: int = 0,
    unknown: tuple[type, ...] = (),
) -> Drift:
    """Compare the networks that a pod joined with the kernel's state. Raises HostFailure, InvalidSpec.

    pid: its PID 1. limit: of its isolators, which may have changed with its apps. unknown: kinds of steps that its
    runtime does not know, see LATER.
    """
    uuid = joined[0].place.uuid
    joined = tuple(each.replace(limit=limit) if each.limit >= 0 else each for each in joined)
    try:
        rules = rules_of_record(uuid, infos, forwards)
        with RouteSocket() as host:
            seen = _Seen(host, pid)
            steps = tuple((network, _missing(network, seen, unknown)) for network in joined)
        with NetfilterSocket() as table:
            # Runtimes of earlier releases, which record no addresses, neither make the guard nor mend it.
            guards = bool(rules.elements) and any(info.guarded for info in infos)
            complete = all(map(table.has, rules.elements)) and (not guards or table.has_guard())
        on_loopback = any(forward.on_loopback for forward in on_record(infos, forwards))
        target = _target(joined) if on_loopback and any(map(_is_v4, targets_of(infos))) else None
        shut = any(network is target and _is_shut(network, missing) for network, missing in steps)
    except OSError as err:
        raise HostFailure.of("cannot read what the kernel has of the pod's networks", err) from err
    return Drift(
        tuple(found for found in steps if found[1]),
        None if complete else rules,
        target if shut else None,
        tuple(seen.inside.unseen),
    )


class _Seen:
    """The kernel's state: the host's by netlink, the pod's by /proc.

    The host's interfaces are queried one by one: it may have those of a thousand pods, and 100,000 routes.
    """

    def __init__(self, host: RouteSocket, pid: int) -> None:
        self._host = host
        self._links: dict[str, Link | None] = {}
        self.inside = _Inside(pid)

    def has(self, step: NetStep) -> bool:
        if isinstance(step, MakeVeth):
            link = self._link(step.host_if)
            bridge = self._link(step.bridge) if step.bridge else None
            there = link is not None and self.inside.has_link(step.pod_if, link.peer)
            return there and (not step.bridge or (bridge is not None and link.master == bridge.index))  # type: ignore[union-attr]
        if isinstance(step, EnsureBridge):
            return self._link(step.name) is not None
        if isinstance(step, EnsureBridgeAddress):
            return self._host_address(step.name, step.address, step.prefix)
        if isinstance(step, IgnoreRouters):
            link = self._link(step.link)
            return link is not None and (not may_change(link) or ignores_routers(step.link))
        if isinstance(step, (MakeLink, MakeTap, MoveLink)):
            return self.inside.has_name(step.link)
        if isinstance(step, _RARE):
            return self._has_rare(step)
        return self._host_has(step) if step.side == HOST_SIDE else self.inside.has(step)

    def _has_rare(self, step: RareStep) -> bool:
        """Of what an app may change itself, nothing is looked at."""
        if isinstance(step, IsolatePort):
            link = self._link(step.link)
            return link is not None and link.is_isolated and not (step.only and link.learns)
        if isinstance(step, ShapeLink):
            from .shapes import is_shaped  # for the few that are limited

            return is_shaped(step, self._host)
        if isinstance(step, LetThrough):
            from .openings import is_let_through  # likewise

            return is_let_through(step)
        if isinstance(step, (FilterVlans, PortVlans, VlanGateway)):
            from .vlans import has_vlan_step  # the same

            return has_vlan_step(step, self._host)
        return True

    def _host_has(self, step: AddAddress | AddRoute | BringUp | SetSysctl) -> bool:
        if isinstance(step, SetSysctl):
            return kernel_text_or(f"/proc/sys/{step.key}", step.value).strip() == step.value
        if isinstance(step, AddAddress):
            return self._host_address(step.link, step.address, step.prefix)
        link = self._link(step.link)
        if link is None:
            return False
        if isinstance(step, BringUp):
            return link.is_up
        return (link.index, step.dst) in self._host.routes(link.index)

    def _host_address(self, name: str, address: Address, prefix: int) -> bool:
        link = self._link(name)
        return link is not None and (link.index, address, prefix) in self._host.addresses(link.index)

    def _link(self, name: str) -> Link | None:
        if name not in self._links:
            self._links[name] = self._host.find(name)
        return self._links[name]


class _Inside:
    """The state of the pod's network namespace, from files of /proc that its apps can make arbitrarily long."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.unseen: list[str] = []
        self._links = self._read("dev", "network interfaces", _links_in)
        self._numbers = dict(self._read("dev_mcast", "multicast addresses", _numbers_in) or ())
        self._addresses = {
            V4_BITS: self._read("fib_trie", "IPv4 addresses", _addresses4_in),
            V6_BITS: self._read("if_inet6", "IPv6 addresses", _addresses6_in),
        }
        self._routes = {
            V4_BITS: self._read("route", "IPv4 routes", _routes4_in),
            V6_BITS: self._read("ipv6_route", "IPv6 routes", _routes6_in),
        }

    def has_link(self, name: str, index: int) -> bool:
        """Whether an interface of that name exists, and has this index as far as that can be seen.

        An app may rename the interface that it was given, and give its name to another one.
        """
        if self._links is not None and name not in self._links:
            return False
        named = next((number for number, other in self._numbers.items() if other == name), index)
        return named == index and self._numbers.get(index, name) == name

    def has_name(self, name: str) -> bool:
        """Whether an interface of that name exists."""
        return self._links is None or name in self._links

    def has(self, step: AddAddress | AddRoute | BringUp | SetSysctl) -> bool:
        """Whether a step on the pod's side is done, as far as that can be seen from outside."""
        if isinstance(step, AddAddress):
            addresses = self._addresses[step.address.bits]
            return addresses is None or step.address in addresses
        if isinstance(step, AddRoute):
            routes = self._routes[step.dst.bits]
            return routes is None or step.dst in routes
        return True

    def _read(self, name: str, what: str, parse: Callable[[list[str]], Iterator[T]]) -> Collection[T] | None:
        """The parsed lines of a file, None when it is too long to be read."""
        text = kernel_text_within(f"/proc/{self._pid}/net/{name}", _MOST_BYTES)
        if text is None:
            self.unseen.append(f"it has too many {what} to be looked at")
            return None
        return frozenset(parse(kernel_lines(text)))


def _target(joined: Sequence[Joined]) -> Joined | None:
    """The network that ports in our table lead to, as in target_of of rules. Source: behaviours E22."""
    if any(network.publisher for network in joined):
        return next((network for network in joined if network.publisher == OURS), None)
    return next((network for network in joined if network.conf.main.ip_masq), joined[-1])


def _is_v4(address: Address) -> bool:
    return address.bits == V4_BITS


def _is_shut(network: Joined, missing: Sequence[NetStep]) -> bool:
    """Whether 127.0.0.1 of the host does not lead to a network, or will not when its link is made again."""
    made = {step.host_if for step in missing if isinstance(step, MakeVeth)}
    made |= {step.name for step in missing if isinstance(step, EnsureBridge)}
    return network.gateway_link in made or is_off(localnet_key(network.gateway_link))


def _missing(joined: Joined, seen: _Seen, unknown: tuple[type, ...]) -> tuple[NetStep, ...]:
    steps = tuple(step for step in joined.steps if not isinstance(step, unknown))
    # Routes that are in a table of their own cannot be seen from outside.
    hidden = AddRoute if any(isinstance(step, MoveRoutes) for step in steps) else ()
    missing = tuple(step for step in steps if not isinstance(step, hidden) and not seen.has(step))
    if any(isinstance(step, MAKING) for step in missing):
        return steps  # everything on the link went with it
    return missing


def _given(info: NetInfo, conf: NetConf) -> NetResult:
    """The addresses and routes that a network has given. Earlier releases do not record all gateways and routes."""
    if info.result.interfaces:
        return info.result
    ipam = conf.main.ipam
    if ipam.type != "host-local":
        return result_of_addresses(ipam.static, ipam.routes)
    spans = [span for ranges in ipam.range_sets for span in ranges]
    ips = tuple(
        each.replace(gateway=next((span.gateway for span in spans if span.subnet.holds(each.address)), None))
        for each in info.result.ips
    )
    return result_of_addresses(ips, ipam.routes)


def _links_in(lines: list[str]) -> Iterator[str]:
    return (line.partition(":")[0].strip(" ") for line in lines if ":" in line)


def _numbers_in(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The indexes of interfaces that are up, with their names. Source: Linux net/core/dev_addr_lists.c."""
    return ((int(words[0]), words[1]) for words in map(_words, lines))


def _addresses4_in(lines: list[str]) -> Iterator[Address]:
    """The local addresses in fib_trie, which are on the line before that of LOCAL. Source: proc_pid_net(5)."""
    last = ""
    for line in lines:
        if "|--" in line:
            last = line.split()[-1]
        elif "host LOCAL" in line:
            yield Address.parse(last)


def _addresses6_in(lines: list[str]) -> Iterator[Address]:
    return (Address(V6_BITS, int(_words(line)[0], 16)) for line in lines)


def _routes4_in(lines: list[str]) -> Iterator[Subnet]:
    for line in lines[1:]:
        words = _words(line)
        number, mask = (int.from_bytes(bytes.fromhex(words[at])[::-1], "big") for at in (1, 7))
        yield Subnet(V4_BITS, number, bin(mask).count("1"))


def _routes6_in(lines: list[str]) -> Iterator[Subnet]:
    for line in lines:
        words = _words(line)
        yield Subnet(V6_BITS, int(words[0], 16), int(words[1], 16))


def _words(line: str) -> list[str]:
    """The words of a line, in which an app may have named an interface with what is white space to str alone."""
    return [word for word in line.replace("\t", " ").split(" ") if word]


def _word(step: NetStep) -> str:
    if isinstance(step, MakeVeth):
        return f"link {step.host_if}"
    if isinstance(step, _RARE):
        return _rare_word(step)
    if isinstance(step, (BringUp, MakeLink, MakeTap, MoveLink)):
        return f"link {step.link}{' up' if isinstance(step, BringUp) else ''}"
    if isinstance(step, IgnoreRouters):
        return f"accept_ra and accept_redirects off on {step.link}"
    if isinstance(step, EnsureBridge):
        return f"bridge {step.name}"
    if isinstance(step, (EnsureBridgeAddress, AddAddress)):
        return f"address {step.address}"
    if isinstance(step, AddRoute):
        return f"route to {step.dst}"
    return step.key.replace("/", ".")


def _rare_word(step: RareStep) -> str:
    if isinstance(step, LetThrough):
        return "way through firewalls of others"
    if isinstance(step, FilterVlans):
        return f"VLANs of bridge {step.name}"
    part = _PARTS.get(type(step), "")
    return f"{part} of link {step.link}" if part else f"link {step.link}"
