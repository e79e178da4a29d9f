# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of networks forget what is not attached any more, with CNI's GC.

Each pod gets its DEL, so nothing is left but by faults of others: a program that has failed to delete, or an engine
that is gone. Source: containernetworking/cni SPEC.md, "GC".
"""

from __future__ import annotations

from ..contexts import suppress
from ..errors import HostFailure, NotFound, PodError
from ..net.attached import AttachedContainer, attached_elsewhere, attached_pods
from ..net.conf import ChosenNet, load_confs
from ..net.hostlock import programs_lock
from ..net.member import JoiningPod
from ..net.programs import find_programs
from ..net.result import VERSIONS
from ..pod import holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths
    from ..net.conf import NetConf

_FIRST = VERSIONS.index("1.1.0")


def collect_attachments(paths: Paths) -> list[PodError]:
    """Have the programs of each network that knows it forget what is not attached. Returns what has gone wrong.

    No pod may be attached meanwhile: a program would forget one that is not in the list yet.
    """
    failed: list[PodError] = []
    try:
        confs = list(_collected(paths))
        if confs:
            with programs_lock(paths):
                for conf in confs:
                    _collect(paths, conf, failed)
    except PodError as err:
        failed.append(err)
    except OSError as err:
        failed.append(HostFailure.of("networking: cannot collect what networks have attached", err))
    return failed


def _collected(paths: Paths) -> Iterator[NetConf]:
    """The networks with programs that may be asked."""
    for conf in load_confs(paths.config_dirs):
        if conf.flaw or not conf.collected or VERSIONS.index(conf.cni_version) < _FIRST:
            continue
        with suppress(NotFound):  # a program that is missing has attached nothing of late
            found = find_programs((ChosenNet(conf),), paths).resolve(conf)
            if any(plugin.program or plugin.ipam_program for plugin in found.plugins):
                yield found


def _collect(paths: Paths, conf: NetConf, failed: list[PodError]) -> None:
    from ..net.drivers.external import ProgramDriver

    attached = tuple(_attached(paths, conf.name))
    for plugin in conf.plugins:
        try:
            ProgramDriver().collect(conf, plugin, attached, paths)
        except HostFailure as err:
            failed.append(err)


def _attached(paths: Paths, network: str) -> Iterator[AttachedContainer]:
    yield from attached_pods(network, _pods(paths))
    yield from attached_elsewhere(network, paths.cni_results)


def _pods(paths: Paths) -> Iterator[JoiningPod]:
    """The pods of the host that may hold something."""
    for pod in holders.running(paths):
        yield JoiningPod(pod.paths, pod.uuid, pod.dir.net_confs, pod.dir.net_info)
    for home, uuid, state_dir in holders.dead(paths):
        place = home.pod(state_dir, uuid)
        yield JoiningPod(home, uuid, place.net_confs, place.net_info)
