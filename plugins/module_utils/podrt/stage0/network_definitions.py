# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for the definitions of networks: one is as described, or the host does not define it.

Only files of the local configuration directory are written, and of these only those that a task has made. What pods
have joined stays as it was until they are started again.
"""

from __future__ import annotations

import os

from ..contexts import suppress
from ..errors import Conflict, HostFailure, InvalidSpec, NotFound, PodError
from ..fields import parse_json
from ..host.files import OPEN_DIR, make_dirs, sync_dir, write_atomically
from ..net.conf import ChosenNet
from ..net.kinds import FLANNEL, LINK_TYPES
from ..net.plan import bridge_of, gateway_holder
from ..net.programs import find_program, find_programs
from ..value import Value
from . import network_fit
from .change import Change, Difference
from .network_files import check_place, defining, local_files, network_files, others
from .network_kinds import may_choose_subnets
from .network_spec import check_conf, conf_of
from .network_users import (
    as_asked_for,
    as_joined,
    network_users,
    outdated_users,
    stopped_users,
    unfit_users,
    users_of,
)
from .networks import difference_of, members_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from ..host.host import Host
    from ..net.addresses import Address, Subnet
    from ..net.conf import NetConf
    from .change import Plan
    from .network_files import NetworkFile, check_place
    from .network_fit import TakenSubnet
    from .network_kinds import NetworkSpec
    from .network_users import NetworkUser

_CONF_MODE = 0o644
_LOCK = "net-definitions"


class Defined(Value):
    """What a plan has come to. conf: what defines the network now, None for nothing. warnings: for the user.

    affected: the pods that run on another definition of it, or did so before the plan moved them.
    """

    conf: NetConf | None
    affected: tuple[NetworkUser, ...] = ()
    warnings: tuple[str, ...] = ()


class WriteNetwork(Change):
    """Write the definition of a network. raw: the file. before: what was there, b"" for nothing.

    stale: other files of tasks that define it, which go.
    """

    spec: NetworkSpec
    path: str
    raw: bytes
    before: bytes
    stale: tuple[str, ...] = ()

    def with_impact(self, impact: str) -> WriteNetwork:
        """The same change with its effect on running pods."""
        return self.replace(differences=tuple(each.replace(impact=impact) for each in self.differences))

    def foresee(self, host: Host) -> None:
        """Raise Conflict where it would take what others have, NotFound for a plugin that is missing, HostFailure."""
        check_place(host.paths)
        conf = check_conf(self.raw, os.path.basename(self.path), self.spec)
        _check_joinable(host, self.spec, conf)
        _check_room(host, self.spec, conf)

    def apply(self, host: Host) -> None:
        """Write it, synced, so that a crash leaves the old or the new one."""
        with _at_work(host):
            self.foresee(host)
            _check_unchanged(host, self.path, self.before)
            try:
                make_dirs(os.path.dirname(self.path), OPEN_DIR)
                write_atomically(self.path, self.raw, _CONF_MODE)
                _unlink(self.stale)
            except OSError as err:
                raise HostFailure.of(
                    f'cannot write the definition of network "{self.spec.name}"', err
                ) from err
            conf = check_conf(self.raw, os.path.basename(self.path), self.spec)
            if self.before and bridge_of(conf):
                from ..net.gateways import widen_gateways

                new = network_fit.gateways_of(conf)
                widen_gateways(host.paths, bridge_of(conf), gateway_holder(conf), new)


class RemoveNetwork(Change):
    """Remove the files that define a network. last: whether nothing else defines it then."""

    name: str
    paths: tuple[str, ...]
    last: bool

    def foresee(self, host: Host) -> None:
        """Raise Conflict if a pod uses it that could not join it again."""
        if self.last:
            _check_unused(host, self.name)

    def apply(self, host: Host) -> None:
        """Raise Conflict if a pod uses it by now."""
        with _at_work(host):
            self.foresee(host)
            try:
                _unlink(self.paths)
            except OSError as err:
                raise HostFailure.of(f'cannot remove the definition of network "{self.name}"', err) from err


class DropGateways(Change):
    """Take the gateways that a network had before from its bridge, so that pods can join it with the new ones.

    holder: the bridge, or the interface of a VLAN of it.
    """

    bridge: str
    holder: str
    old: tuple[tuple[Address, int], ...]

    def apply(self, host: Host) -> None:
        """Raises HostFailure, Conflict."""
        from ..net.gateways import drop_gateways

        drop_gateways(host.paths, self.bridge, self.holder, self.old)


class RejoinNetwork(Change):
    """Start a running pod again, so that it joins its networks as they are defined now."""

    name: str
    uuid: str

    def apply(self, host: Host) -> None:
        """As a restart by pod_run, under the lock of the name."""
        from ..pod import lookup
        from .pod_changes import RestartPod

        with lookup.lock_name(host.paths, self.name) as lock:
            RestartPod(self.subject, self.differences, self.name, self.uuid, None, moves=True).apply(host)
            lock.remove()


def ensure_network(host: Host, spec: NetworkSpec, *, restart: bool = False) -> Plan[Defined]:
    """Plan: the network is defined as described. restart: also that the pods of it which run have joined that one.

    Raises InvalidSpec, and Conflict where a file that no task has made defines it otherwise.
    """
    _check_type(host, spec)
    files, users = network_files(host.paths), _users(host, spec.name)
    own = local_files(host.paths, files, spec.name)
    present = own[0] if own else defining(files).get(spec.name)
    subnets = _choose_subnets(host, spec, files, present)
    conf = _same(present, spec, subnets) if present and not present.made else None
    change = None
    if conf is None:
        if own and not own[0].made:
            raise _not_ours(
                spec.name, own[0], "change that file, or remove it and have this task write its own"
            )
        change = _written(host, spec, subnets, own)
        conf = check_conf(change.raw, os.path.basename(change.path), spec)
    joined = as_joined(host, conf)
    outdated = outdated_users(users, joined)
    unfit = _check_fit(outdated, joined, restart=restart, where="subnets")
    if change and change.differences:
        yield change.with_impact("restart" if outdated else "none")
    settled = yield from _settled(conf, joined, outdated, restart=restart)
    unread = _unread(host, spec, conf_of(spec, subnets))
    return settled.replace(warnings=(*unread, *unfit, *_missing_links(host, conf), *settled.warnings))


def _unread(host: Host, spec: NetworkSpec, raw: bytes) -> tuple[str, ...]:
    """A sentence for each member of a definition that nothing reads; none where its programs are not known."""
    if spec.more == "{}" and not spec.plugins:
        return ()
    from .network_members import unread_members

    conf = check_conf(raw, "-.conflist" if spec.plugins else "-.conf", spec)
    try:
        conf = find_programs((ChosenNet(conf),), host.paths).resolve(conf)
    except (PodError, OSError):
        return ()
    return tuple(
        f'nothing reads {option} of network "{spec.name}", so it has no effect'
        for option in unread_members(spec, raw, conf)
    )


def _missing_links(host: Host, conf: NetConf) -> tuple[str, ...]:
    """A sentence for each thing of the host that pods of a network need and that is not there now."""
    from ..net.facts import host_facts

    if as_joined(host, conf) is None:
        return (
            f'flannel has no subnet for this host now: pods cannot join network "{conf.name}" until it has',
        )
    wanted = [name for plugin in conf.plugins for name in plugin.needed_links]
    there = dict(host.ask(host_facts).links) if wanted else {}
    said = f'now: pods cannot join network "{conf.name}" until it is there'
    return tuple(f'the host has no interface "{name}" {said}' for name in wanted if name not in there)


def ensure_no_network(host: Host, name: str, *, restart: bool = False) -> Plan[Defined]:
    """Plan: no file of this host defines the network.

    Raises Conflict where a pod uses it that could not join it again, or where a file that no task has made defines it.
    """
    files = network_files(host.paths)
    own = local_files(host.paths, files, name)
    foreign = [file for file in own if not file.made]
    if foreign:
        raise _not_ours(name, foreign[0], "remove the file yourself")
    left = defining([file for file in files if file not in own]).get(name)
    joined = as_joined(host, left.conf) if left and left.conf else None
    outdated = outdated_users(_users(host, name), joined)
    unfit = _check_fit(outdated, joined, restart=restart, where="name")
    if not own:
        check_place(host.paths, name)
    else:
        origin, impact = _origin(left) if left else None, "restart" if outdated else "none"
        difference = Difference(f"networks.{name}", "present", origin, impact=impact)
        paths = tuple(file.path for file in own)
        yield RemoveNetwork(f'network "{name}"', (difference,), name, paths, left is None)
    if left is None or left.conf is None:
        stopped = ", ".join(stopped_users(host, name)) if own else ""
        said = f'pod {stopped}, which has ended, asks for network "{name}" and cannot be started without it'
        return Defined(None, warnings=(said,) if stopped else ())
    settled = yield from _settled(left.conf, joined, outdated, restart=restart)
    said = f'network "{name}" is still defined: {_origin(left)}'
    return settled.replace(warnings=(said, *unfit, *settled.warnings))


def _settled(
    conf: NetConf, joined: NetConf | None, outdated: tuple[NetworkUser, ...], *, restart: bool
) -> Plan[Defined]:
    """Plan what becomes of the pods that run on another definition of a network. joined: see as_joined."""
    if restart and joined:
        yield from _rejoin(joined, outdated)
    return Defined(conf, outdated, _left_alone(outdated) if restart else ())


def _written(
    host: Host, spec: NetworkSpec, subnets: Sequence[Subnet], own: Sequence[NetworkFile]
) -> WriteNetwork:
    """The change that writes a definition, in the place of what a task has made; without differences if it is there."""
    chain = bool(spec.plugins)
    fitting = [file for file in own if file.made and file.is_chain == chain]
    path = (
        fitting[0].path if fitting else (host.paths.network_list if chain else host.paths.network)(spec.name)
    )
    raw = conf_of(spec, subnets)
    stale = tuple(file.path for file in own if file.made and file.path != path)
    differences = _differences(spec.name, own[0] if own else None, raw)
    if stale and not differences:
        differences = (Difference(f"networks.{spec.name}", ", ".join(stale), None, "drift"),)
    before = fitting[0].raw if fitting else b""
    return WriteNetwork(f'network "{spec.name}"', differences, spec, path, raw, before, stale)


def _check_type(host: Host, spec: NetworkSpec) -> None:
    places = (*host.paths.plugin_dirs, *host.paths.cni_dirs)
    if spec.type in (*LINK_TYPES, FLANNEL) or ("/" not in spec.type and find_program(spec.type, places)):
        return
    raise InvalidSpec(
        f'unknown type "{spec.type}"',
        f"built in are {', '.join((*LINK_TYPES, FLANNEL))}; programs of others are looked for in {', '.join(places)}",
        where="type",
    )


def _check_joinable(host: Host, spec: NetworkSpec, conf: NetConf) -> None:
    """Raise what would keep every pod from joining a network: a plugin that is missing, or in a wrong place."""
    from ..net.network_plan import network_plan

    joined = as_joined(host, conf)
    if joined is None:
        return  # what flannel has got is not known yet
    chosen = (as_asked_for(joined),)
    option = "plugins" if spec.plugins else "conf"
    try:
        network_plan(chosen, (), find_programs(chosen, host.paths))
    except InvalidSpec as err:
        raise err.at(option) from err
    except NotFound as err:
        err.facts["where"] = option
        raise
    except OSError as err:
        raise HostFailure.of("cannot look for the programs of network plugins", err) from err


def _choose_subnets(
    host: Host, spec: NetworkSpec, files: Sequence[NetworkFile], present: NetworkFile | None
) -> tuple[Subnet, ...]:
    """One subnet for each that is asked for; one to be chosen is that of the present definition, if it has one."""
    known = network_fit.subnets_of(present.conf) if present and present.conf else ()
    asked = [each.subnet for each in spec.subnets if each.subnet]
    spare = [subnet for subnet in known if not any(subnet.overlaps(other) for other in asked)]
    taken: list[TakenSubnet] | None = None
    chosen = []
    for each in spec.subnets:
        subnet = each.subnet or next((one for one in spare if one.bits == each.bits), None)
        if subnet is None:
            from .compare import fingerprint_key

            if taken is None:
                networks = others(host.paths, files, spec.name)
                taken = [*_taken(host, spec, networks), *(network_fit.TakenSubnet(one, "") for one in asked)]
            subnet = network_fit.free_subnet(each.bits, spec.name, taken, fingerprint_key(host.paths))
            taken.append(network_fit.TakenSubnet(subnet, ""))
        elif subnet in spare:
            spare.remove(subnet)
        chosen.append(subnet)
    return tuple(chosen)


def _taken(host: Host, spec: NetworkSpec, networks: Sequence[NetConf]) -> tuple[TakenSubnet, ...]:
    """The subnets that others have on this host, and these networks."""
    from ..net.facts import host_facts, host_routes

    users = users_of(network_users(host), spec.name)
    own = [spec.link, spec.master, *(user.host_if for user in users)]
    own += [link for user in users if user.conf for link in (bridge_of(user.conf), gateway_holder(user.conf))]
    return network_fit.taken_on(
        host.ask(host_facts), host.ask(host_routes), networks, tuple(filter(None, own))
    )


def _check_room(host: Host, spec: NetworkSpec, conf: NetConf) -> None:
    """Raise Conflict where a network would take subnets or a bridge that others have on this host."""
    from ..net.facts import host_facts

    networks = others(host.paths, network_files(host.paths), spec.name)
    apart = [other for other in networks if not network_fit.are_parts_of_a_lan(conf, other)]
    taken, hint = _taken(host, spec, apart), _hint_on_subnets(spec.type)
    for each, subnet in zip(spec.subnets, network_fit.subnets_of(conf)):
        network_fit.check_free(subnet, taken, spec.name, each.where, hint)
    if spec.link:
        network_fit.check_bridge(conf, networks, host.ask(host_facts))


def _hint_on_subnets(kind: str) -> str:
    if may_choose_subnets(kind):
        return "choose another one, or have one chosen with auto or auto6"
    return "choose another one; networks of one LAN have the same type and master, and ranges apart from each other"


def _same(present: NetworkFile, spec: NetworkSpec, subnets: Sequence[Subnet]) -> NetConf | None:
    """The network of a file that no task has made, if it means what is described."""
    chain = present.is_chain
    if present.conf is None or present.problem or (spec.plugins and not chain):
        return None
    raw = conf_of(spec, subnets, marked=False, chain=chain)
    wanted = check_conf(raw, os.path.basename(present.path) or present.conf.file_name, spec)
    same = present.conf.meaning == wanted.meaning.replace(cni_version=present.conf.cni_version)
    return present.conf if same else None


def _not_ours(name: str, file: NetworkFile, cure: str) -> Conflict:
    what = f" ({file.problem})" if file.problem else ""
    return Conflict(
        f'network "{name}" is defined by {file.path}{what}, which no task has made',
        cure,
        where="name",
        path=file.path,
    )


def _document(file: NetworkFile) -> dict[str, str]:
    """The members of a file by their paths; none of one that cannot be read."""
    try:
        parse_json(file.raw, file.path)
        return members_of(file.raw)
    except InvalidSpec:
        return {}


def _differences(name: str, present: NetworkFile | None, raw: bytes) -> tuple[Difference, ...]:
    path, after = f"networks.{name}", members_of(raw)
    before = _document(present) if present else {}
    found = []
    if present is None:
        found.append(Difference(path, None, "present"))
    elif present.problem:
        found.append(Difference(path, f"unusable: {present.problem}", "as described", "drift"))
    found += [
        Difference(f"{path}.{member}", before.get(member), after.get(member))
        for member in sorted(before.keys() | after.keys())
        if before.get(member) != after.get(member)
    ]
    return tuple(found)


def _users(host: Host, name: str) -> tuple[NetworkUser, ...]:
    return tuple(user for user in network_users(host) if user.network == name)


def _rejoin(conf: NetConf, users: Sequence[NetworkUser]) -> Iterator[Change]:
    movable = [user for user in users if user.is_movable]
    if not movable:
        return
    bridge = bridge_of(conf)
    same = [user.conf for user in users if user.conf and bridge_of(user.conf) == bridge]
    kept = {(gateway_holder(conf), gateway) for gateway in network_fit.gateways_of(conf)}
    held = dict.fromkeys(
        (gateway_holder(old), gateway) for old in same for gateway in network_fit.gateways_of(old)
    )
    outdated = [each for each in held if each not in kept]
    for holder in dict.fromkeys(holder for holder, _gateway in outdated):
        old = tuple(gateway for other, gateway in outdated if other == holder)
        yield DropGateways(f"bridge {holder}", (), bridge, holder, old)
    for user in dict.fromkeys(movable):
        path = f"pods.{user.name}.networks.{conf.name}"
        difference = difference_of(path, user.conf or conf, conf)
        yield RejoinNetwork(f'pod "{user.name}"', (difference,), user.name, user.uuid)


def _check_fit(
    users: Sequence[NetworkUser], conf: NetConf | None, *, restart: bool, where: str
) -> tuple[str, ...]:
    """A sentence for each pod that could not join the network; raises Conflict if it is to be restarted there."""
    unfit = tuple(unfit_users(users, conf)) if conf else ()
    if unfit and restart:
        raise Conflict(unfit[0], "describe that pod otherwise first, or remove it", where=where)
    return unfit


def _left_alone(users: Iterable[NetworkUser]) -> tuple[str, ...]:
    return tuple(
        f"pod {user.shown} is not restarted: "
        + ("it has no name" if not user.name else "it is of another data directory")
        for user in users
        if not user.is_movable
    )


def _check_unused(host: Host, name: str) -> None:
    users = users_of(network_users(host), name)
    unread = [user.shown for user in users if not user.network]
    if unread:
        raise Conflict(
            f'network "{name}" may be in use: what pod {", ".join(unread)} has joined cannot be read',
            "stop the pod first",
            where="name",
        )
    if users:
        names = ", ".join(dict.fromkeys(user.shown for user in users))
        raise Conflict(f'network "{name}" is in use by pod {names}', "remove the pod first", where="name")


def _unlink(paths: Iterable[str]) -> None:
    """Remove files, synced, as far as they are there. Raises OSError."""
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)
            sync_dir(os.path.dirname(path))


def _check_unchanged(host: Host, path: str, before: bytes) -> None:
    now = next((file.raw for file in network_files(host.paths) if file.path == path), b"")
    if now != before:
        raise Conflict(
            f"{path} has been changed meanwhile",
            "another process has changed it: run the task again",
            path=path,
        )


def _origin(file: NetworkFile) -> str:
    return file.path or "built in"


def _at_work(host: Host) -> AbstractContextManager[tuple[int, ...]]:
    """The lock of a process that changes definitions of the host. Raises Conflict, OSError."""
    from ..net.hostlock import host_lock

    return host_lock(host.paths, _LOCK)
