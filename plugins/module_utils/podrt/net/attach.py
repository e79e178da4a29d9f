# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Join a pod to its networks, in order, and take it out again.

Everything that attach leaves on a host can be found by the pod's UUID alone, so detach works after a crash at any
point: leases hold it, the host's interfaces are named after it, nftables elements have it as their comment.
Order of attach: copies of the configurations, leases, net-info.json, links, nftables, lo; detach goes in reverse.
Source: behaviours E.2, E29.
"""

from __future__ import annotations

import os

from ..contexts import contextmanager, nullcontext, suppress
from ..errors import Corrupt, HostFailure, InvalidSpec, PodError, Unsupported
from ..host.files import (
    PRIVATE_DIR,
    PRIVATE_FILE,
    entries,
    entries_if_any,
    make_dirs,
    remove_tree,
    write_new,
)
from ..host.reading import read_bytes
from ..value import Value
from .addresses import Address
from .conf import NetConf, load_confs
from .conntrack import forget_addresses, forget_ports
from .firewall import add_rules, foreign_drops, remove_rules
from .hostlock import bridge_lock
from .info import NetInfo, read_net_info, write_net_info
from .links import apply_step, loopback_up, open_link_sockets, our_bridges, remove_idle_bridge, remove_links
from .localnet import open_loopback
from .neighbours import ALONE, Neighbours
from .plan import Place, bridge_of, gateway_link, steps_of
from .ports import sockets_in_use
from .ranges import Assigned
from .reservations import LeaseRequest, lease_dir, leases_of, release, reserve
from .rtsocket import entered, open_in
from .rules import rules_of
from .switches import new_links_ignore_routers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..host.paths import Paths
    from .links import LinkSockets
    from .network_plan import Attachment, NetworkPlan


class JoiningPod(Value):
    """A pod that joins networks or leaves them. conf_dir, info_path: where its record is.

    neighbours: tells which pods are dead, so that their leases and ports can be taken over. sysctls: the names of those
    that the pod asked for.
    """

    paths: Paths
    uuid: str
    conf_dir: str
    info_path: str
    neighbours: Neighbours = ALONE
    sysctls: frozenset[str] = frozenset()


class _Membership(Value):
    """A network that the pod joins, and its place there."""

    attachment: Attachment
    place: Place

    @property
    def conf(self) -> NetConf:
        return self.attachment.conf

    def address(self) -> Assigned | None:
        """The first IPv4 address."""
        return next((assigned for assigned in self.place.addresses if assigned.is_v4), None)


def attach(
    pod: JoiningPod,
    netns_fd: int,
    plan: NetworkPlan,
    *,
    report: Callable[[str], None] | None = None,
    later: list[Callable[[], None]] | None = None,
) -> tuple[NetInfo, ...]:
    """Join a pod to networks as eth0, eth1 and so on, publish its ports, and bring lo up.

    netns_fd: the pod's network namespace. report receives warnings. later receives work that the pod need not wait for;
    without it, that work is done at once.
    On failure everything is undone. Raises PodError of any family; the process must be single-threaded.
    """
    sockets_in_use(plan.forwards)
    try:
        copies = _copy_confs(pod, plan)
        memberships = tuple(_membership(pod, attachment) for attachment in plan.attachments)
        infos = tuple(_info(membership, copy) for membership, copy in zip(memberships, copies))
        write_net_info(pod.info_path, infos)
        with entered(netns_fd):
            new_links_ignore_routers(pod.sysctls)
        with open_link_sockets(netns_fd) as wires:
            for membership in memberships:
                _link(pod, membership, wires)
            made = _publish(pod, memberships, infos, plan, later)
            loopback_up(wires.pod)
        if made and report:
            _put_off(lambda: _report_drops(report), later)
        return infos
    except OSError as err:
        _undo(pod)
        raise HostFailure.of("networking: cannot set up the networks of the pod", err) from err
    except BaseException:
        _undo(pod)
        raise


def detach(paths: Paths, uuid: str, conf_dir: str, info_path: str, *, links: bool = True) -> None:
    """Take a pod out of its networks: undo all that attach did or began, if anything, in reverse.

    Where the record is damaged, everything is searched for the UUID. info_path stays: it describes the networks until
    the pod's directory is removed. links: False removes only ports of bridges and leaves the other links to the kernel,
    which removes them some time after the pod's last process has ended. Everything is tried; then the first error is
    raised. Raises PodError.
    """
    pod = JoiningPod(paths, uuid, conf_dir, info_path)
    copies = _copies(pod)
    directories = _lease_dirs(pod, copies)
    failed: list[PodError] = []
    with _collected(failed), suppress(Unsupported):
        remove_rules(paths, uuid)
    with _collected(failed):
        forget_addresses(_addresses(pod, directories))
    with _collected(failed):
        remove_links(uuid, ports_only=not links)
    with _collected(failed):
        _remove_idle_bridges(paths, copies)
    for directory in directories:
        with _collected(failed):
            release(directory, uuid)
    if failed:
        raise failed[0]
    _forget_copies(conf_dir)


def loopback_only(netns_fd: int) -> None:
    """Bring lo up in a pod that joins no network. Raises HostFailure."""
    try:
        with open_in(netns_fd) as pod:
            loopback_up(pod)
    except OSError as err:
        raise HostFailure.of("networking: cannot bring lo up in the pod", err) from err


def _membership(pod: JoiningPod, attachment: Attachment) -> _Membership:
    conf = attachment.conf
    place = Place(pod.uuid, attachment.index)
    if conf.ipam.type != "host-local":
        return _Membership(attachment, place.replace(addresses=conf.ipam.static))
    request = LeaseRequest(pod.uuid, place.if_name, conf.name, attachment.wanted)
    lease = reserve(lease_dir(pod.paths, conf), conf.ipam.range_sets, request, pod.neighbours.is_live)
    for dead in lease.reclaimed:
        remove_rules(pod.paths, dead)
        remove_links(dead)
    if lease.reclaimed:
        forget_addresses({found.address for found in lease.addresses})
    return _Membership(attachment, place.replace(addresses=lease.addresses))


def _copy_confs(pod: JoiningPod, plan: NetworkPlan) -> tuple[str, ...]:
    """Copy the configurations, under the names of their files where these differ."""
    remove_tree(pod.conf_dir)  # through a link, the copies would be made elsewhere
    make_dirs(pod.conf_dir)
    copies: list[str] = []
    for attachment in plan.attachments:
        conf = attachment.conf
        copy = f"{pod.conf_dir}/{conf.file_name}"
        if copy in copies:
            copy = f"{pod.conf_dir}/{len(copies)}-{conf.file_name}"
        write_new(copy, conf.raw.encode(), PRIVATE_FILE)
        copies.append(copy)
    return tuple(copies)


def _info(membership: _Membership, copy: str) -> NetInfo:
    assigned = membership.address()
    return NetInfo(
        net_name=membership.conf.name,
        conf_path=copy,
        plugin_path=membership.conf.type,
        if_name=membership.place.if_name,
        ip=str(assigned.address) if assigned else "",
        mask=str(assigned.subnet.mask) if assigned else "",
        args=membership.attachment.chosen.args_text,
        host_if=membership.place.host_if,
        gateway=str(assigned.gateway) if assigned and assigned.gateway else "",
        ip6=tuple(f"{more.address}/{more.prefix}" for more in membership.place.addresses if not more.is_v4),
        ip_masq=membership.conf.ip_masq,
        dns=membership.conf.dns,
        addresses=tuple(str(more.address) for more in membership.place.addresses),
    )


def _link(pod: JoiningPod, membership: _Membership, wires: LinkSockets) -> None:
    bridge = bridge_of(membership.conf)
    try:
        with bridge_lock(pod.paths, bridge) if bridge else nullcontext():
            for step in steps_of(membership.conf, membership.place):
                apply_step(step, wires)
    except OSError as err:
        raise HostFailure.of(f'networking: error adding network "{membership.conf.name}"', err) from err


def _publish(
    pod: JoiningPod,
    memberships: Sequence[_Membership],
    infos: Sequence[NetInfo],
    plan: NetworkPlan,
    later: list[Callable[[], None]] | None,
) -> bool:
    """Add the pod's rules; return whether the table had to be made."""
    sources = [
        (assigned, membership.conf.ip_masq)
        for membership in memberships
        for assigned in membership.place.addresses
        if assigned.is_v4
    ]
    membership = memberships[plan.target] if plan.forwards else None
    assigned = membership.address() if membership else None
    target = assigned.address if assigned else None
    rules = rules_of(
        pod.uuid,
        [(assigned.address, assigned.subnet, masq) for assigned, masq in sources],
        plan.forwards,
        target,
    ).guarded(pod.uuid, infos)
    made = add_rules(pod.paths, pod.uuid, rules, plan.forwards, pod.neighbours)
    if membership and any(forward.on_loopback for forward in plan.forwards):
        open_loopback(pod.paths, gateway_link(membership.conf, membership.place))
    if target is not None:
        _put_off(lambda: forget_ports(plan.forwards, target), later)
    return made


def _report_drops(report: Callable[[str], None]) -> None:
    for sentence in foreign_drops():
        report(sentence)


def _put_off(work: Callable[[], None], later: list[Callable[[], None]] | None) -> None:
    if later is None:
        work()
    else:
        later.append(work)


def _undo(pod: JoiningPod) -> None:
    """Detach, suppressing errors: the one that led here is raised."""
    with suppress(PodError):
        detach(pod.paths, pod.uuid, pod.conf_dir, pod.info_path)
    with suppress(FileNotFoundError):
        os.unlink(pod.info_path)


@contextmanager
def _collected(failed: list[PodError]) -> Iterator[None]:
    try:
        yield
    except PodError as err:
        failed.append(err)
    except OSError as err:
        failed.append(HostFailure.of("networking: cannot take the pod out of its networks", err))


def _lease_dirs(pod: JoiningPod, copies: _Copies) -> tuple[str, ...]:
    """The directories that may hold leases of the pod: of the copied configurations, or all if a copy is missing."""
    directories = {lease_dir(pod.paths, conf): None for conf in copies.confs}
    if not copies.whole:
        directories.update({f"{pod.paths.leases}/{name}": None for name in entries(pod.paths.leases)})
        with suppress(PodError, OSError):
            directories.update(
                {lease_dir(pod.paths, conf): None for conf in load_confs(pod.paths.config_dirs)}
            )
    return tuple(directories)


def _addresses(pod: JoiningPod, directories: Sequence[str]) -> set[Address]:
    """The pod's addresses, from its leases and its record."""
    texts = [text for directory in directories for text in leases_of(directory, pod.uuid)]
    for info in _infos(pod):
        texts += [*filter(None, (info.ip,)), *(text.partition("/")[0] for text in info.ip6)]
    addresses = set()
    for text in texts:
        with suppress(InvalidSpec):
            addresses.add(Address.parse(text))
    return addresses


def _infos(pod: JoiningPod) -> tuple[NetInfo, ...]:
    try:
        return read_net_info(pod.info_path)
    except (PodError, OSError):
        return ()


def _remove_idle_bridges(paths: Paths, copies: _Copies) -> None:
    """Remove the bridges of the copied configurations that have no port; all such bridges if a copy is missing."""
    named = filter(None, map(bridge_of, copies.confs))
    for name in dict.fromkeys(named if copies.whole else our_bridges()):
        with bridge_lock(paths, name):
            remove_idle_bridge(name)


class _Copies(Value):
    """The copied configurations. whole: whether all of them are there and can be read."""

    confs: tuple[NetConf, ...]
    whole: bool


def _copies(pod: JoiningPod) -> _Copies:
    names, confs = entries_if_any(pod.conf_dir), []
    for name in names:
        # A copy that a crash truncated is not valid, and nothing was done for it yet.
        with suppress(InvalidSpec, Corrupt, OSError):
            raw = read_bytes(f"{pod.conf_dir}/{name}", beneath=os.path.dirname(pod.conf_dir))
            confs.append(NetConf.parse(raw, name, pod.conf_dir))
    return _Copies(tuple(confs), len(confs) >= max(1, len(names), len(_infos(pod))))


def _forget_copies(conf_dir: str) -> None:
    """Leave an empty directory, the sign that nothing is held any more, whatever was in its place."""
    if os.path.islink(conf_dir) or not os.path.isdir(conf_dir):
        remove_tree(conf_dir)
        with suppress(FileNotFoundError):  # the pod's directory has gone as well
            os.mkdir(conf_dir, PRIVATE_DIR)
        return
    for name in entries(conf_dir):
        remove_tree(f"{conf_dir}/{name}")
