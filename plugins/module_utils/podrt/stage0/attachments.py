# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of networks forget what is not attached any more, with CNI's GC.

Each pod gets its DEL, so nothing is left but by faults of others: a program that has failed to delete, or an engine
that is gone. Source: containernetworking/cni SPEC.md, "GC".
"""

from __future__ import annotations

from ..contexts import contextmanager, suppress
from ..errors import NotFound, PodError, known
from ..net.attached import AttachedContainer, attached_elsewhere, attached_pods
from ..net.conf import ChosenNet, load_confs
from ..net.hostlock import programs_lock
from ..net.member import JoiningPod
from ..net.programs import find_delegates, find_programs
from ..net.result import VERSIONS
from ..pod import holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..host.paths import Paths
    from ..net.conf import NetConf

_FIRST = VERSIONS.index("1.1.0")


def collect_attachments(paths: Paths) -> list[PodError]:
    """Have the programs of each network that knows it forget what is not attached. Returns what has gone wrong."""
    failed: list[PodError] = []
    with _told(failed):
        for conf in load_confs(paths.config_dirs):
            if conf.flaw or not conf.collected or VERSIONS.index(conf.cni_version) < _FIRST:
                continue
            with _told(failed), suppress(NotFound):  # a program that is missing has attached nothing of late
                _collect(paths, conf, failed)
    return failed


def _collect(paths: Paths, conf: NetConf, failed: list[PodError]) -> None:
    """Have the programs of a network, if any, forget what is not attached to it. Raises PodError, OSError.

    No pod may be attached meanwhile: a program would forget one that is not in the list yet.
    """
    chosen = find_delegates((ChosenNet(conf),), paths)
    found = find_programs(chosen, paths).resolve(chosen[0].conf)
    if not any(plugin.program or plugin.ipam_program for plugin in found.plugins):
        return
    from ..net.drivers.external import ProgramDriver

    with programs_lock(paths):
        attached = tuple(_attached(paths, conf.name))
        for plugin in found.plugins:
            with _told(failed):
                ProgramDriver().collect(found, plugin, attached, paths)


@contextmanager
def _told(failed: list[PodError]) -> Iterator[None]:
    """Go on after a failure, which is told with the others."""
    try:
        yield
    except (PodError, OSError) as err:
        failed.append(known("networking: cannot collect what networks have attached", err))


def _attached(paths: Paths, network: str) -> Iterator[AttachedContainer]:
    yield from attached_pods(network, _pods(paths))
    yield from attached_elsewhere(network, paths.cni_results)


def _pods(paths: Paths) -> Iterator[JoiningPod]:
    """The pods of the host that may hold something."""
    for pod in holders.running(paths):
        yield JoiningPod(pod.paths, pod.uuid, pod.dir.net_confs, pod.dir.net_info)
    for home, uuid, state_dir in (*holders.dead(paths), *holders.apart(paths)):
        place = home.pod(state_dir, uuid)
        yield JoiningPod(home, uuid, place.net_confs, place.net_info)
