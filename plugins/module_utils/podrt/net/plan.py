# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that join a pod to a network, from its configuration and the pod's addresses, and what comes of them. Pure.

Each type of network has its own, see kinds.
"""

from __future__ import annotations

from ..errors import Conflict, InvalidSpec
from .addresses import Address, Subnet
from .place import Place
from .result import NO_RESULT, NetResult
from .steps import EnsureBridgeAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .conf import NetConf
    from .plugin import Plugin
    from .steps import NetStep


def steps_of(conf: NetConf, place: Place) -> tuple[NetStep, ...]:
    """The steps of all plugins that are built in. Raises InvalidSpec for an incomplete configuration."""
    return tuple(
        step for plugin in conf.plugins if plugin.is_built_in for step in plugin_steps(conf, plugin, place)
    )


def plugin_steps(conf: NetConf, plugin: Plugin, place: Place) -> tuple[NetStep, ...]:
    """The steps of one plugin that is built in, in order. Raises InvalidSpec for an incomplete configuration."""
    if plugin.needs_address and not place.addresses:
        hint = (
            "add its addresses, or ask for one with IP="
            if plugin.ipam.type == "static"
            else "add an ipam section"
        )
        raise InvalidSpec(f'network "{conf.name}" gives no address', hint, where=conf.file_name)
    try:
        steps = tuple(plugin.own.steps(plugin.link, place))
    except InvalidSpec as err:
        raise InvalidSpec(
            f'network "{conf.name}" {err.message}', err.hint, where=err.where or conf.file_name
        ) from err
    # A server on the network has no say in which addresses the host has.
    return tuple(
        step for step in steps if not (plugin.asks_network and isinstance(step, EnsureBridgeAddress))
    )


def result_of(plugin: Plugin, place: Place, sandbox: str, before: NetResult = NO_RESULT) -> NetResult:
    """What a plugin that is built in makes, or makes of the result before it.

    sandbox: the path of the pod's network namespace.
    """
    result = plugin.own.result(before, place, sandbox)
    return result.replace(dns=plugin.dns) if plugin.dns.to_json() else result


def gateway_link(conf: NetConf, place: Place) -> str:
    """The interface of the host that holds the gateway of the network, as earlier releases made it."""
    return gateway_holder(conf) or place.host_if


def bridge_of(conf: NetConf) -> str:
    """The bridge of the host that a network's pods are ports of, "" without one, or if a program makes it."""
    main = conf.main
    return getattr(main.own, "name", "") if main.type == "bridge" and main.is_built_in else ""


def gateway_holder(conf: NetConf) -> str:
    """The interface that has the gateways of such a network: its bridge, or that of its VLAN; "" without a bridge."""
    return getattr(conf.main.own, "holder", "") if bridge_of(conf) else ""


def not_a_bridge(name: str) -> Conflict:
    """The error for a bridge whose name another link of the host has."""
    return Conflict(
        f'"{name}" already exists but is not a bridge', "give the network another bridge", link=name
    )


def has_address(step: EnsureBridgeAddress, held: Iterable[tuple[Address, int]]) -> bool:
    """Whether a bridge with these addresses has the one of a step. Raises Conflict for another one in its subnet."""
    wanted = f"{step.address}/{step.prefix}"
    for address, prefix in held:
        if (address, prefix) == (step.address, step.prefix):
            return True
        if Subnet.around(address, prefix).holds(step.address):
            raise Conflict(
                f'"{step.name}" already has an IP address different from {wanted}: {address}/{prefix}',
                "remove that address or give the network another gateway",
                link=step.name,
            )
    return False
