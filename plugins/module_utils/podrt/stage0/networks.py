# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a pod: whether it can join them on this host, and whether they have changed since it did."""

from __future__ import annotations

from ..contexts import suppress
from ..errors import Conflict, Corrupt, HostFailure, InvalidSpec, NotFound, PodError, Unreachable
from ..fields import parse_json
from ..net.conf import choose, load_confs
from ..net.info import read_copy, read_net_info
from ..net.kinds import FIREWALL, FLANNEL
from ..net.rules import MASQUERADED
from .change import Difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.pod import PodManifest
    from ..host.dirs import PodDir
    from ..host.host import Host
    from ..net.conf import ChosenNet, NetConf
    from ..net.network_plan import NetworkPlan
    from ..pod.runspec import RunSpec

_OPTION = "networks"
_UNREADABLE = "cannot read the network configurations"


def check_networks(
    host: Host, manifest: PodManifest, runspec: RunSpec, replaced: str = ""
) -> tuple[int, ...]:
    """Raise InvalidSpec, NotFound or Conflict, with the option's place, if a pod cannot join its networks.

    replaced: the UUID of a pod that will have released its addresses by then. Returns the families over which it
    publishes ports, as the bits of their addresses.
    """
    plan = plan_of_networks(host, manifest, runspec)
    if plan is None:
        return ()
    _cautions(host, plan)
    _check_leases(host, plan, replaced)
    return plan.families


def _cautions(host: Host, plan: NetworkPlan) -> tuple[str, ...]:
    from ..net.facts import host_facts
    from ..net.network_plan import compare_with_host
    from ..net.reach import unreached_here

    facts = host.ask(host_facts)
    return (*compare_with_host(plan, facts), *unreached_here(plan, facts))


def warnings_of_networks(host: Host, manifest: PodManifest, runspec: RunSpec) -> tuple[str, ...]:
    """Warnings about a pod's networks, name servers and registration on this host; none about networks that it cannot
    join.
    """
    try:
        plan = plan_of_networks(host, manifest, runspec)
    except PodError:
        plan = None
    return (
        *(warnings_of_plan(host, plan) if plan else ()),
        *_server_warnings(host, runspec),
        *_service_warnings(host, runspec),
        *unjoined_warnings(runspec),
    )


def warnings_of_plan(host: Host, plan: NetworkPlan) -> tuple[str, ...]:
    """Warnings about the networks that a pod is to join; about its ports alone where it cannot join them."""
    try:
        return (*_cautions(host, plan), *_drop_warnings(host, plan))
    except PodError:
        from ..net.reach import unreached

        return unreached(plan)


def _drop_warnings(host: Host, plan: NetworkPlan) -> tuple[str, ...]:
    """Firewalls of others that may cut the pod off, where its networks do not ask for ways through."""
    confs = [attachment.conf for attachment in plan.attachments]
    shut = [
        conf
        for conf in confs
        if conf.main.type in MASQUERADED and all(plugin.type != FIREWALL for plugin in conf.plugins)
    ]
    if not shut:
        return ()
    from ..net.foreign import foreign_drops
    from .network_fit import subnets_of

    return host.ask(foreign_drops, [subnet for conf in shut for subnet in subnets_of(conf)])


def _service_warnings(host: Host, runspec: RunSpec) -> tuple[str, ...]:
    """Where the service is missing; a task before this one may be to start it."""
    if not runspec.mds_register:
        return ()
    from ..mds.register import check_reachable

    try:
        check_reachable(host.paths)
    except Unreachable as err:
        return (f"{err.message}: the pod starts only if it does then",)
    return ()


def unjoined_warnings(runspec: RunSpec) -> tuple[str, ...]:
    """A warning about networks that are named beside host or none. Source: behaviours E2."""
    special = "host" if runspec.host_network else "none" if runspec.no_network else ""
    others = ", ".join(request.name for request in runspec.networks if request.name != special)
    if not special or not others:
        return ()
    return (f'the pod does not join {others}, since its networks have "{special}" as well',)


def _server_warnings(host: Host, runspec: RunSpec) -> tuple[str, ...]:
    if not runspec.follows_servers:
        return ()
    from ..net.servers import server_warning

    warning = host.ask(server_warning, shares_network=runspec.host_network)
    return (warning,) if warning else ()


def _check_leases(host: Host, plan: NetworkPlan, replaced: str) -> None:
    """Raise Conflict where a requested address is leased to a live pod, or where no address is free."""
    from ..net.reservations import LeaseRequest, foresee, lease_dir
    from ..pod import holders

    def is_live(uuid: str) -> bool:
        return uuid != replaced and holders.is_live(host.paths, uuid)

    def shown(holder: str) -> str:
        return holders.shown(host.paths, holder)

    for attachment in plan.attachments:
        conf = attachment.conf
        if attachment.is_sure and conf.main.ipam.type == "host-local":
            request = LeaseRequest("", "", conf.name, attachment.args.ips)
            try:
                foresee(lease_dir(host.paths, conf), conf.main.ipam.range_sets, request, is_live, shown)
            except Conflict as err:
                err.facts["where"] = attachment.chosen.where
                raise


def network_differences(host: Host, pod: PodDir, runspec: RunSpec) -> tuple[Difference, ...]:
    """The changes in the configuration of the networks that a running pod has joined.

    The configuration is part of the description, so their reason is the playbook; a restart joins the networks as they
    are now. A network that is no longer configured is not a difference: the pod has it.
    """
    if runspec.host_network or runspec.no_network:
        return ()
    try:
        chosen = _chosen(host, runspec)
    except NotFound:
        return ()
    except OSError as err:
        raise HostFailure.of(_UNREADABLE, err) from err
    joined = tuple(joined_networks(pod))
    if not joined:
        return ()  # it has not joined them yet
    before, after = [conf.name for conf in joined], [net.conf.name for net in chosen]
    if before != after:
        return (Difference(_OPTION, ", ".join(before), ", ".join(after), "playbook", "restart"),)
    return tuple(
        _difference(old, net)
        for old, net in zip(joined, chosen)
        if old is not net.conf and old.meaning != net.conf.meaning
    )


def plan_of_networks(host: Host, manifest: PodManifest, runspec: RunSpec) -> NetworkPlan | None:
    """How a pod would join its networks, None for one without any. Raises InvalidSpec, NotFound, HostFailure."""
    if runspec.host_network or runspec.no_network:
        return None
    from ..net.network_plan import network_plan
    from ..net.programs import find_programs
    from ..net.rules import forwards_of

    try:
        chosen = _chosen(host, runspec)
        programs = find_programs(chosen, host.paths)
    except OSError as err:
        raise HostFailure.of(_UNREADABLE, err) from err
    return network_plan(chosen, forwards_of(manifest, supposed=True), programs, manifest.network_limit)


def _chosen(host: Host, runspec: RunSpec) -> tuple[ChosenNet, ...]:
    """The networks that a pod asks for. Raises InvalidSpec, NotFound, HostFailure, OSError."""
    confs = load_confs(host.paths.config_dirs)
    chosen = choose(confs, tuple((request.name, request.args) for request in runspec.networks), _OPTION)
    if all(net.conf.type != FLANNEL for net in chosen):
        return chosen
    from ..net.programs import find_delegates  # for few pods

    return find_delegates(chosen, host.paths)


def joined_networks(pod: PodDir) -> Iterator[NetConf]:
    """The configurations with which the pod joined its networks, in order."""
    for info in read_net_info(pod.net_info):
        with suppress(InvalidSpec, Corrupt, FileNotFoundError):
            yield read_copy(pod.net_confs, info)


def _difference(old: NetConf, net: ChosenNet) -> Difference:
    return difference_of(net.where, old, net.conf)


def difference_of(path: str, old: NetConf, new: NetConf) -> Difference:
    """The change of a network that a pod has joined, its members in one line. path: that of the difference."""
    before, after = members_of(old.raw.encode()), members_of(new.raw.encode())
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return Difference(path, _shown(before, names), _shown(after, names), "playbook", "restart")


def _shown(members: dict[str, str], names: list[str]) -> str | None:
    return ", ".join(f"{name}={members[name]}" for name in names if name in members) or None


def members_of(raw: bytes) -> dict[str, str]:
    """The leaves of a configuration by their paths. Raises InvalidSpec."""
    leaves: dict[str, str] = {}

    def add(value: object, path: str) -> None:
        if isinstance(value, dict):
            for name, content in value.items():
                add(content, f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            for index, content in enumerate(value):
                add(content, f"{path}[{index}]")
        else:
            leaves[path] = value if isinstance(value, str) else repr(value)

    add(parse_json(raw, "a network configuration"), "")
    return leaves
