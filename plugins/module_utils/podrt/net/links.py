# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does the steps of a plan over netlink; finds and removes what they left on the host."""

from __future__ import annotations

import _socket
import contextlib

from ..errors import HostFailure
from ..host.reading import kernel_text_or
from ..value import Value
from .addresses import Address, Subnet
from .plan import has_address, host_if_prefix, not_a_bridge
from .rtmsg import (
    IFA_ADDRESS,
    IFA_LOCAL,
    IFADDR_BYTES,
    VethEnds,
    address_index,
    address_prefix,
    attributes,
    del_link,
    dump_addresses,
    dump_routes,
    new_address,
    new_bridge,
    new_route,
    new_veth,
    route_of,
    set_alias,
    set_hairpin,
    set_up,
)
from .rtsocket import RouteSocket, open_in
from .steps import HOST_SIDE, AddAddress, AddRoute, EnsureBridge, EnsureBridgeAddress, MakeVeth, SetSysctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .steps import Step

# How a bridge is known to be ours to remove.
_OUR_BRIDGE = "made by stagecraft.pods"
_ENODEV = 19
_EEXIST = 17


class Wires(Value):
    """Sockets into the host's and into a pod's network, and the pod's network namespace itself."""

    host: RouteSocket
    pod: RouteSocket
    netns_fd: int

    def on(self, side: str) -> RouteSocket:
        """The socket of HOST_SIDE or POD_SIDE."""
        return self.host if side == HOST_SIDE else self.pod


@contextlib.contextmanager
def open_wires(netns_fd: int) -> Iterator[Wires]:
    """Open both sockets. The process must have one thread only. Raises OSError."""
    with RouteSocket() as host, open_in(netns_fd) as pod:
        yield Wires(host, pod, netns_fd)


def apply_step(step: Step, wires: Wires) -> None:
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
        set_sysctl(step.key, step.value)
    elif isinstance(step, EnsureBridge):
        _ensure_bridge(step, wires.host)
    elif isinstance(step, EnsureBridgeAddress):
        _ensure_bridge_address(step, wires.host)


def loopback_up(pod: RouteSocket) -> None:
    """Bring lo up. Raises OSError."""
    pod.send([set_up(pod.index("lo"))])


def set_sysctl(key: str, value: str) -> None:
    """Set a switch of this network namespace unless it is set already. Raises HostFailure."""
    path = f"/proc/sys/{key}"
    if kernel_text_or(path, "") == value:
        return
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(value.encode())
    except OSError as err:
        raise HostFailure.of(f"cannot set {key.replace('/', '.')} to {value}", err) from err


def host_links_of(uuid: str) -> tuple[str, ...]:
    """The host's interfaces of a pod, found by their names."""
    prefix = host_if_prefix(uuid)
    return tuple(
        name
        for index, name in _socket.if_nameindex()
        if name.startswith(prefix) and len(name) == len(prefix) + 1
    )


def remove_links(uuid: str) -> None:
    """Remove the host's interfaces of a pod, and so those inside. Raises OSError.

    Costs some 30 ms for each that still exists; those of a dead network namespace are gone or go by themselves.
    """
    names = host_links_of(uuid)
    if not names:
        return
    with RouteSocket() as host:
        for name in names:
            try:
                host.send([del_link(name)])
            except OSError as err:
                if err.errno != _ENODEV:
                    raise


def remove_idle_bridge(name: str) -> None:
    """Remove a bridge that attach made and that has no port any more. The caller holds the bridge's lock."""
    with RouteSocket() as host:
        bridge = host.find(name)
        if bridge is None or bridge.alias != _OUR_BRIDGE:
            return
        if any(link.master == bridge.index for link in host.links()):
            return
        host.send([del_link(name)])


def _make_veth(step: MakeVeth, wires: Wires) -> None:
    master = wires.host.index(step.bridge) if step.bridge else 0
    ends = VethEnds(step.host_if, step.pod_if, step.macs, step.mtu, master)
    wires.host.send([new_veth(ends, wires.netns_fd)])
    wires.pod.send([set_up(wires.pod.index(step.pod_if))])
    if step.hairpin:
        wires.host.send([set_hairpin(wires.host.index(step.host_if))])


def _add_route(step: AddRoute, socket: RouteSocket) -> None:
    try:
        socket.send([new_route(socket.index(step.link), step.dst, step.gateway)])
    except OSError as err:
        # Of two networks that both are the way out, the first wins. Source: CNI pkg/ipam ConfigureIface.
        if err.errno != _EEXIST or step.side == HOST_SIDE:
            raise


def _ensure_bridge(step: EnsureBridge, host: RouteSocket) -> None:
    found = host.find(step.name)
    if found is None:
        # In one system call, so that a kill cannot leave a bridge that nobody knows to be ours.
        host.send([new_bridge(step.name, step.mac, step.mtu), set_alias(step.name, _OUR_BRIDGE)])
        return
    if found.kind != "bridge":
        raise not_a_bridge(step.name)
    host.send([set_up(found.index)])


def _ensure_bridge_address(step: EnsureBridgeAddress, host: RouteSocket) -> None:
    index = host.index(step.name)
    if has_address(step, (found[1:] for found in addresses_of(host) if found[0] == index)):
        return
    try:
        host.send([new_address(index, step.address, step.prefix)])
    except OSError as err:
        if err.errno != _EEXIST:
            raise


def routes_of(socket: RouteSocket) -> Iterator[tuple[int, Subnet]]:
    """Every route: the index of its interface, and where it leads. Raises OSError."""
    for body in socket.ask(dump_routes()):
        index, prefix, dst = route_of(body)
        yield index, Subnet.around(Address(len(dst) * 8, int.from_bytes(dst, "big")), prefix)


def addresses_of(socket: RouteSocket) -> Iterator[tuple[int, Address, int]]:
    """Every address: the index of its interface, itself, the length of its prefix. Raises OSError."""
    for body in socket.ask(dump_addresses()):
        found = dict(attributes(body[IFADDR_BYTES:]))
        packed = found.get(IFA_LOCAL, found.get(IFA_ADDRESS, b""))
        yield (
            address_index(body),
            Address(len(packed) * 8, int.from_bytes(packed, "big")),
            address_prefix(body),
        )
