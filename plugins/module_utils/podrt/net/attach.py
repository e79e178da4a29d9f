# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Join a pod to its networks, in order.

Everything that attach leaves on a host can be found by the pod's UUID alone, so detach works after a crash at any
point: leases hold it, the host's interfaces are named after it, nftables elements have it as their comment, and what
programs are given has it as the container. Order: copies of the configurations, leases, net-info.json, each network by
its chain of plugins, nftables, lo; detach goes in reverse. Source: behaviours E.2, E29.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import HostFailure, PodError, Unsupported
from .conntrack import forget_ports
from .detach import detach
from .drivers.builtin import BuiltInDriver
from .firewall import add_rules
from .foreign import foreign_drops
from .info import NetInfo, write_net_info
from .kinds import FIREWALL
from .links import apply_step, await_connected, loopback_up
from .linksockets import open_link_sockets
from .localnet import open_loopback
from .member import NetMember
from .place import Place
from .ports import sockets_in_use
from .rates import Rate
from .record import copy_confs, info_of
from .result import NetResult
from .rtsocket import entered, open_in
from .rules import MASQUERADED, held_of, rules_of_record, target_of, targets_of
from .shaping import shape_of
from .switches import new_links_ignore_routers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .dhcp import DhcpLease
    from .drivers.driver import Driver
    from .member import JoiningPod
    from .network_plan import Attachment, NetworkPlan


def attach(
    pod: JoiningPod,
    netns_fd: int,
    plan: NetworkPlan,
    *,
    report: Callable[[str], None] | None = None,
    later: list[Callable[[], None]] | None = None,
    leases: list[DhcpLease] | None = None,
) -> tuple[NetInfo, ...]:
    """Join a pod to networks as eth0, eth1 and so on, publish its ports, and bring lo up.

    netns_fd: the pod's network namespace. report receives warnings. later receives work that the pod need not wait for;
    without it, that work is done at once. leases receives those of DHCP servers, to be renewed.
    On failure everything is undone. Raises PodError of any family; the process must be single-threaded.
    """
    sockets_in_use(plan.published_here, plan.families)
    try:
        copies = copy_confs(pod.conf_dir, [attachment.conf for attachment in plan.attachments])
        members = [_member(pod, attachment, plan) for attachment in plan.attachments]
        if plan.executes:
            _record(pod, plan, members, copies)  # by it, what a program has begun is undone
        members = [_addressed(member) for member in members]
        infos = _record(pod, plan, members, copies)
        with entered(netns_fd):
            new_links_ignore_routers(pod.sysctls)
        with open_link_sockets(netns_fd) as wires:
            built_in = BuiltInDriver(wires, leases)
            for at, member in enumerate(members):
                infos[at] = _joined(infos[at], _add(member, built_in))
                for step in shape_of(member.conf, member.place, infos[at].host_if, Rate.of_limit(plan.limit)):
                    apply_step(step, wires)
                if plan.executes or not plan.attachments[at].is_sure:
                    write_net_info(pod.info_path, infos)
            made = _publish(pod, infos, plan, later)
            loopback_up(wires.pod)
            for link in filter(None, (info.host_if for info in infos)):
                await_connected(link, wires.host)
        if made and report:
            _put_off(lambda: _report_drops(report, infos), later)
        return tuple(infos)
    except OSError as err:
        _undo(pod)
        raise HostFailure.of("networking: cannot set up the networks of the pod", err) from err
    except BaseException:
        _undo(pod)
        raise


def loopback_only(netns_fd: int) -> None:
    """Bring lo up in a pod that joins no network. Raises HostFailure."""
    try:
        with open_in(netns_fd) as pod:
            loopback_up(pod)
    except OSError as err:
        raise HostFailure.of("networking: cannot bring lo up in the pod", err) from err


def _member(pod: JoiningPod, attachment: Attachment, plan: NetworkPlan) -> NetMember:
    return NetMember(
        pod,
        attachment.conf,
        Place(pod.uuid, attachment.index, args=attachment.args),
        attachment.chosen.args_text,
        plan.runtime_of(attachment),
    )


def _addressed(member: NetMember) -> NetMember:
    """The same with addresses, if they are known before the interface is made. Raises PodError, OSError."""
    main = member.conf.main
    if main.program or main.asks_network:
        return member
    given = _driver(main.ipam_program, BuiltInDriver()).address(member)
    return member.replace(place=member.place.replace(given=given))


def _record(
    pod: JoiningPod, plan: NetworkPlan, members: Sequence[NetMember], copies: Sequence[str]
) -> list[NetInfo]:
    infos = [
        info_of(member, copy, plan.publisher(at), plan.limit)
        for at, (member, copy) in enumerate(zip(members, copies))
    ]
    if plan.published_here:
        infos[plan.target] = infos[plan.target].replace(forwards=held_of(plan.published_here))
    write_net_info(pod.info_path, infos)
    return infos


def _add(member: NetMember, built_in: BuiltInDriver) -> NetResult:
    """Add the pod to a network: by each plugin of its chain, which gets the result of those before it."""
    result = NetResult()
    for plugin in member.conf.plugins:
        try:
            result = _driver(plugin.program, built_in).add(member, plugin, result)
        except OSError as err:
            raise HostFailure.of(f'networking: error adding network "{member.conf.name}"', err) from err
        except (HostFailure, Unsupported) as err:
            err.message = f'networking: error adding network "{member.conf.name}": {err.message}'
            raise
        member = member.replace(place=member.place.replace(given=result))
    if not result.addresses and not member.conf.main.is_built_in:
        raise HostFailure(
            f'networking: error adding network "{member.conf.name}": its plugins give no address',
            "give the network an ipam section",
            network=member.conf.name,
        )
    return result


def _driver(program: str, built_in: BuiltInDriver) -> Driver:
    if not program:
        return built_in
    from .drivers.external import ProgramDriver  # most pods execute none

    return ProgramDriver()


def _joined(info: NetInfo, result: NetResult) -> NetInfo:
    """The record of a network that the pod has joined."""
    return info.replace(result=result, host_if=info.host_if or _outside(result))


def _outside(result: NetResult) -> str:
    """The interface of the host that a program has made for the pod, if it has: the one before that of the pod."""
    pairs = zip(result.interfaces, result.interfaces[1:])
    return next((one.name for one, other in pairs if other.sandbox and not one.sandbox), "")


def _publish(
    pod: JoiningPod,
    infos: Sequence[NetInfo],
    plan: NetworkPlan,
    later: list[Callable[[], None]] | None,
) -> bool:
    """Add the pod's rules; return whether the table had to be made."""
    forwards = plan.published_here
    rules = rules_of_record(pod.uuid, infos, forwards)
    made = add_rules(pod.paths, pod.uuid, rules, forwards, pod.neighbours, pod.tables)
    target = target_of(infos) if forwards else None
    targets = targets_of(infos)
    if target is None or not targets:
        return made
    if any(forward.on_loopback for forward in forwards) and target.result.first_v4 and target.gateway_link:
        open_loopback(pod.paths, target.gateway_link)
    _put_off(lambda: forget_ports(forwards, targets), later)
    return made


def _report_drops(report: Callable[[str], None], infos: Sequence[NetInfo]) -> None:
    routed = [
        info
        for info in infos
        if info.plugins[0] in MASQUERADED and FIREWALL not in map(os.path.basename, info.plugins)
    ]
    for sentence in foreign_drops([each.subnet for info in routed for each in info.result.addresses]):
        report(sentence)


def _put_off(work: Callable[[], None], later: list[Callable[[], None]] | None) -> None:
    if later is None:
        work()
    else:
        later.append(work)


def _undo(pod: JoiningPod) -> None:
    """Detach, suppressing errors: the one that led here is raised."""
    with suppress(PodError):
        detach(pod)
    with suppress(FileNotFoundError):
        os.unlink(pod.info_path)
