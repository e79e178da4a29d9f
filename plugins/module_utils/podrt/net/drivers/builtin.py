# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that are built in: their addresses come from leases of the host, and their steps go over netlink."""

from __future__ import annotations

from ...contexts import nullcontext
from ..conntrack import forget_addresses
from ..firewall import remove_rules
from ..hostlock import bridge_lock, openings_lock
from ..links import apply_step, leave_bridge, remove_links
from ..plan import bridge_of, plugin_steps, result_of
from ..plugin import static_addresses
from ..reservations import LeaseRequest, lease_dir, release, reserve
from ..result import NO_RESULT, NetResult, result_of_addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from ..dhcp import DhcpLease
    from ..linksockets import LinkSockets
    from ..member import NetMember
    from ..plugin import Plugin


class BuiltInDriver:
    """The driver of what is built in. wires: where its steps go, None for a pod that leaves.

    leases: receives those of DHCP, which are to be renewed.
    """

    def __init__(self, wires: LinkSockets | None = None, leases: list[DhcpLease] | None = None) -> None:
        self._wires = wires
        self._leases = [] if leases is None else leases

    def address(self, member: NetMember) -> NetResult:
        """Lease addresses, or take those that the configuration fixes. Raises Conflict, InvalidSpec, OSError."""
        ipam, pod = member.conf.main.ipam, member.pod
        if member.conf.main.asks_network:
            return NO_RESULT
        if ipam.type != "host-local":
            return result_of_addresses(static_addresses(member.conf.main, member.place.args), ipam.routes)
        kept = tuple(address for name, address in pod.kept if name == member.conf.name)
        request = LeaseRequest(pod.uuid, member.place.if_name, member.conf.name, member.place.args.ips, kept)
        directory, others = lease_dir(pod.paths, member.conf), pod.neighbours
        lease = reserve(directory, ipam.range_sets, request, others.is_live, others.shown)
        for dead in lease.reclaimed:
            remove_rules(pod.paths, dead)
            remove_links(dead)
        if lease.reclaimed:
            forget_addresses({found.address for found in lease.addresses})
        return result_of_addresses(lease.addresses, ipam.routes)

    def add(self, member: NetMember, plugin: Plugin, before: NetResult) -> NetResult:
        """Do its steps. Raises PodError, OSError."""
        if self._wires is None:
            raise ValueError("a driver without sockets adds nothing")
        bridge = bridge_of(member.conf) if plugin.makes_link else ""
        steps = plugin_steps(member.conf, plugin, member.place)
        with self._lock(member, plugin, bridge):
            for step in steps:
                apply_step(step, self._wires)
        if not plugin.asks_network:
            return result_of(plugin, member.place, member.pod.netns, before)
        place = member.place.replace(given=self._asked(member, plugin, self._wires))
        for step in plugin_steps(member.conf, plugin, place):
            if step not in steps:
                apply_step(step, self._wires)
        return result_of(plugin, place, member.pod.netns, before)

    @staticmethod
    def _lock(
        member: NetMember, plugin: Plugin, bridge: str
    ) -> AbstractContextManager[tuple[int, ...] | None]:
        """What is to be held while it is added."""
        if plugin.firewall_zone:
            return openings_lock(member.pod.paths)
        return bridge_lock(member.pod.paths, bridge) if bridge else nullcontext()

    def _asked(self, member: NetMember, plugin: Plugin, wires: LinkSockets) -> NetResult:
        """What a server on the network of an interface gives it, by CNI's own daemon where that is to be asked."""
        if plugin.ipam_program:
            from .external import ProgramDriver

            given = ProgramDriver().address(member)
            known = [route.dst for route in given.routes]  # CNI's program adds none of the configuration
            more = (route for route in plugin.ipam.routes if route.dst not in known)
            return given.replace(routes=(*given.routes, *more))
        from ..dhcp import acquire, given_by  # few networks have such servers

        name, conf = member.place.if_name, member.conf
        lease = acquire(
            wires.netns_fd, name, wires.pod.mac(name), f"{member.pod.uuid}/{conf.name}", conf.name
        )
        self._leases.append(lease)
        return given_by(lease, plugin.ipam.routes)

    def remove(self, member: NetMember, plugin: Plugin, result: NetResult) -> None:
        """Remove its bridge, if no pod is left there, and give the addresses back. The links of a pod go all at once.

        Raises PodError, OSError.
        """
        zone = plugin.firewall_zone
        if zone:
            from ..openings import shut_out

            with openings_lock(member.pod.paths):
                shut_out(member.pod.uuid, [each.address for each in result.ips], zone)
        if not plugin.makes_link:
            return
        if plugin.type == "host-device":
            from ..rarelinks import return_devices

            return_devices(member.pod.uuid, member.pod.netns, getattr(plugin.own, "known_name", ""))
        bridge = bridge_of(member.conf)
        if bridge:
            leave_bridge(member.pod.paths, bridge)
        if plugin.ipam.type == "host-local" and not plugin.ipam_program:
            release(lease_dir(member.pod.paths, member.conf), member.pod.uuid)
