# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins a pod to its networks, in order, and takes it out again.

Whatever attach leaves on a host can be found by the pod's UUID alone, so that detach works after a crash at any
point: leases hold it, the host's interfaces are named after it, elements of the nftables table have it as comment.
Order of attach: copies of the configurations, leases, net-info.json, links, nftables, lo; detach goes back.
Source: behaviours E.2, E29.
"""

from __future__ import annotations

import contextlib
import functools
import os

from ..errors import Corrupt, HostFailure, InvalidSpec, PodError, Unsupported
from ..host.files import PRIVATE_FILE, entries, entries_if_any, make_dirs, remove_tree, write_new
from ..host.locks import FileLock
from ..host.reading import read_bytes
from ..value import Value
from .addresses import Address
from .conf import ChosenNet, NetConf
from .firewall import add_rules, foreign_drops, remove_rules
from .info import NetInfo, write_net_info
from .links import (
    apply_step,
    loopback_up,
    open_wires,
    remove_idle_bridge,
    remove_links,
    set_sysctl,
)
from .neighbours import ALONE, Neighbours
from .plan import Place, bridge_name, gateway_link, require_known, steps_of
from .ports import sockets_in_use
from .ranges import Assigned
from .reservations import LeaseRequest, leases_of, release, reserve
from .rtsocket import open_in
from .rules import PortForward, rules_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..host.paths import Paths
    from .links import Wires

__all__ = ("Neighbours", "PortForward", "attach", "detach", "loopback_only")

_IGNORE_UNKNOWN = ("1", "true", "True", "TRUE", "t", "T")


class _Pod(Value):
    """The pod and where its record is."""

    paths: Paths
    uuid: str
    conf_dir: str
    info_path: str
    neighbours: Neighbours = ALONE


class _Joint(Value):
    """A network that the pod joins, and where."""

    chosen: ChosenNet
    place: Place

    @property
    def conf(self) -> NetConf:
        return self.chosen.conf

    def address(self) -> Assigned | None:
        """The first IPv4 address."""
        return next((found for found in self.place.addresses if found.is_v4), None)


def attach(  # noqa: PLR0913, PLR0917 - one call from stage1, which has nothing else to put these into
    paths: Paths,
    uuid: str,
    netns_fd: int,
    chosen: Sequence[ChosenNet],
    forwards: Sequence[PortForward],
    conf_dir: str,
    info_path: str,
    *,
    neighbours: Neighbours = ALONE,
    report: Callable[[str], None] | None = None,
    later: list[Callable[[], None]] | None = None,
) -> tuple[NetInfo, ...]:
    """Join a pod to networks as eth0, eth1 and so on, publish its ports, and bring lo up.

    netns_fd: the pod's network namespace. conf_dir, info_path: where the record goes. neighbours: by whom dead pods
    are known, of which things are taken over. report gets warnings. later gets what the pod need not wait for, and what
    is done at once without it.
    On failure everything is undone. Raises PodError of any family; the process must have one thread only.
    """
    pod = _Pod(paths, uuid, conf_dir, info_path, neighbours)
    for net in chosen:
        require_known(net.conf, _plugin_dirs(paths))
    sockets_in_use(forwards)
    try:
        copies = _copy_confs(pod, chosen)
        joints = tuple(_joint(pod, index, net) for index, net in enumerate(chosen))
        infos = tuple(_info(joint, copy) for joint, copy in zip(joints, copies))
        write_net_info(info_path, infos)
        with open_wires(netns_fd) as wires:
            for joint in joints:
                _link(pod, joint, wires)
            made = _publish(pod, joints, forwards)
            loopback_up(wires.pod)
        if made and report:
            _put_off(functools.partial(_report_drops, report), later)
        return infos
    except OSError as err:
        _undo(pod)
        raise HostFailure.of("networking: cannot set up the networks of the pod", err) from err
    except BaseException:
        _undo(pod)
        raise


def detach(paths: Paths, uuid: str, conf_dir: str, info_path: str) -> None:
    """Take a pod out of its networks: what attach made or meant to make, in reverse; nothing there is fine.

    info_path stays: it tells what the networks were until the pod's directory goes. Everything is tried; then
    the first error is raised. Raises PodError.
    """
    pod = _Pod(paths, uuid, conf_dir, info_path)
    directories = _lease_dirs(pod)
    leased = any(leases_of(directory, uuid) for directory in directories)
    copies = entries_if_any(conf_dir)
    failed: list[PodError] = []
    if leased or copies:
        with _collected(failed), contextlib.suppress(Unsupported):
            remove_rules(paths, uuid)
    with _collected(failed):
        remove_links(uuid)
    for name in _bridges(pod):
        with _collected(failed), _bridge_lock(paths, name):
            remove_idle_bridge(name)
    for directory in directories if leased or copies else ():
        with _collected(failed):
            release(directory, uuid)
    if failed:
        raise failed[0]
    for name in copies:
        remove_tree(f"{conf_dir}/{name}")


def loopback_only(netns_fd: int) -> None:
    """Bring lo up in a pod that joins no network. Raises HostFailure."""
    try:
        with open_in(netns_fd) as pod:
            loopback_up(pod)
    except OSError as err:
        raise HostFailure.of("networking: cannot bring lo up in the pod", err) from err


def _joint(pod: _Pod, index: int, net: ChosenNet) -> _Joint:
    conf = net.conf
    place = Place(pod.uuid, index)
    wanted = _wanted_address(net)
    if conf.ipam.type != "host-local":
        return _Joint(net, place.replace(addresses=conf.ipam.static))
    request = LeaseRequest(pod.uuid, place.if_name, conf.name, wanted)
    # Other engines may keep leases in a directory that the configuration names.
    is_live = pod.neighbours.is_live if conf.ipam.data_dir else pod.neighbours.lives_here
    lease = reserve(_lease_dir(pod.paths, conf), conf.ipam.range_sets, request, is_live)
    for dead in lease.reclaimed:
        remove_rules(pod.paths, dead)
        remove_links(dead)
    return _Joint(net, place.replace(addresses=lease.addresses))


def _wanted_address(net: ChosenNet) -> Address | None:
    """Source: behaviours E14; containernetworking/cni pkg/types/args.go."""
    args = dict(net.args)
    unknown = [f"{key}={value}" for key, value in net.args if key not in ("IP", "IgnoreUnknown")]
    if unknown and args.get("IgnoreUnknown") not in _IGNORE_UNKNOWN:
        raise InvalidSpec(
            f'network "{net.conf.name}": unknown args [{" ".join(unknown)}]', "known are IP and IgnoreUnknown"
        )
    return Address.parse(args["IP"], "IP") if "IP" in args else None


def _copy_confs(pod: _Pod, chosen: Sequence[ChosenNet]) -> tuple[str, ...]:
    """Keep what the networks were, under the names of their files, as far as these differ."""
    make_dirs(pod.conf_dir)
    copies: list[str] = []
    for net in chosen:
        copy = f"{pod.conf_dir}/{net.conf.file_name}"
        if copy in copies:
            copy = f"{pod.conf_dir}/{len(copies)}-{net.conf.file_name}"
        write_new(copy, net.conf.raw.encode(), PRIVATE_FILE)
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
        args=joint.chosen.args_text,
        host_if=joint.place.host_if,
        gateway=str(found.gateway) if found and found.gateway else "",
        ip6=tuple(f"{more.address}/{more.prefix}" for more in joint.place.addresses if not more.is_v4),
        ip_masq=joint.conf.ip_masq,
        dns=joint.conf.dns,
    )


def _link(pod: _Pod, joint: _Joint, wires: Wires) -> None:
    lock = (
        _bridge_lock(pod.paths, bridge_name(joint.conf))
        if joint.conf.type == "bridge"
        else contextlib.nullcontext()
    )
    try:
        with lock:
            for step in steps_of(joint.conf, joint.place):
                apply_step(step, wires)
    except OSError as err:
        raise HostFailure.of(f'networking: error adding network "{joint.conf.name}"', err) from err


def _publish(pod: _Pod, joints: Sequence[_Joint], forwards: Sequence[PortForward]) -> bool:
    """Add the pod's rules; whether the table was made for them."""
    sources = [
        (found, joint.conf.ip_masq) for joint in joints for found in joint.place.addresses if found.is_v4
    ]
    target = _forward_target(pod, joints) if forwards else None
    rules = rules_of(
        pod.uuid, [(found.address, found.subnet, masq) for found, masq in sources], forwards, target
    )
    return add_rules(pod.paths, pod.uuid, rules, forwards, pod.neighbours)


def _report_drops(report: Callable[[str], None]) -> None:
    for sentence in foreign_drops():
        report(sentence)


def _put_off(work: Callable[[], None], later: list[Callable[[], None]] | None) -> None:
    if later is None:
        work()
    else:
        later.append(work)


def _forward_target(pod: _Pod, joints: Sequence[_Joint]) -> Address:
    """Where published ports lead: the first network with ipMasq, else the last. Source: behaviours E22."""
    masked = [joint for joint in joints if joint.conf.ip_masq]
    joint = next(iter([*masked, *joints[-1:]]), None)
    found = joint.address() if joint else None
    if joint is None or found is None:
        raise InvalidSpec(
            f"pod {pod.uuid} has no network with an IPv4 address to publish ports to", where="ports"
        )
    set_sysctl(f"net/ipv4/conf/{gateway_link(joint.conf, joint.place)}/route_localnet", "1")
    return found.address


def _undo(pod: _Pod) -> None:
    """As detach, but the error that led here is the one to tell."""
    with contextlib.suppress(PodError):
        detach(pod.paths, pod.uuid, pod.conf_dir, pod.info_path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pod.info_path)


@contextlib.contextmanager
def _collected(failed: list[PodError]) -> Iterator[None]:
    try:
        yield
    except PodError as err:
        failed.append(err)
    except OSError as err:
        failed.append(HostFailure.of("networking: cannot take the pod out of its networks", err))


def _plugin_dirs(paths: Paths) -> tuple[str, ...]:
    """Source: behaviours E9."""
    return (f"{paths.local_config}/net.d", f"{paths.system_config}/plugins/net")


def _lease_dir(paths: Paths, conf: NetConf) -> str:
    return f"{conf.ipam.data_dir or paths.leases}/{conf.name}"


def _lease_dirs(pod: _Pod) -> tuple[str, ...]:
    """Where the pod may have leases: every network of ours, and those that the copies of its configurations name."""
    found = {f"{pod.paths.leases}/{name}": None for name in entries(pod.paths.leases)}
    for conf in _copies(pod):
        found[_lease_dir(pod.paths, conf)] = None
    return tuple(found)


def _bridges(pod: _Pod) -> tuple[str, ...]:
    return tuple({bridge_name(conf): None for conf in _copies(pod) if conf.type == "bridge"})


def _copies(pod: _Pod) -> Iterator[NetConf]:
    for name in entries_if_any(pod.conf_dir):
        # A copy that a crash cut short is no configuration; what it would have led to was not done yet.
        with contextlib.suppress(InvalidSpec, Corrupt, FileNotFoundError):
            yield NetConf.parse(read_bytes(f"{pod.conf_dir}/{name}"), name, pod.conf_dir)


def _bridge_lock(paths: Paths, name: str) -> FileLock:
    return FileLock(f"{paths.locks}/net-bridge-{name}")
