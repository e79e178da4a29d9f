# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a pod's networks, made and checked before anything is touched.

network_plan checks the request alone, compare_with_host the request against the host; both are pure. For ports, see
reach. Facts that only the attempt shows, such as which address is free, are left to attach. Source: behaviours E.1 to
E.3, E22.
"""

from __future__ import annotations

from ..appc.pod import NETWORK_BANDWIDTH
from ..errors import InvalidSpec, NotFound
from ..jsontext import dumps
from ..value import Value
from .addresses import V4_BITS, V6_BITS
from .conf import ChosenNet, NetConf
from .elements import OURS
from .kinds import BANDWIDTH
from .netargs import NetArgs, check_names
from .place import Place
from .plan import bridge_of, has_address, not_a_bridge, steps_of
from .plugin import IPS, PORT_MAPPINGS, static_addresses
from .programs import NO_PROGRAMS, PluginPrograms
from .ranges import Assigned, fitting_range
from .rates import NO_RATE, runtime_rates
from .result import NetResult, result_of_addresses
from .rules import MASQUERADED, PodRules, SubnetChain
from .shaping import is_limited, left_to_program, shape_of
from .steps import EnsureBridgeAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .addresses import Address, Subnet
    from .rules import PortForward
    from .steps import NetStep

_NO_POD = "0" * 32
# Types whose interfaces have the MAC address of a device, or none.
_WITHOUT_MAC = ("ipvlan", "vlan", "host-device", "loopback")
_BOTH = (V4_BITS, V6_BITS)
_WITH_HOST_END = ("ptp", "bridge")
# By which the rules for packets of a family see what a bridge passes on.
BRIDGE_FILTERS = {
    V4_BITS: "net.bridge.bridge-nf-call-iptables",
    V6_BITS: "net.bridge.bridge-nf-call-ip6tables",
}


class Attachment(Value):
    """A network that a pod joins. index: the number of its interface. args: what the pod asks for there."""

    chosen: ChosenNet
    index: int
    args: NetArgs = NetArgs()

    @property
    def conf(self) -> NetConf:
        """The network."""
        return self.chosen.conf

    @property
    def likely(self) -> NetResult:
        """What IPAM would give if all addresses were free; subnets and gateways are certain. Empty for programs."""
        main = self.conf.main
        if not self.is_sure:
            return NetResult()
        spans = [ranges[0] for ranges in main.ipam.range_sets]
        free = tuple(Assigned(span.start, span.subnet.prefix, span.gateway) for span in spans)
        return result_of_addresses(free or static_addresses(main, self.args), main.ipam.routes)

    @property
    def families(self) -> tuple[int, ...]:
        """The families of its addresses, as their bits; those that it may have, for a program."""
        if not self.is_sure:
            return _BOTH
        return tuple(dict.fromkeys(each.address.bits for each in self.likely.addresses))

    @property
    def is_sure(self) -> bool:
        """Whether the addresses of the pod are known to be those of likely, but for what is taken."""
        main = self.conf.main
        return main.is_built_in and not main.ipam_program and not main.asks_network

    def likely_steps(self) -> tuple[NetStep, ...]:
        """The steps that are known without the addresses of the pod, with likely ones. Raises InvalidSpec."""
        place = Place(_NO_POD, self.index, self.likely, self.args)
        return steps_of(self.conf, place) if self.is_sure else ()

    @property
    def is_routed(self) -> bool:
        """Whether the host routes for the pod, and so can masquerade; of a program that is not known."""
        return not self.conf.main.is_built_in or self.conf.type in MASQUERADED

    @property
    def chains(self) -> tuple[SubnetChain, ...]:
        """The chains for what the pod sends out of its subnets, as far as these are certain."""
        if self.conf.type not in MASQUERADED:
            return ()
        masquerade = self.conf.main.ip_masq
        return tuple(SubnetChain(each.subnet, masquerade) for each in self.likely.addresses)

    @property
    def has_host_end(self) -> bool:
        """Whether the interface of the pod has an end on the host; of a program that is not known."""
        return not self.conf.main.is_built_in or self.conf.type in _WITH_HOST_END

    @property
    def publisher(self) -> str:
        """Who publishes the ports that lead here: OURS, or the program of a plugin."""
        programs = (plugin.program for plugin in self.conf.plugins if plugin.takes_ports)
        return next((program for program in programs if program), OURS)


class NetworkPlan(Value):
    """The networks that a pod joins, in order, and its host ports. target: the attachment that these lead to.

    aliases: the names of the pod, for programs that make them known in their way. limit: the bytes a second that each
    of its interfaces may send, and receive, by its isolators; 0 for any.
    """

    attachments: tuple[Attachment, ...] = ()
    forwards: tuple[PortForward, ...] = ()
    target: int = -1
    aliases: tuple[str, ...] = ()
    limit: int = 0

    @property
    def executes(self) -> bool:
        """Whether a program is executed for a network of it."""
        return any(
            plugin.program or plugin.ipam_program for each in self.attachments for plugin in each.conf.plugins
        )

    def runtime_of(self, attachment: Attachment) -> tuple[tuple[str, str], ...]:
        """What programs of a network get of the runtime, by capability, as JSON.

        Source: containernetworking/cni CONVENTIONS.md, "Dynamic Plugin specific fields".
        """
        args = attachment.args
        ips = list(args.prefixed)
        asked = ((IPS, ips), ("mac", args.mac.hex(":")), ("aliases", list(self.aliases)))
        found = tuple((name, dumps(value)) for name, value in asked if value)
        if self.limit:
            found = (*found, (BANDWIDTH, dumps(runtime_rates(self.limit))))
        if attachment.index != self.target or attachment.publisher == OURS:
            return found
        mappings = [
            {
                "hostPort": forward.host_port,
                "containerPort": forward.pod_port,
                "protocol": forward.protocol,
                **({"hostIP": forward.host_ip} if forward.host_ip else {}),
            }
            for forward in self.forwards
        ]
        return (*found, (PORT_MAPPINGS, dumps(mappings)))

    def publisher(self, index: int) -> str:
        """Who publishes the ports of the pod, if they lead to this attachment, else ""."""
        return self.attachments[index].publisher if index == self.target else ""

    @property
    def published_here(self) -> tuple[PortForward, ...]:
        """The ports that no plugin's program publishes."""
        return self.forwards if self.forwards and self.publisher(self.target) == OURS else ()

    @property
    def foundations(self) -> PodRules:
        """The chains that the rules of the pod need, as far as they are certain; without its elements."""
        return PodRules(tuple(dict.fromkeys(chain for each in self.attachments for chain in each.chains)))

    @property
    def families(self) -> tuple[int, ...]:
        """The families over which ports on every address are published, as the bits of their addresses."""
        return self.attachments[self.target].families if self.forwards else ()


class HostFacts(Value):
    """The facts of a host's network that matter to pods. links: names, kinds. addresses: link, address, prefix length.

    believing: the host's own bridges that take addresses and routes from router advertisements. filters_bridges:
    the families, as bits, of which the rules for packets see what a bridge passes on between its ports, too.
    """

    links: tuple[tuple[str, str], ...] = ()
    addresses: tuple[tuple[str, Address, int], ...] = ()
    believing: tuple[str, ...] = ()
    filters_bridges: tuple[int, ...] = ()


def network_plan(
    chosen: Sequence[ChosenNet],
    forwards: Sequence[PortForward],
    programs: PluginPrograms = NO_PROGRAMS,
    limit: int = 0,
) -> NetworkPlan:
    """Plan the networks of a pod. limit: see NetworkPlan.

    Raises NotFound for a type that nothing is there for, InvalidSpec naming the option or the file for any other error.
    """
    attachments = tuple(_attachment(net, index, programs) for index, net in enumerate(chosen))
    check_names([Place(_NO_POD, each.index, args=each.args).if_name for each in attachments])
    plan = NetworkPlan(attachments, tuple(forwards), _target(attachments) if forwards else -1, limit=limit)
    _check_families(plan)
    return plan


def compare_with_host(plan: NetworkPlan, facts: HostFacts) -> tuple[str, ...]:
    """The warnings about a plan on this host. Raises Conflict, NotFound for a plan that would fail there."""
    kinds = dict(facts.links)
    for attachment in plan.attachments:
        bridge = bridge_of(attachment.conf)
        if bridge and kinds.get(bridge, "bridge") != "bridge":
            raise not_a_bridge(bridge)
        for link in (link for plugin in attachment.conf.plugins for link in plugin.needed_links):
            if link not in kinds:
                raise NotFound(
                    f'network "{attachment.conf.name}" needs the interface "{link}", which this host does not have',
                    "ip link shows those that there are",
                    link=link,
                )
        for step in attachment.likely_steps():
            if isinstance(step, EnsureBridgeAddress):
                has_address(step, (found[1:] for found in facts.addresses if found[0] == step.name))
    return (
        *_overlaps(plan),
        *_host_overlaps(plan, facts, kinds),
        *_believing(plan, facts),
        *_unlimited(plan),
    )


def _attachment(net: ChosenNet, index: int, programs: PluginPrograms) -> Attachment:
    try:
        resolved = net.replace(conf=programs.resolve(net.conf))
        is_built_in = resolved.conf.main.is_built_in
        args = NetArgs.of(net.args, net.conf.name, strict=is_built_in)
        attachment = Attachment(resolved, index, args)
        if is_built_in:
            check_args(resolved.conf, args)
        _check_chain(resolved.conf)
        _check_isolation(resolved.conf)
        if is_limited(resolved.conf) and not attachment.has_host_end:
            shape_of(resolved.conf, Place(_NO_POD, index), "", NO_RATE)  # which says why not
        attachment.likely_steps()  # raises if the configuration lacks something
    except InvalidSpec as err:
        if not net.where:
            raise
        raise InvalidSpec(err.message, err.hint, where=net.where) from err
    except NotFound as err:
        if net.where:
            err.facts["where"] = net.where
        raise
    return attachment


def _check_chain(conf: NetConf) -> None:
    """Raise InvalidSpec where a plugin that is built in cannot stand where it stands."""
    for number, plugin in enumerate(conf.plugins):
        if plugin.asks_network and plugin.type == "ptp" and plugin.is_built_in:
            raise InvalidSpec(
                f'network "{conf.name}" of type ptp cannot have addresses from DHCP: the host alone is on it',
                "use host-local, or a type that is on another network, such as macvlan",
                where=conf.file_name,
            )
        if plugin.is_built_in and plugin.makes_link != (number == 0):
            raise InvalidSpec(
                f'the plugin "{plugin.type}" of network "{conf.name}" '
                + ("makes a second interface" if number else "needs one before it that makes an interface"),
                "the first plugin of a network makes the interface, and the others change it",
                where=conf.file_name,
            )


def _check_isolation(conf: NetConf) -> None:
    """Raise InvalidSpec where a network is to be isolated and something of it would not be kept to that."""
    main = conf.main
    if not getattr(main.own, "isolated", False):
        return
    if main.program:
        reason = f"the program {main.program} makes its interfaces, and is not known to keep pods apart"
    elif any(getattr(plugin.own, "mac", b"") for plugin in conf.plugins):
        reason = "its pods have the MAC addresses that they were given, and a plugin would change them"
    elif getattr(main.own, "has_trunks", False):
        reason = "frames of vlanTrunk have tags, and those are not looked into"
    elif main.ipam.type == "dhcp":
        reason = "its pods have the addresses that they were given, and a DHCP server could change them"
    else:
        return
    raise InvalidSpec(
        f'network "{conf.name}" cannot be isolated: {reason}',
        "take one or the other out",
        where=conf.file_name,
    )


def check_args(conf: NetConf, args: NetArgs) -> None:
    """Raise InvalidSpec for what a network that is built in cannot give. Source: behaviours E14."""
    ipam, kind = conf.main.ipam, conf.type
    if args.mac and kind in _WITHOUT_MAC:
        raise InvalidSpec(
            f'network "{conf.name}" of type {kind} cannot give a MAC address: the interface has that of another one',
            "take MAC= out",
        )
    if ipam.type == "static":
        _check_static(conf, args)
        return
    if args.ips and ipam.type != "host-local":
        raise InvalidSpec(
            f'network "{conf.name}" cannot give {args.ips[0]}: its addresses are fixed in {conf.file_name}',
            "take IP= out, or have host-local give the addresses",
        )
    if args.gateway:
        raise InvalidSpec(
            f'network "{conf.name}" cannot give the gateway {args.gateway}: those of its addresses are known',
            "take GATEWAY= out, or have static give the addresses",
        )
    for wanted, prefix in zip(args.ips, args.prefixes):
        span = fitting_range([span for ranges in ipam.range_sets for span in ranges], wanted)
        if prefix not in (None, span.subnet.prefix):
            raise InvalidSpec(
                f'network "{conf.name}" cannot give {wanted}/{prefix}: its subnet is {span.subnet}',
                f"write IP={wanted}",
            )


def _check_static(conf: NetConf, args: NetArgs) -> None:
    """Raise InvalidSpec for an address without a prefix length, and for a gateway of none of the addresses."""
    for wanted, prefix in zip(args.ips, args.prefixes):
        if prefix is None:
            raise InvalidSpec(
                f'network "{conf.name}" cannot give {wanted}: its addresses are fixed in {conf.file_name}, '
                "and one that is asked for needs its prefix length",
                f"write IP={wanted}/24, with that of its subnet",
            )
    if args.ips and conf.main.ipam.by_args and IPS not in conf.main.capabilities:
        raise InvalidSpec(
            f'network "{conf.name}" cannot give {args.ips[0]}: args.cni.ips of {conf.file_name} has its addresses',
            "take one or the other out, or give the network the capability ips",
        )
    found = static_addresses(conf.main, args)
    if args.gateway and not any(each.gateway == args.gateway for each in found):
        raise InvalidSpec(
            f'network "{conf.name}" cannot give the gateway {args.gateway}: it is in the subnet of no address',
            "choose one that the pod reaches, or take GATEWAY= out",
        )


def _target(attachments: Sequence[Attachment]) -> int:
    """The network that host ports lead to, its index: the first with a plugin for them, or with ipMasq, or the last.

    Source: behaviours E22.
    """
    taking = [each for each in attachments if any(plugin.takes_ports for plugin in each.conf.plugins)]
    masked = [each for each in attachments if each.conf.main.ip_masq and each.is_routed]
    target = next(iter([*taking, *masked, *attachments[-1:]]), None)
    if target is None or not target.families:
        raise InvalidSpec("the pod has no network with an address to publish ports to", where="ports")
    return target.index


def _check_families(plan: NetworkPlan) -> None:
    """Raise InvalidSpec for a port on an address of a family that the pod has no address of."""
    for forward in plan.forwards:
        if not set(forward.families) & set(plan.families):
            name = "IPv6" if V6_BITS in forward.families else "IPv4"
            network = plan.attachments[plan.target].conf.name
            raise InvalidSpec(
                f'port {forward} needs an {name} address of the pod, and network "{network}" gives none',
                "publish it on an address of the other family, or give the network a subnet of this one",
                where="ports",
            )


def _subnets(attachment: Attachment) -> tuple[Subnet, ...]:
    return tuple(assigned.subnet for assigned in attachment.likely.ips)


def _overlaps(plan: NetworkPlan) -> tuple[str, ...]:
    """A warning for each two networks of the pod whose subnets overlap."""
    pairs = [
        (one, other)
        for one in plan.attachments
        for other in plan.attachments[one.index + 1 :]
        if any(a.overlaps(b) for a in _subnets(one) for b in _subnets(other))
    ]
    return tuple(
        f'the networks "{one.conf.name}" and "{other.conf.name}" have addresses in common: '
        "only one of them leads to these"
        for one, other in pairs
    )


def _host_overlaps(plan: NetworkPlan, facts: HostFacts, kinds: dict[str, str]) -> tuple[str, ...]:
    """A warning for each address of the host that lies in the subnet of a network."""
    bridges = {bridge_of(attachment.conf) for attachment in plan.attachments}
    overlaps = [
        (attachment.conf.name, subnet, link, address)
        for link, address, _prefix in facts.addresses
        if link not in bridges and kinds.get(link) not in ("veth", "bridge")
        for attachment in plan.attachments
        for subnet in _subnets(attachment)
        if subnet.holds(address)
    ]
    return tuple(
        f'the subnet {subnet} of network "{name}" holds an address of this host, {address} of {link}: '
        "either the host or the pod cannot reach the others there"
        for name, subnet, link, address in overlaps
    )


def _believing(plan: NetworkPlan, facts: HostFacts) -> tuple[str, ...]:
    """A warning for each bridge on which a pod can give the host a default route."""
    bridges = dict.fromkeys(bridge_of(attachment.conf) for attachment in plan.attachments)
    return tuple(
        f"the bridge {bridge} of this host believes router advertisements, so a pod on it can become the host's "
        f"way out over IPv6: set net.ipv6.conf.{bridge}.accept_ra to 0 unless a router there is needed"
        for bridge in bridges
        if bridge in facts.believing
    )


def _unlimited(plan: NetworkPlan) -> tuple[str, ...]:
    """A warning for each network on which the limit of the pod's isolators cannot be applied."""
    names = [
        each.conf.name
        for each in plan.attachments
        if plan.limit and not each.has_host_end and not left_to_program(each.conf)
    ]
    return tuple(
        f'the isolator {NETWORK_BANDWIDTH} is not applied on network "{name}": its pods have no interface of the host'
        for name in names
    )
