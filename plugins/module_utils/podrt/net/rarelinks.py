# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the steps of the rarer types of networks, and give back what pods have taken of the host.

Source: linux/if_tun.h; /sys/class/net, sysfs-class-net(5).
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from struct import Struct

from ..errors import HostFailure, NotFound, Unsupported, reason_of
from ..host.files import entries_if_any
from .addresses import Subnet
from .netargs import is_link_name, mac_of
from .raremsg import (
    dump_main_routes,
    has_gateway,
    is_default,
    is_movable,
    isolate_port,
    mac_of_link,
    move_link,
    moved_route,
    new_link,
    new_rule,
    rename_link,
    tune_link,
)
from .rtmsg import dump_links, link_index, new_route
from .rtsocket import RouteSocket, entered, own_netns
from .shapes import shape_link
from .steps import (
    HOST_SIDE,
    IsolatePort,
    LetThrough,
    MakeLink,
    MakeTap,
    MoveLink,
    MoveRoutes,
    ShapeLink,
    TuneLink,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .linksockets import LinkSockets
    from .rtsocket import Link
    from .steps import RareStep

_PCI = "/sys/bus/pci/devices"
_IFREQ = Struct("16sH22x")
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOWNER, _TUNSETGROUP = 0x400454CA, 0x400454CB, 0x400454CC, 0x400454CE
_IFF_TAP, _IFF_MULTI_QUEUE, _IFF_NO_PI = 0x2, 0x100, 0x1000
_FAMILIES = (2, 10)
# Modules of the kernel that have another name than the links they make.
_MODULES = {"vlan": "8021q"}
# The alias of an interface of the host that a pod has: this, its UUID, the name that it had, and the alias.
_LENT = "lent to pod "
_LONGEST_ALIAS = 255
_BACK_SECONDS, _LOOK_SECONDS = 2.0, 0.05


def apply_rare_step(step: RareStep, wires: LinkSockets) -> None:
    """Do one step. Raises OSError, NotFound, HostFailure."""
    if isinstance(step, MakeLink):
        _make_link(step, wires)
    elif isinstance(step, MakeTap):
        _make_tap(step, wires)
    elif isinstance(step, MoveLink):
        _move_link(step, wires)
    elif isinstance(step, TuneLink):
        socket = wires.on(step.side)
        socket.send([tune_link(socket.index(step.link), step)])
    elif isinstance(step, IsolatePort):
        wires.host.send(isolate_port(wires.host.index(step.link), step))
    elif isinstance(step, ShapeLink):
        shape_link(step, wires.host)
    elif isinstance(step, LetThrough):
        from .openings import let_through  # few networks ask for that

        let_through(step)
    elif isinstance(step, MoveRoutes):
        _move_routes(step, wires.pod)
    else:
        from .vlans import apply_vlan_step  # few bridges have any

        apply_vlan_step(step, wires.host)


def return_devices(uuid: str, netns: str, name: str = "") -> None:
    """Give the interfaces of the host back that a pod has, under the names that they had.

    netns: the path of the pod's network namespace, "" when it has gone: then the kernel moves devices back, a moment
    later, and removes what is not hardware. name: the one that the interface had, where its network says that. Else
    only its alias does, and an app that may change interfaces can have written that. Raises OSError.
    """
    if netns:
        _fetch(uuid, netns, name)
        return
    end = time.monotonic() + _BACK_SECONDS
    with RouteSocket() as host:
        while not (lent := _lent(host, uuid, name)) and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        for link in lent:
            host.send([rename_link(link.index, *_before(link))])


def _fetch(uuid: str, netns: str, name: str) -> None:
    """Take them out of the network namespace of a pod. They are still on the host if the pod has not got them yet."""
    home, there = own_netns(), os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with entered(there), RouteSocket() as pod:
            for link in _lent(pod, uuid, name):
                pod.send([move_link(link.index, *_before(link), home)])
    finally:
        os.close(home)
        os.close(there)


def _lent(socket: RouteSocket, uuid: str, name: str) -> list[Link]:
    lent = [link for link in socket.links() if link.alias.startswith(f"{_LENT}{uuid} ")]
    names = [_before(link)[0] for link in lent]
    return [link for link, had in zip(lent, names) if (had == name if name else is_link_name(had))]


def _before(link: Link) -> tuple[str, str]:
    """The name and the alias that an interface had on the host."""
    name, _space, alias = link.alias[len(_LENT) :].partition(" ")[2].partition(" ")
    return name, "" if alias.startswith(_LENT) else alias


def _make_link(step: MakeLink, wires: LinkSockets) -> None:
    socket = wires.on(step.parent_side)
    parent = 0
    if step.parent:
        found = socket.find(step.parent)
        if found is None:
            raise _no_link(step.parent, "host" if step.parent_side == HOST_SIDE else "pod")
        parent = found.index
    try:
        socket.send([new_link(step, parent, wires.netns_fd)])
    except OSError as err:
        if err.errno != errno.EOPNOTSUPP:
            raise
        raise Unsupported(
            f'the kernel of this host has no links of type "{step.kind}": {reason_of(err)}',
            f"install its module {_MODULES.get(step.kind, step.kind)}, mostly of a package such as linux-modules-extra "
            "or kernel-modules-extra; bridge and ptp need none",
            network_type=step.kind,
        ) from err


def _no_link(name: str, place: str) -> NotFound:
    return NotFound(f'the {place} has no interface "{name}"', "ip link shows those that there are", link=name)


def _make_tap(step: MakeTap, wires: LinkSockets) -> None:
    flags = _IFF_TAP | _IFF_NO_PI | (_IFF_MULTI_QUEUE if step.multi_queue else 0)
    with entered(wires.netns_fd):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(step.link.encode(), flags))
            for request, number in ((_TUNSETOWNER, step.owner), (_TUNSETGROUP, step.group)):
                if number >= 0:
                    fcntl.ioctl(fd, request, number)
            fcntl.ioctl(fd, _TUNSETPERSIST, 1)
        finally:
            os.close(fd)
    wires.pod.send([tune_link(wires.pod.index(step.link), TuneLink(step.link, step.mac, step.mtu))])


def _move_link(step: MoveLink, wires: LinkSockets) -> None:
    link = _device(step, wires.host)
    alias = f"{_LENT}{step.owner} {link.name} {link.alias}"[:_LONGEST_ALIAS]
    wires.host.send([move_link(link.index, step.link, alias, wires.netns_fd)])
    if step.mtu:
        wires.pod.send([tune_link(wires.pod.index(step.link), TuneLink(step.link, mtu=step.mtu))])


def _device(step: MoveLink, host: RouteSocket) -> Link:
    """The interface that a configuration means. Raises NotFound."""
    found = None
    if step.by == "hwaddr":
        wanted = mac_of(step.name, "hwaddr")
        index = next((link_index(body) for body in host.ask(dump_links()) if mac_of_link(body) == wanted), 0)
        found = next((link for link in host.links() if link.index == index), None)
    else:
        name = step.name if step.by == "device" else _name_of_device(step)
        found = host.find(name) if name else None
    if found is None:
        raise _no_link(step.name, "host")
    if found.alias.startswith(_LENT):
        raise HostFailure(
            f'the interface "{found.name}" is one that a pod has had', "remove that pod with podctl gc"
        )
    return found


def _name_of_device(step: MoveLink) -> str:
    """The interface of a device, "" without one. Source: sysfs-bus-pci(5)."""
    by_bus = f"{_PCI}/{step.name}"
    device = by_bus if step.by == "pciBusID" else f"/sys{step.name.removeprefix('/sys')}"
    if ".." in device.split("/"):
        return ""
    return next(iter(sorted(entries_if_any(os.path.join(device, "net")))), "")


def _move_routes(step: MoveRoutes, pod: RouteSocket) -> None:
    index = pod.index(step.link)
    for family in _FAMILIES:
        routes = [
            body
            for body in pod.ask(dump_main_routes(family))
            if body[0] == family and is_movable(body, index)
        ]
        # A gateway must be on-link before a route by it.
        moves = [moved_route(body, step.table) for body in sorted(routes, key=has_gateway)]
        pod.send([added for added, _deleted in moves])
        of_family = [each for each in step.addresses if each.address.family == family]
        if not any(map(is_default, routes)):
            pod.send(
                [
                    new_route(index, Subnet(each.address.bits, 0, 0), each.gateway, {"table": step.table})
                    for each in of_family[:1]
                    if each.gateway
                ]
            )
        pod.send([new_rule(each.address, step.table) for each in of_family])
        pod.send([deleted for _added, deleted in moves])
