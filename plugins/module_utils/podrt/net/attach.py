# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins a pod to its networks, in order, and takes it out again.

Whatever attach leaves on a host can be found by the pod's UUID alone, so that detach works after a crash at any
point: leases hold it, the host's interfaces are named after it, elements of the nftables table have it as comment.
Order of attach: copies of the configurations, leases, net-info.json, links, nftables, lo; detach goes back.
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
from .links import apply_step, loopback_up, open_wires, our_bridges, remove_idle_bridge, remove_links
from .localnet import let_in
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

    neighbours: which pods are dead, so that what they had can be taken over. sysctls: the names of those that the pod
    has as it asked for them.
    """

    paths: Paths
    uuid: str
    conf_dir: str
    info_path: str
    neighbours: Neighbours = ALONE
    sysctls: frozenset[str] = frozenset()


class _Joint(Value):
    """A network that the pod joins, and where."""

    attachment: Attachment
    place: Place

    @property
    def conf(self) -> NetConf:
        return self.attachment.conf

    def address(self) -> Assigned | None:
        """The first IPv4 address."""
        return next((found for found in self.place.addresses if found.is_v4), None)


def attach(
    pod: JoiningPod,
    netns_fd: int,
    plan: NetworkPlan,
    *,
    report: Callable[[str], None] | None = None,
    later: list[Callable[[], None]] | None = None,
) -> tuple[NetInfo, ...]:
    """Join a pod to networks as eth0, eth1 and so on, publish its ports, and bring lo up.

    netns_fd: the pod's network namespace. report gets warnings. later gets what the pod need not wait for, and what is
    done at once without it.
    On failure everything is undone. Raises PodError of any family; the process must have one thread only.
    """
    sockets_in_use(plan.forwards)
    try:
        copies = _copy_confs(pod, plan)
        joints = tuple(_joint(pod, attachment) for attachment in plan.attachments)
        infos = tuple(_info(joint, copy) for joint, copy in zip(joints, copies))
        write_net_info(pod.info_path, infos)
        with entered(netns_fd):
            new_links_ignore_routers(pod.sysctls)
        with open_wires(netns_fd) as wires:
            for joint in joints:
                _link(pod, joint, wires)
            made = _publish(pod, joints, infos, plan, later)
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
    """Take a pod out of its networks: what attach made or meant to make, in reverse; nothing there is fine.

    What the record cannot tell, since it is damaged, is looked for everywhere by the UUID. info_path stays: it tells
    what the networks were until the pod's directory goes. links: False leaves the links of a pod whose last process has
    ended to the kernel, which takes them down by itself and later, but for the ports of bridges. Everything is tried;
    then the first error is raised. Raises PodError.
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


def _joint(pod: JoiningPod, attachment: Attachment) -> _Joint:
    conf = attachment.conf
    place = Place(pod.uuid, attachment.index)
    if conf.ipam.type != "host-local":
        return _Joint(attachment, place.replace(addresses=conf.ipam.static))
    request = LeaseRequest(pod.uuid, place.if_name, conf.name, attachment.wanted)
    lease = reserve(lease_dir(pod.paths, conf), conf.ipam.range_sets, request, pod.neighbours.is_live)
    for dead in lease.reclaimed:
        remove_rules(pod.paths, dead)
        remove_links(dead)
    if lease.reclaimed:
        forget_addresses({found.address for found in lease.addresses})
    return _Joint(attachment, place.replace(addresses=lease.addresses))


def _copy_confs(pod: JoiningPod, plan: NetworkPlan) -> tuple[str, ...]:
    """Keep what the networks were, under the names of their files, as far as these differ."""
    remove_tree(pod.conf_dir)  # were it a link, the copies would be made elsewhere
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


def _info(joint: _Joint, copy: str) -> NetInfo:
    found = joint.address()
    return NetInfo(
        net_name=joint.conf.name,
        conf_path=copy,
        plugin_path=joint.conf.type,
        if_name=joint.place.if_name,
        ip=str(found.address) if found else "",
        mask=str(found.subnet.mask) if found else "",
        args=joint.attachment.chosen.args_text,
        host_if=joint.place.host_if,
        gateway=str(found.gateway) if found and found.gateway else "",
        ip6=tuple(f"{more.address}/{more.prefix}" for more in joint.place.addresses if not more.is_v4),
        ip_masq=joint.conf.ip_masq,
        dns=joint.conf.dns,
        addresses=tuple(str(more.address) for more in joint.place.addresses),
    )


def _link(pod: JoiningPod, joint: _Joint, wires: LinkSockets) -> None:
    bridge = bridge_of(joint.conf)
    try:
        with bridge_lock(pod.paths, bridge) if bridge else nullcontext():
            for step in steps_of(joint.conf, joint.place):
                apply_step(step, wires)
    except OSError as err:
        raise HostFailure.of(f'networking: error adding network "{joint.conf.name}"', err) from err


def _publish(
    pod: JoiningPod,
    joints: Sequence[_Joint],
    infos: Sequence[NetInfo],
    plan: NetworkPlan,
    later: list[Callable[[], None]] | None,
) -> bool:
    """Add the pod's rules; whether the table was made for them."""
    sources = [
        (found, joint.conf.ip_masq) for joint in joints for found in joint.place.addresses if found.is_v4
    ]
    joint = joints[plan.target] if plan.forwards else None
    found = joint.address() if joint else None
    target = found.address if found else None
    rules = rules_of(
        pod.uuid, [(found.address, found.subnet, masq) for found, masq in sources], plan.forwards, target
    ).guarded(pod.uuid, infos)
    made = add_rules(pod.paths, pod.uuid, rules, plan.forwards, pod.neighbours)
    if joint and any(forward.on_loopback for forward in plan.forwards):
        let_in(pod.paths, gateway_link(joint.conf, joint.place))
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
    """As detach, but the error that led here is the one to tell."""
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
    """Where the pod may have leases: its networks as the copies of their configurations tell, any where they do not."""
    found = {lease_dir(pod.paths, conf): None for conf in copies.confs}
    if not copies.whole:
        found.update({f"{pod.paths.leases}/{name}": None for name in entries(pod.paths.leases)})
        with suppress(PodError, OSError):
            found.update({lease_dir(pod.paths, conf): None for conf in load_confs(pod.paths.config_dirs)})
    return tuple(found)


def _addresses(pod: JoiningPod, directories: Sequence[str]) -> set[Address]:
    """The addresses that the pod has, by its leases and by its record."""
    texts = [text for directory in directories for text in leases_of(directory, pod.uuid)]
    for info in _infos(pod):
        texts += [*filter(None, (info.ip,)), *(text.partition("/")[0] for text in info.ip6)]
    found = set()
    for text in texts:
        with suppress(InvalidSpec):
            found.add(Address.parse(text))
    return found


def _infos(pod: JoiningPod) -> tuple[NetInfo, ...]:
    try:
        return read_net_info(pod.info_path)
    except (PodError, OSError):
        return ()


def _remove_idle_bridges(paths: Paths, copies: _Copies) -> None:
    """Remove bridges that the pod was the last on, as the copies tell; where they do not, any that has no port."""
    named = filter(None, map(bridge_of, copies.confs))
    for name in dict.fromkeys(named if copies.whole else our_bridges()):
        with bridge_lock(paths, name):
            remove_idle_bridge(name)


class _Copies(Value):
    """What the copies of the configurations tell. whole: whether all that there were are there, and can be read."""

    confs: tuple[NetConf, ...]
    whole: bool


def _copies(pod: JoiningPod) -> _Copies:
    names, confs = entries_if_any(pod.conf_dir), []
    for name in names:
        # A copy that a crash cut short is no configuration; what it would have led to was not done yet.
        with suppress(InvalidSpec, Corrupt, OSError):
            raw = read_bytes(f"{pod.conf_dir}/{name}", beneath=os.path.dirname(pod.conf_dir))
            confs.append(NetConf.parse(raw, name, pod.conf_dir))
    return _Copies(tuple(confs), len(confs) >= max(1, len(names), len(_infos(pod))))


def _forget_copies(conf_dir: str) -> None:
    """Leave an empty directory, which says that nothing is held any more, whatever was in its place."""
    if os.path.islink(conf_dir) or not os.path.isdir(conf_dir):
        remove_tree(conf_dir)
        with suppress(FileNotFoundError):  # the pod's directory has gone as well
            os.mkdir(conf_dir, PRIVATE_DIR)
        return
    for name in entries(conf_dir):
        remove_tree(f"{conf_dir}/{name}")
