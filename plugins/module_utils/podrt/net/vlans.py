# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put ports of a bridge into VLANs, and the host, by an interface that holds the gateway; look whether they are there.

That interface is one end of a pair, as CNI's own program makes it: it needs no module beside that of bridges.
Source: containernetworking/plugins bridge; bridge(8).
"""

from __future__ import annotations

import errno
import os

from ..errors import Conflict, Unsupported, reason_of
from .rtmsg import VethEnds, del_link, get_link, new_veth, set_alias, set_up
from .rtsocket import OUR_BRIDGE, own_netns
from .steps import FilterVlans, PortVlans
from .switches import switch_off
from .vlanmsg import (
    PVID,
    add_vlans,
    drop_vlans,
    dump_vlans,
    filter_vlans,
    filters_vlans,
    vlans_in,
    wanted_vlans,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .rtsocket import Link, RouteSocket
    from .steps import VlanGateway, VlanStep


def apply_vlan_step(step: VlanStep, host: RouteSocket) -> None:
    """Do one step, as far as it is not done. Raises OSError, Conflict, Unsupported."""
    if isinstance(step, FilterVlans):
        _filter(step.name, host)
    elif isinstance(step, PortVlans):
        _set_vlans(step, host)
    else:
        _make_gateway(step, host)


def has_vlan_step(step: VlanStep, host: RouteSocket) -> bool:
    """Whether a step is done. Raises OSError."""
    if isinstance(step, FilterVlans):
        return host.find(step.name) is not None and filters_vlans(host.ask(get_link(step.name))[0])
    if isinstance(step, PortVlans):
        port = host.find(step.link)
        return port is not None and _is_as_wanted(step, _vlans_of(port.index, host))
    if host.find(step.link) is None:
        return False
    port = host.find(step.port.link)
    return port is None or (port.is_up and has_vlan_step(step.port, host))


def remove_idle_gateways(host: RouteSocket, gateways: Sequence[Link], ports: Sequence[Link]) -> None:
    """Remove the gateways of VLANs that no other port of their bridge is in. Raises OSError."""
    known = vlans_in(host.ask(dump_vlans()))
    ours = {gateway.index for gateway in gateways}
    used = {number for port in ports if port.index not in ours for number in known.get(port.index, ())}
    for gateway in gateways:
        own = [number for number, flags in known.get(gateway.index, {}).items() if flags & PVID]
        if used.isdisjoint(own):
            host.send([del_link(gateway.name)])


def _filter(name: str, host: RouteSocket) -> None:
    link = host.find(name)
    if link is None or filters_vlans(host.ask(get_link(name))[0]):
        return
    if link.alias != OUR_BRIDGE:
        raise Conflict(
            f"the bridge {name} of this host does not filter VLANs",
            f"ip link set {name} type bridge vlan_filtering 1 has it do so; or give the network another bridge",
            link=name,
        )
    try:
        host.send([filter_vlans(link.index, name)])
    except OSError as err:
        if err.errno != errno.EOPNOTSUPP:
            raise
        raise Unsupported(
            f"the bridges of this host's kernel have no VLANs: {reason_of(err)}",
            "boot a kernel with CONFIG_BRIDGE_VLAN_FILTERING, which no module adds, or take vlan and vlanTrunk out",
        ) from err


def _set_vlans(step: PortVlans, host: RouteSocket) -> None:
    """Put a port into its VLANs first: what leads to a pod that runs is not to break."""
    index = host.index(step.link)
    host.send([add_vlans(index, step)])
    wanted = wanted_vlans(step)
    others = [] if step.keeps_default else [each for each in _vlans_of(index, host) if each not in wanted]
    if others:
        host.send([drop_vlans(index, others, step.link)])


def _make_gateway(step: VlanGateway, host: RouteSocket) -> None:
    name = step.port.link
    if host.find(step.link) is None:
        ends = VethEnds(name, step.link, step.macs, step.mtu, host.index(step.bridge))
        here = own_netns()
        try:
            # In one system call, so that a kill cannot leave a port without our alias.
            host.send([new_veth(ends, here), *(set_alias(end, OUR_BRIDGE) for end in (name, step.link))])
        finally:
            os.close(here)
        # As of a bridge: by its link-local address the host looks for pods at once.
        switch_off(f"net/ipv6/conf/{step.link}/accept_dad")
    elif host.find(name) is None:
        return
    _set_vlans(step.port, host)
    host.send([set_up(host.index(name))])


def _vlans_of(index: int, host: RouteSocket) -> Mapping[int, int]:
    return vlans_in(host.ask(dump_vlans())).get(index, {})


def _is_as_wanted(step: PortVlans, found: Mapping[int, int]) -> bool:
    wanted = wanted_vlans(step)
    extra = set(found) - set(wanted)
    return all(found.get(number) == flags for number, flags in wanted.items()) and (
        step.keeps_default or not extra
    )
