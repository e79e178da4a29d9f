# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of our nftables tables: as commands for nft -f, and as nft -j lists it. Pure.

One table is for IPv4; one for IPv6, with the same maps, is made for the first pod that needs it:

    map sources      pod address -> the chain of its subnet          masquerade, hairpin
    map forwards     protocol . host port -> pod address . pod port
    map forwards_at  host address . protocol . host port -> the same, for ports published on one address
    set forwarded    addresses of pods with ports on 127.0.0.1       masquerade for 127.0.0.1
    set masked       addresses of pods with ports of a masqAll       masquerade for all clients

Another table, see guard, keeps pods from spoofing source addresses, and one, see isolation, keeps pods of isolated
networks apart. A pod only adds elements, each with its UUID as
the comment, so the cost of a packet does not grow with the number of pods, and the elements of a pod can be found
without any record. One transaction makes or refreshes everything else.
Source: behaviours E20, E22, E23; nft(8).
"""

from __future__ import annotations

from ..appc.alphabet import ALNUM, is_made_of
from ..appc.ports import ANY_V4, ANY_V6, AUTO_PORTS, PROTOCOLS, hosts_clash
from ..errors import Corrupt, InvalidSpec
from ..value import Value
from .addresses import V4_BITS, V6_BITS, Address, Subnet
from .elements import (
    FORWARDED,
    FORWARDS,
    FORWARDS_AT,
    GUARD_TABLE,
    MASKED,
    OURS,
    SOURCES,
    TABLE,
    TABLE6,
    Element,
)
from .guard import GUARD, guards_of
from .info import HeldPorts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..appc.pod import PodManifest
    from ..appc.ports import ExposedPort
    from .info import NetInfo
    from .isolation import NetworkChain

_LONGEST_UUID = 64
# What the names of chains of subnets begin with.
_OF_SUBNETS, _OF_SUBNETS6 = ("masq_", "net_"), ("masq6_", "net6_")
# Built-in types whose pods the host routes for. Source: behaviours E18.
MASQUERADED = ("ptp", "bridge")

# Chains are flushed and filled again in the transaction that makes them, so that it can run any number of times.
_SKELETON = """\
add table {table}
add map {table} sources {{ type {address} : verdict; }}
add map {table} forwards {{ type inet_proto . inet_service : {address} . inet_service; }}
add map {table} forwards_at {{ type {address} . inet_proto . inet_service : {address} . inet_service; }}
add set {table} masked {{ type {address}; }}
add chain {table} published
add chain {table} prerouting {{ type nat hook prerouting priority dstnat; policy accept; }}
add chain {table} output {{ type nat hook output priority -100; policy accept; }}
add chain {table} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}
flush chain {table} published
flush chain {table} prerouting
flush chain {table} output
flush chain {table} postrouting
{first}add rule {table} published dnat {family} to {family} daddr . meta l4proto . th dport map @forwards_at
add rule {table} published dnat {family} to meta l4proto . th dport map @forwards
add rule {table} prerouting fib daddr type local jump published
add rule {table} output fib daddr type local jump published
{last}add rule {table} postrouting ct status dnat {family} daddr @masked masquerade
add rule {table} postrouting {family} saddr vmap @sources
"""
# Of IPv4 alone. The early chain: route_localnet lets pods reach services on 127.0.0.1 of the host (CVE-2020-8558).
_LOOPBACK = f"""\
add table {TABLE}
add set {TABLE} forwarded {{ type ipv4_addr; }}
add chain {TABLE} early {{ type filter hook prerouting priority raw; policy accept; }}
flush chain {TABLE} early
add rule {TABLE} early iifname != "lo" ip daddr 127.0.0.0/8 drop
"""
_FROM_LOOPBACK = f"add rule {TABLE} postrouting ip saddr 127.0.0.0/8 ip daddr @forwarded masquerade\n"
# No packet with such an address leaves its link, so these are refused, as at a closed port, instead of lost.
_UNROUTED = f"add rule {TABLE6} published ip6 daddr {{ ::1, fe80::/10 }} return\n"
SKELETON = (
    _LOOPBACK
    + _SKELETON.format(table=TABLE, family="ip", address="ipv4_addr", first="", last=_FROM_LOOPBACK)
    + GUARD
)
SKELETON6 = _SKELETON.format(table=TABLE6, family="ip6", address="ipv6_addr", first=_UNROUTED, last="")


class PortForward(Value):
    """A port of the host that leads to a port of a pod.

    host_ip: one address, or 0.0.0.0 or :: for every one of the family; None: every address of the host, 127.0.0.1
    included, over the families that the pod has addresses of.
    """

    protocol: str
    host_ip: str | None
    host_port: int
    pod_port: int

    def check(self) -> None:
        """Raise InvalidSpec for an unknown protocol or a number that is not a port."""
        if self.protocol not in PROTOCOLS:
            raise InvalidSpec(f'unknown protocol "{self.protocol}"', "use tcp, udp or sctp", where="ports")
        for port in (self.host_port, self.pod_port):
            if not 1 <= port <= 65535:
                raise InvalidSpec(f"{port} is not a port number", "use 1 to 65535", where="ports")

    @property
    def on_loopback(self) -> bool:
        """Whether it is open on 127.0.0.1 of the host."""
        return self.host_ip in (None, ANY_V4) or str(self.host_ip).startswith("127.")

    @property
    def at(self) -> str:
        """The one address that it is open on, "" for several."""
        return "" if self.host_ip in (None, ANY_V4, ANY_V6) else str(self.host_ip)

    @property
    def families(self) -> tuple[int, ...]:
        """The families that it is open over, as the bits of their addresses."""
        if self.host_ip is None:
            return (V4_BITS, V6_BITS)
        return (V6_BITS,) if ":" in self.host_ip else (V4_BITS,)

    def __str__(self) -> str:
        host_ip = f"[{self.host_ip}]" if self.host_ip and ":" in self.host_ip else self.host_ip
        return f"{host_ip + ':' if host_ip else ''}{self.host_port}/{self.protocol}"


class SubnetChain(Value):
    """The chain for packets that leave a subnet's pods. masquerade: whether they are masqueraded."""

    subnet: Subnet
    masquerade: bool

    @property
    def name(self) -> str:
        """The chain's name, derived from the subnet."""
        kind = ("masq" if self.masquerade else "net") + ("6" if self.is_v6 else "")
        return f"{kind}_{str(self.subnet).replace('.', '_').replace('/', '_').replace(':', '_')}"

    @property
    def is_v6(self) -> bool:
        """Whether it is in the table for IPv6."""
        return self.subnet.bits != V4_BITS

    @property
    def definition(self) -> str:
        """The commands that make or refresh it.

        The first rule is for a pod that reaches its own subnet through a host port: without another source the reply
        would not pass here again, and its port would never be translated back.
        """
        chain = f"{_table_of(self.name)} {self.name}"
        family, multicast = ("ip6", "ff00::/8") if self.is_v6 else ("ip", "224.0.0.0/4")
        rules = [
            f"ct status dnat {family} daddr {self.subnet} masquerade",
            f"{family} daddr {self.subnet} accept",
        ]
        if self.masquerade:
            rules.append(f"{family} daddr != {multicast} masquerade")
        return f"add chain {chain}\nflush chain {chain}\n" + "".join(
            f"add rule {chain} {rule}\n" for rule in rules
        )


class PodRules(Value):
    """All chains and elements for one pod. isolated: the chains of its isolated networks."""

    chains: tuple[SubnetChain, ...] = ()
    elements: tuple[Element, ...] = ()
    isolated: tuple[NetworkChain, ...] = ()

    def beside(self, others: Iterable[PodRules]) -> PodRules:
        """These rules and those of other pods."""
        every = (self, *others)
        return PodRules(
            tuple(dict.fromkeys(chain for rules in every for chain in rules.chains)),
            tuple(dict.fromkeys(element for rules in every for element in rules.elements)),
            tuple(dict.fromkeys(chain for rules in every for chain in rules.isolated)),
        )

    def guarded(self, uuid: str, infos: Sequence[NetInfo]) -> PodRules:
        """These rules, and the elements that keep the pod to its addresses."""
        guarded = self.replace(elements=(*self.elements, *guards_of(uuid, infos)))
        if not any(info.isolated for info in infos):
            return guarded
        from .isolation import chains_of, isolation_of  # for few pods

        return guarded.replace(
            elements=(*guarded.elements, *isolation_of(uuid, infos)), isolated=chains_of(infos)
        )

    @property
    def additions(self) -> str:
        """The commands for tables that have everything else."""
        return "".join(element.addition for element in self.elements)

    @property
    def everything(self) -> str:
        """The commands for tables in any state, or missing."""
        has_six = any(element.six for element in self.elements) or any(chain.is_v6 for chain in self.chains)
        six = SKELETON6 if has_six else ""
        isolation = [chain.definition for chain in self.isolated]
        if isolation:
            from .isolation import ISOLATION  # for few pods

            isolation.insert(0, ISOLATION)
        chains = (chain.definition for chain in self.chains)
        return SKELETON + six + "".join((*isolation, *chains)) + self.additions


class TableState(Value):
    """The content of the kernel's tables."""

    elements: tuple[Element, ...] = ()
    chains: tuple[str, ...] = ()

    def owned_by(self, uuid: str) -> tuple[Element, ...]:
        """The elements of a pod."""
        return tuple(element for element in self.elements if element.owner == uuid)

    def beside(self, other: TableState) -> TableState:
        """This and that of another table."""
        return TableState((*self.elements, *other.elements), (*self.chains, *other.chains))


def exposed_targets(manifest: PodManifest) -> Iterator[tuple[ExposedPort, str, int, int]]:
    """The host ports with what they lead to: protocol, first number and how many. Raises InvalidSpec as forwards_of."""
    known = {port.name: port for app in manifest.apps if app.app for port in app.app.ports}
    for exposed in manifest.ports:
        port = known.get(exposed.name)
        if exposed.port is not None:
            yield exposed, exposed.protocol, exposed.port, exposed.count
        elif port is not None:
            yield exposed, port.protocol, port.port, port.count
        else:
            raise InvalidSpec(f'port name "{exposed.name}" could not be found in any apps', where="ports")


def forwards_of(manifest: PodManifest, *, supposed: bool = False) -> tuple[PortForward, ...]:
    """The host ports that are forwarded to ports of apps, one by one. Raises InvalidSpec for a port that no app has.

    Not one that is socket-activated: systemd listens there, and passes the socket. Source: behaviours C55.
    supposed: whether one that the host has yet to choose is there as well, with a number that it may choose.
    """
    passed = {
        port.name for app in manifest.apps if app.app for port in app.app.ports if port.socket_activated
    }
    forwards: list[PortForward] = []
    for index, (exposed, protocol, first, count) in enumerate(exposed_targets(manifest)):
        if exposed.name in passed or (exposed.is_open and not supposed):
            continue
        host_port = exposed.host_port or AUTO_PORTS[0]
        host_ip = exposed.host_ip
        if host_ip is not None:
            host_ip = str(Address.parse(host_ip, f"ports[{index}].host_ip"))
        forwards += [
            PortForward(protocol, host_ip, host_port + number, first + number) for number in range(count)
        ]
    return tuple(forwards)


def held_of(forwards: Sequence[PortForward]) -> tuple[HeldPorts, ...]:
    """Forwards as a pod's record has them: those in a row as one."""
    held: list[HeldPorts] = []
    for forward in forwards:
        one = HeldPorts(forward.protocol, forward.host_ip or "", forward.host_port, forward.pod_port)
        if held and one == _after(held[-1]):
            held[-1] = held[-1].replace(count=held[-1].count + 1)
        else:
            held.append(one)
    return tuple(held)


def _after(held: HeldPorts) -> HeldPorts:
    numbers = {"host_port": held.host_port + held.count, "pod_port": held.pod_port + held.count}
    return held.replace(count=1, **numbers)


def on_record(infos: Sequence[NetInfo], described: Sequence[PortForward]) -> tuple[PortForward, ...]:
    """The forwards that a pod holds: those of its record, which another pod may have taken over.

    described: those of its manifest, which count for a pod of a release that did not record them.
    """
    held = [info.forwards for info in infos if info.forwards is not None]
    if not held:
        return tuple(described)
    return tuple(
        PortForward(each.protocol, each.host_ip or None, each.host_port + number, each.pod_port + number)
        for ports in held
        for each in ports
        for number in range(each.count)
    )


def rules_of_record(uuid: str, infos: Sequence[NetInfo], described: Sequence[PortForward]) -> PodRules:
    """The rules of a pod from its net-info.json. described: the forwards of its manifest. Raises InvalidSpec."""
    sources = [
        (each.address, each.subnet, info.ip_masq)
        for info in infos
        if info.plugins[0] in MASQUERADED
        for each in info.result.addresses
        if each.is_v4 or info.rules6
    ]
    forwards, target = on_record(infos, described), target_of(infos)
    masked = bool(target and target.masq_all)
    return rules_of(uuid, sources, forwards, targets_of(infos), masked=masked).guarded(uuid, infos)


def targets_of(infos: Sequence[NetInfo]) -> tuple[Address, ...]:
    """The addresses of a pod that its host ports in our tables lead to: the first of each family in one network."""
    target = target_of(infos)
    if target is None:
        return ()
    found = (target.result.first_v4, target.result.first_v6 if target.rules6 else None)
    return tuple(each.address for each in found if each)


def target_of(infos: Sequence[NetInfo]) -> NetInfo | None:
    """The network that the pod's host ports in our table lead to. Source: behaviours E22."""
    if any(info.publisher for info in infos):
        return next((info for info in infos if info.publisher == OURS), None)
    # Earlier releases do not record it, and have rules for IPv4 alone.
    with_address = [info for info in infos if info.result.first_v4]
    return next((info for info in with_address if info.ip_masq), with_address[-1] if with_address else None)


def rules_of(
    uuid: str,
    sources: Sequence[tuple[Address, Subnet, bool]],
    forwards: Sequence[PortForward],
    targets: Sequence[Address],
    *,
    masked: bool = False,
) -> PodRules:
    """The rules of a pod.

    sources: addresses with their subnets and whether these are masqueraded. targets: where forwards lead, one of each
    family at most. masked: whether clients of any address are masqueraded there. Raises InvalidSpec.
    """
    if not is_made_of(uuid, ALNUM + "-") or len(uuid) > _LONGEST_UUID:
        raise InvalidSpec(f'"{uuid}" is not a UUID', where="uuid")
    chains = [SubnetChain(subnet, masquerade) for address, subnet, masquerade in sources]
    elements = [
        Element(SOURCES, (str(address),), f"jump {chain.name}", uuid, chain.is_v6)
        for (address, *_rest), chain in zip(sources, chains)
    ]
    for target in targets:
        if target.bits == V4_BITS and any(forward.on_loopback for forward in forwards):
            elements.append(Element(FORWARDED, (str(target),), "", uuid))
        if masked and any(target.bits in forward.families for forward in forwards):
            elements.append(Element(MASKED, (str(target),), "", uuid, target.bits != V4_BITS))
        elements += [
            _forward_element(forward, target, uuid) for forward in forwards if target.bits in forward.families
        ]
    return PodRules(tuple(dict.fromkeys(chains)), tuple(dict.fromkeys(elements)))


def removal_of(state: TableState, uuid: str) -> str:
    """The commands that remove a pod's elements, and chains or tables that are then unused; "" for nothing to do."""
    staying = tuple(element for element in state.elements if element.owner != uuid)
    if not staying:
        # Earlier releases have one table only; a missing one cannot be deleted, so add it before.
        return "".join(map(_no_table, (TABLE, TABLE6, GUARD_TABLE)))
    used = {element.value for element in staying if element.container == SOURCES}
    gone = state.owned_by(uuid)
    last6 = (
        _no_table(TABLE6) if any(each.six for each in gone) and not any(each.six for each in staying) else ""
    )
    idle = [
        chain
        for chain in state.chains
        if chain.startswith((*_OF_SUBNETS, *_OF_SUBNETS6))
        and f"jump {chain}" not in used
        and not (last6 and chain.startswith(_OF_SUBNETS6))
    ]
    commands = [element.removal for element in gone if not (last6 and element.six)]
    return "".join(commands) + "".join(f"delete chain {_table_of(chain)} {chain}\n" for chain in idle) + last6


def _no_table(table: str) -> str:
    return f"add table {table}\ndelete table {table}\n"


def _table_of(chain: str) -> str:
    """The table of the chain of a subnet."""
    return TABLE6 if chain.startswith(_OF_SUBNETS6) else TABLE


def forward_targets(state: TableState, uuid: str) -> tuple[Address, ...]:
    """The addresses that other pods' ports on 127.0.0.1 of the host lead to."""
    return tuple(
        Address.parse(element.key[0])
        for element in state.elements
        if element.owner != uuid and element.container == FORWARDED
    )


def holders_of(state: TableState, forward: PortForward, uuid: str = "") -> tuple[str, ...]:
    """The pods, other than uuid, that have this port of the host on one of the addresses asked for."""
    wanted = (forward.protocol, str(forward.host_port))
    return tuple(
        element.owner
        for element in state.elements
        if element.owner != uuid
        and element.container in (FORWARDS, FORWARDS_AT)
        and element.key[-2:] == wanted
        and hosts_clash(forward.host_ip, _published_at(element))
    )


def _published_at(element: Element) -> str:
    """The address of an element of a forward, or the one that means all of its family."""
    if element.container == FORWARDS_AT:
        return element.key[0]
    return ANY_V6 if element.six else ANY_V4


def parse_table(value: object) -> TableState:
    """Read the output of nft -j list table. Raises Corrupt for content that is not ours."""
    elements: list[Element] = []
    chains: list[str] = []
    try:
        for item in _members(value, "nftables"):
            for kind, held in _dict(item).items():
                if kind == "chain":
                    chains.append(str(_dict(held)["name"]))
                elif kind in ("set", "map"):
                    elements += [_parse_element(_dict(held), element) for element in _members(held, "elem")]
    except (KeyError, IndexError, TypeError, ValueError) as err:
        raise Corrupt(f"the nftables table {TABLE} holds foreign content: {err}") from err
    return TableState(tuple(elements), tuple(chains))


def _forward_element(forward: PortForward, target: Address, uuid: str) -> Element:
    value = f"{target} . {forward.pod_port}"
    key = (forward.protocol, str(forward.host_port))
    six = target.bits != V4_BITS
    if not forward.at:
        return Element(FORWARDS, key, value, uuid, six)
    return Element(FORWARDS_AT, (str(Address.parse(forward.at, "ports.host_ip")), *key), value, uuid, six)


def _parse_element(container: dict[str, object], value: object) -> Element:
    entry, mapped = (value[0], value[1]) if isinstance(value, list) else (value, None)
    held = _dict(_dict(entry)["elem"]) if isinstance(entry, dict) and "elem" in entry else {"val": entry}
    six = container.get("family") == TABLE6.split()[0]
    comment = str(held.get("comment", ""))
    return Element(str(container["name"]), _parts(held["val"]), _value(mapped), comment, six)


def _parts(value: object) -> tuple[str, ...]:
    if isinstance(value, dict) and "concat" in value:
        return tuple(str(part) for part in _members(value, "concat"))
    return (str(value),)


def _value(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and "jump" in value:
        return f"jump {_dict(value['jump'])['target']}"
    return " . ".join(_parts(value))


def _members(value: object, name: str) -> Iterator[object]:
    members: Iterable[object] = ()
    held = _dict(value).get(name)
    if isinstance(held, list):
        members = held
    yield from members


def _dict(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, found {value!r}")
    return value
