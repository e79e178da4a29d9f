# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods that use networks: those that run, in any data directory, and those of this one that are prepared."""

from __future__ import annotations

from ..contexts import suppress
from ..errors import InvalidSpec, NotFound, PodError
from ..net.conf import ChosenNet
from ..net.info import read_copy, read_net_info
from ..net.kinds import FLANNEL
from ..pod import documents, holders
from ..pod.lifecycle import PodState, walk
from ..value import Value
from .references import held_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..host.dirs import PodDir
    from ..host.host import Host
    from ..net.conf import NetConf
    from ..net.info import NetInfo
    from ..pod.lifecycle import Pod


_SOME_ADDRESS = (("IP", "192.0.2.2/24"), ("GATEWAY", "192.0.2.1"))


class NetworkUser(Value):
    """A pod of a network. network: "" where its networks cannot be read, so that it may be of any.

    conf: what it has joined, None before that, or where that cannot be read. host_if: its interface on the host.
    elsewhere: its data directory, "" for the one of this host's tasks. args: what it asks for, K=V;K2=V2.
    """

    network: str
    uuid: str
    name: str
    running: bool
    addresses: tuple[str, ...] = ()
    conf: NetConf | None = None
    host_if: str = ""
    elsewhere: str = ""
    args: str = ""

    @property
    def shown(self) -> str:
        """The pod in a sentence."""
        return (self.name or self.uuid) + (f" of {self.elsewhere}" if self.elsewhere else "")

    @property
    def is_movable(self) -> bool:
        """Whether a task of this host can start it again."""
        return bool(self.name) and not self.elsewhere

    def is_outdated(self, now: NetConf) -> bool:
        """Whether it runs on another network than the one that is given, see as_joined."""
        return self.running and (self.conf is None or self.conf.meaning != now.meaning)


def network_users(host: Host) -> tuple[NetworkUser, ...]:
    """Every use of a network by a pod, sorted by name and UUID."""
    found: list[NetworkUser] = []
    for pod in holders.running(host.paths):
        found += _uses(host, pod, running=True)
    seen = {user.uuid for user in found}
    for pod in walk(host.paths, ("prepare", "prepared", "run")):
        # In the order of its life, so that none is missed; one may have started meanwhile.
        if pod.uuid not in seen:
            found += _of_state(host, pod)
    return tuple(sorted(found, key=lambda user: (user.name, user.uuid)))


def as_joined(host: Host, conf: NetConf) -> NetConf | None:
    """The network that pods join, and record: of type flannel its delegate, None where that is not known."""
    if conf.type != FLANNEL:
        return conf
    from ..net.programs import find_delegates  # for few hosts

    with suppress(PodError, OSError):
        return find_delegates((ChosenNet(conf),), host.paths)[0].conf
    return None


def as_asked_for(conf: NetConf) -> ChosenNet:
    """A network as a pod can ask for it: with an address where it has fixed ones only, and has none."""
    ipam = conf.main.ipam
    asks = ipam.type == "static" and not ipam.static
    return ChosenNet(conf, _SOME_ADDRESS if asks else ())


def outdated_users(users: Iterable[NetworkUser], joined: NetConf | None) -> tuple[NetworkUser, ...]:
    """The pods that run on another network than the one that they would join now, as far as that is known."""
    return tuple(user for user in users if joined is not None and user.is_outdated(joined))


def unfit_users(users: Sequence[NetworkUser], conf: NetConf) -> Iterator[str]:
    """A sentence for each pod that asks for an address that the network does not give any more."""
    if conf.main.ipam.type != "host-local":
        return
    from ..net.netargs import NetArgs, pairs_of
    from ..net.network_plan import check_args

    for user in users:
        try:
            check_args(conf, NetArgs.of(pairs_of(user.args), conf.name, strict=False))
        except InvalidSpec as err:
            yield f"pod {user.shown} cannot join the changed network: it has {user.args}, and {err.message}"


def stopped_users(host: Host, network: str) -> tuple[str, ...]:
    """The names of the pods that have ended, ask for a network, and may be started again."""
    found = []
    for pod in walk(host.paths, ("run",)):
        with suppress(OSError, PodError):
            runspec = documents.read_runspec(pod.dir)
            asks = any(request.name == network for request in runspec.networks) and runspec.has_addresses
            if asks and runspec.name and pod.state() is PodState.EXITED:
                found.append(runspec.name)
    return tuple(sorted(found))


def users_of(users: Sequence[NetworkUser], network: str) -> tuple[NetworkUser, ...]:
    """Those of one network, and those whose networks cannot be read."""
    return tuple(user for user in users if user.network in ("", network))


def _of_state(host: Host, pod: Pod) -> tuple[NetworkUser, ...]:
    try:
        state = pod.state()
    except NotFound:
        return ()
    if state in (PodState.PREPARED, PodState.PREPARING, PodState.RUNNING):
        return tuple(_uses(host, pod, running=state is PodState.RUNNING))
    return ()


def _uses(host: Host, pod: Pod, *, running: bool) -> Iterator[NetworkUser]:
    place, elsewhere = held_directory(pod), "" if pod.paths.data == host.paths.data else pod.paths.data
    try:
        runspec = documents.read_runspec(place)
    except (OSError, PodError):
        if running:
            yield NetworkUser("", pod.uuid, "", running, elsewhere=elsewhere)
        return
    if runspec.host_network or runspec.no_network:
        return
    joined = []
    for info in _infos(place) if running else ():
        joined.append(info.net_name)
        yield NetworkUser(
            info.net_name,
            pod.uuid,
            runspec.name,
            running,
            tuple(str(each.address) for each in info.result.addresses),
            _copy(place, info),
            info.host_if,
            elsewhere,
            info.args,
        )
    for request in runspec.networks if not joined else ():
        yield NetworkUser(request.name, pod.uuid, runspec.name, running, elsewhere=elsewhere)


def _infos(place: PodDir) -> tuple[NetInfo, ...]:
    try:
        return read_net_info(place.net_info)
    except (OSError, PodError):
        return ()


def _copy(place: PodDir, info: NetInfo) -> NetConf | None:
    try:
        conf = read_copy(place.net_confs, info)
        return conf if conf.flaw is None else None
    except (OSError, PodError, InvalidSpec):
        return None
