# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the ports that a pod publishes are in reach, as far as its plan and the facts of the host tell. Pure."""

from __future__ import annotations

from .addresses import V6_BITS, Address, Subnet
from .network_plan import BRIDGE_FILTERS
from .plan import bridge_of
from .steps import POD_SIDE, AddRoute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .network_plan import Attachment, HostFacts, NetworkPlan
    from .rules import PortForward

_LOOPBACK = "127."
_LOOPBACK6, _LINK_LOCAL = Subnet.parse("::1/128"), Subnet.parse("fe80::/10")
# The plugin by which what comes by an interface is answered by it.
_ANSWERING = "sbr"


def unreached(plan: NetworkPlan) -> tuple[str, ...]:
    """The warnings about ports that lead nowhere on any host."""
    target = plan.attachments[plan.target] if plan.published_here else None
    found = unrouted(plan.forwards)
    if target is None or not target.conf.main.is_built_in:
        return found
    return (*found, *(_unanswered(target, plan.forwards) if target.has_host_end else _beyond(target)))


def unreached_here(plan: NetworkPlan, facts: HostFacts) -> tuple[str, ...]:
    """These, and those about ports that are out of reach on this host."""
    return (*_absent(plan, facts), *_apart(plan, facts), *unreached(plan), *_not_to_itself(plan, facts))


def unrouted(forwards: Sequence[PortForward]) -> tuple[str, ...]:
    """A warning for each address of IPv6 with a port from which no packet is routed to a pod."""
    asked = dict.fromkeys(forward.at for forward in forwards if forward.at and _is_unrouted(forward.at))
    return tuple(
        f"ports published on {host_ip} are out of reach: IPv6 routes no packet of "
        + ("the loopback address" if host_ip == str(_LOOPBACK6.base) else "a link-local address")
        + "; publish them on 127.0.0.1, or on another address"
        for host_ip in asked
    )


def _beyond(target: Attachment) -> tuple[str, ...]:
    """A warning about ports that lead to a network whose interfaces have no end on the host."""
    name, kind = target.conf.name, target.conf.type
    return (
        f'ports lead to network "{name}" of type {kind} and are out of reach: the host has no way to its pods; '
        "have the pod join one with ip_masq as well, such as default, or publish none",
    )


def _apart(plan: NetworkPlan, facts: HostFacts) -> tuple[str, ...]:
    """A warning about ports that lead to a bridge on which the host has no address."""
    target = plan.attachments[plan.target] if plan.published_here else None
    bridge = bridge_of(target.conf) if target else ""
    if target is None or not bridge or getattr(target.conf.main.own, "gateway", False):
        return ()
    held = {address.bits for link, address, _prefix in facts.addresses if link == bridge}
    return () if held & set(target.families) else _beyond(target)


def _unanswered(target: Attachment, forwards: Sequence[PortForward]) -> tuple[str, ...]:
    """A warning about ports whose clients on other hosts get no answer, since no route of the pod leads to them."""
    if _answers_all(target):
        return ()
    open_ones = [each for each in forwards if not each.at.startswith(_LOOPBACK)]
    asked = {bits for each in open_ones if not (each.at and _is_unrouted(each.at)) for bits in each.families}
    given = [bits for bits in target.families if bits in asked]
    silent = [bits for bits in given if not _leads_out(target, bits)]
    if not silent:
        return ()
    family = "" if silent == given else " over IPv6" if silent == [V6_BITS] else " over IPv4"
    return (
        f'ports lead to network "{target.conf.name}", whose pods have no route to other hosts: '
        f"these get no answer{family}; publish them on 127.0.0.1, or give the network a default route",
    )


def _answers_all(target: Attachment) -> bool:
    """Whether answers come back whatever the routes that are known are, or may do so."""
    if not target.is_sure or any(not plugin.is_built_in for plugin in target.conf.plugins):
        return True
    return any(plugin.masks_clients or plugin.type == _ANSWERING for plugin in target.conf.plugins)


def _leads_out(target: Attachment, bits: int) -> bool:
    """Whether a pod has a route of a family beyond the subnets of its addresses, or may learn of one."""
    if bits == V6_BITS and target.conf.main.link.accept_ra:
        return True
    own = [each.subnet for each in target.likely.addresses]
    routes = [
        step.dst for step in target.likely_steps() if isinstance(step, AddRoute) and step.side == POD_SIDE
    ]
    return any(
        dst.bits == bits and not any(dst.prefix >= each.prefix and each.holds(dst.base) for each in own)
        for dst in routes
    )


def _absent(plan: NetworkPlan, facts: HostFacts) -> tuple[str, ...]:
    """A warning for each port that is published on an address that the host does not have."""
    here = {str(address) for _link, address, _prefix in facts.addresses}
    asked = dict.fromkeys(
        forward.at for forward in plan.forwards if forward.at and not _is_unrouted(forward.at)
    )
    return tuple(
        f"{host_ip} is not an address of this host: ports published there are out of reach until it is"
        for host_ip in asked
        if host_ip not in here and not host_ip.startswith(_LOOPBACK)
    )


def _not_to_itself(plan: NetworkPlan, facts: HostFacts) -> tuple[str, ...]:
    """A warning where a pod does not reach its own published ports.

    The port of the host becomes that of the pod before its bridge looks where the frame goes: back to where it is from.
    """
    target = plan.attachments[plan.target] if plan.published_here else None
    if target is None or not bridge_of(target.conf) or getattr(target.conf.main.own, "hairpin", False):
        return ()
    asked = {bits for forward in plan.forwards for bits in forward.families}
    switches = [
        BRIDGE_FILTERS[bits] for bits in facts.filters_bridges if bits in asked and bits in target.families
    ]
    if not switches:
        return ()
    return (
        f'a pod of network "{target.conf.name}" does not reach its own ports through the host, which has '
        f"{' and '.join(switches)} on: set hairpin of the network if it has to",
    )


def _is_unrouted(host_ip: str) -> bool:
    address = Address.parse(host_ip)
    return _LOOPBACK6.holds(address) or _LINK_LOCAL.holds(address)
