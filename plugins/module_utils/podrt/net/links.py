# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the steps of a plan over netlink; find and remove the links that they left on the host."""

from __future__ import annotations

import _socket
import time

from ..contexts import suppress
from .hostlock import bridge_lock, forget_bridge_lock
from .place import host_if_prefix, shaper_prefix
from .plan import has_address, not_a_bridge
from .rtmsg import (
    VethEnds,
    del_link,
    new_address,
    new_bridge,
    new_route,
    new_veth,
    set_alias,
    set_hairpin,
    set_up,
)
from .rtsocket import OUR_BRIDGE, RouteSocket, entered
from .steps import (
    HOST_SIDE,
    AddAddress,
    AddRoute,
    BringUp,
    EnsureBridge,
    EnsureBridgeAddress,
    IgnoreRouters,
    MakeVeth,
    SetSysctl,
)
from .switches import ignore_routers, may_change, set_on_host, set_sysctl, switch_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.paths import Paths
    from .linksockets import LinkSockets
    from .steps import NetStep

_ENODEV = 19
_EEXIST = 17
_CONNECTING_SECONDS = 1.0
_PAUSE = 0.001


def apply_step(step: NetStep, wires: LinkSockets) -> None:
    """Do one step. Raises OSError, Conflict."""
    if isinstance(step, MakeVeth):
        _make_veth(step, wires)
    elif isinstance(step, AddAddress):
        socket = wires.on(step.side)
        index = socket.index(step.link)
        socket.send([new_address(index, step.address, step.prefix, prefix_route=step.prefix_route)])
    elif isinstance(step, AddRoute):
        _add_route(step, wires.on(step.side))
    elif isinstance(step, SetSysctl):
        _set_sysctl(step, wires)
    elif isinstance(step, BringUp):
        socket = wires.on(step.side)
        socket.send([set_up(socket.index(step.link))])
    elif isinstance(step, IgnoreRouters):
        _ignore_routers(step.link, wires.host)
    elif isinstance(step, EnsureBridge):
        _ensure_bridge(step, wires.host)
    elif isinstance(step, EnsureBridgeAddress):
        _ensure_bridge_address(step, wires.host)
    else:
        from .rarelinks import apply_rare_step

        apply_rare_step(step, wires)


def loopback_up(pod: RouteSocket) -> None:
    """Bring lo up. Raises OSError."""
    pod.send([set_up(pod.index("lo"))])


def await_connected(name: str, host: RouteSocket) -> None:
    """Wait until the host's end of a veth passes frames on; until then the kernel, or its bridge, drops them.

    That takes it a moment of its own, see linkwatch of the kernel. Returns after a second in any case. Raises
    nothing: a program may call its link whatever it likes.
    """
    end = time.monotonic() + _CONNECTING_SECONDS
    with suppress(OSError):
        while time.monotonic() < end:
            link = host.find(name)
            if link is None or link.kind != "veth" or not link.is_up or link.is_connected:
                return
            time.sleep(_PAUSE)


def is_link_of(uuid: str, name: str) -> bool:
    """Whether an interface of the host is a pod's, by its name."""
    return _is_named(name, host_if_prefix(uuid)) or is_shaper_of(uuid, name)


def is_shaper_of(uuid: str, name: str) -> bool:
    """Whether it is one where what a pod sends waits, see shapes. It does not end with the pod's processes."""
    return _is_named(name, shaper_prefix(uuid))


def _is_named(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and len(name) == len(prefix) + 1


def host_links_of(uuid: str) -> tuple[str, ...]:
    """The host's interfaces of a pod, found by their names."""
    return tuple(name for _index, name in _socket.if_nameindex() if is_link_of(uuid, name))


def remove_links(uuid: str, *, ports_only: bool = False) -> None:
    """Remove the host's interfaces of a pod, or only those that the kernel would not, or too late, and so their peers.

    Costs some 30 ms for each that still exists; the kernel removes those of a dead network namespace, but until then a
    bridge has them as ports. Raises OSError.
    """
    names = host_links_of(uuid)
    if not names:
        return
    with RouteSocket() as host:
        for name in names:
            link = host.find(name) if ports_only else None
            if ports_only and not is_shaper_of(uuid, name) and not (link and link.master):
                continue
            try:
                host.send([del_link(name)])
            except OSError as err:
                if err.errno != _ENODEV:
                    raise


def our_bridges() -> tuple[str, ...]:
    """Every bridge that attach made. Raises OSError."""
    with RouteSocket() as host:
        return tuple(link.name for link in host.links() if link.kind == "bridge" and link.alias == OUR_BRIDGE)


def leave_bridge(paths: Paths, name: str) -> None:
    """Remove a bridge that attach made and that no other has a port of, and gateways of VLANs that no port is in.

    Raises Conflict, OSError.
    """
    with bridge_lock(paths, name):
        if _remove_idle_bridge(name):
            forget_bridge_lock(paths, name)


def _remove_idle_bridge(name: str) -> bool:
    """Remove it, as far as it is idle. Returns whether there is no such bridge now."""
    with RouteSocket() as host:
        bridge = host.find(name)
        if bridge is None:
            return True
        ports = [link for link in host.links() if link.master == bridge.index]
        gateways = [link for link in ports if link.alias == OUR_BRIDGE]
        if bridge.alias == OUR_BRIDGE and len(gateways) == len(ports):
            host.send([del_link(each.name) for each in (*gateways, bridge)])
            return True
        if gateways:
            from .vlans import remove_idle_gateways  # few bridges have any

            remove_idle_gateways(host, gateways, ports)
    return False


def _make_veth(step: MakeVeth, wires: LinkSockets) -> None:
    master = wires.host.index(step.bridge) if step.bridge else 0
    ends = VethEnds(step.host_if, step.pod_if, step.macs, step.mtu, master)
    wires.host.send([new_veth(ends, wires.netns_fd)])
    if step.hairpin:
        wires.host.send([set_hairpin(wires.host.index(step.host_if))])


def _add_route(step: AddRoute, socket: RouteSocket) -> None:
    try:
        index = socket.index(step.link)
        socket.send([new_route(index, step.dst, step.gateway, dict(step.more), step.source)])
    except OSError as err:
        # Of two networks with a default route, the first wins. Source: CNI pkg/ipam ConfigureIface.
        if err.errno != _EEXIST or step.side == HOST_SIDE:
            raise


def _set_sysctl(step: SetSysctl, wires: LinkSockets) -> None:
    if step.side == HOST_SIDE:
        set_on_host(step.key, step.value)
        return
    with entered(wires.netns_fd):
        set_sysctl(step.key, step.value)


def _ensure_bridge(step: EnsureBridge, host: RouteSocket) -> None:
    link = host.find(step.name)
    if link is None:
        # In one system call, so that a kill cannot leave a bridge without our alias.
        host.send([new_bridge(step.name, step.mac, step.mtu), set_alias(step.name, OUR_BRIDGE)])
        # By its link-local address the host looks for pods, and could not for the second in which it asks who has it.
        switch_off(f"net/ipv6/conf/{step.name}/accept_dad")
    elif link.kind != "bridge":
        raise not_a_bridge(step.name)


def _ignore_routers(name: str, host: RouteSocket) -> None:
    link = host.find(name)
    if link is not None and may_change(link):
        ignore_routers(name)


def _ensure_bridge_address(step: EnsureBridgeAddress, host: RouteSocket) -> None:
    index = host.index(step.name)
    if has_address(step, (found[1:] for found in host.addresses(index))):
        return
    try:
        host.send([new_address(index, step.address, step.prefix)])
    except OSError as err:
        if err.errno != _EEXIST:
            raise
