# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running pod has lost since it started: of its networks, limits and groups. Reading starts no program."""

from __future__ import annotations

import os

from ..errors import PodError
from ..net.drift import find_drift, read_joined
from ..net.network_plan import forwards_of
from ..pod import cgroups
from ..pod.lifecycle import open_pod
from ..pod.limits import changed_limits
from ..pod.strays import find_strays
from .change import Difference
from .entry import pinned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..appc.pod import PodManifest
    from ..host.host import Host
    from ..pod.lifecycle import Pod
    from .status import PodStatus

# Of the isolators that are limits, by the names of their options.
_OPTIONS = {
    "resource/memory": "memory",
    "resource/cpu": "cpu",
    "os/linux/cpu-shares": "cpu_shares",
}


def lost(host: Host, found: PodStatus) -> tuple[Difference, ...]:
    """Where the kernel no longer has what a running pod was given. impact: live, or restart for an older runtime."""
    if found.manifest is None or found.runspec is None or not found.pid:
        return ()
    try:
        with open_pod(host.paths, found.uuid) as pod:
            can_mend = os.path.isfile(f"{pinned(host, pod).runtime}/podrt/stage1/mend.py")
            impact = "live" if can_mend else "restart"
            limits: tuple[Difference, ...] = ()
            if can_mend:
                limits = (*_limits(pod, found.manifest), *_strays(pod, found, found.manifest, found.pid))
            return (*limits, *_networks(pod, found, found.manifest, found.pid, impact))
    except (PodError, OSError):
        return ()  # it ends, or cannot be read: what becomes of it then is told elsewhere


def _limits(pod: Pod, manifest: PodManifest) -> Iterator[Difference]:
    names = [str(app.name) for app in manifest.apps]
    for changed in changed_limits(cgroups.recorded(pod.dir), manifest):
        option = _OPTIONS.get(changed.isolator, "pids_limit")
        path = f"apps[{names.index(changed.leaf)}].{option}" if changed.leaf else option
        yield Difference(path, f"{changed.file}={changed.found}", changed.value, "drift", "live")


def _strays(pod: Pod, found: PodStatus, manifest: PodManifest, pid: int) -> Iterator[Difference]:
    """One for each app, and one for what belongs to no app. Which processes, and how many, is another at any time."""
    names = [str(app.name) for app in manifest.apps]
    strays = find_strays(pod.dir, pid, names)
    for leaf in dict.fromkeys(stray.leaf for stray in strays):
        path = f"apps[{names.index(leaf)}]" if leaf else f"pods.{found.name}"
        yield Difference(path, "processes outside of its control group", "inside", "drift", "live")


def _networks(
    pod: Pod, found: PodStatus, manifest: PodManifest, pid: int, impact: str
) -> Iterator[Difference]:
    infos, joined = read_joined(pod.uuid, pod.dir.net_info, pod.dir.net_confs)
    if not joined:
        return
    asked = [request.name for request in found.runspec.networks] if found.runspec else []
    drift = find_drift(pid, joined, infos, forwards_of(manifest))
    for index, words in drift.sentences:
        name = joined[index].conf.name
        path = f"networks[{asked.index(name)}]" if name in asked else "networks"
        yield Difference(
            path if index >= 0 else "networks", f"missing: {words}", "as joined", "drift", impact
        )
