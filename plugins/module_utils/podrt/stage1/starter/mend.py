# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry mend of stage1: restores the networks, limits and groups that a running pod has lost; no app notices."""

from __future__ import annotations

import functools
import os

from ...errors import Conflict, HostFailure, PodError, known
from ...net.drift import find_drift, read_joined
from ...net.mend import mend as mend_networks
from ...net.rules import forwards_of, on_record
from ...pod import cgroups, documents
from ...pod.lifecycle import PodState
from ...pod.limits import changed_limits, set_limits
from ...pod.strays import bring_back, find_strays
from .naming import mend_names
from .networks import joining_pod
from .stop import holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...appc.pod import PodManifest
    from ...host.host import Host
    from ...pod.lifecycle import Pod


# A process that a stray starts while it is moved back is a stray as well.
_ROUNDS = 20


def mend(host: Host, pod: Pod) -> None:
    """Restore what is missing, of every kind even if one fails; then raise the first error, a PodError.

    Raises Conflict when the pod does not run.
    """
    pid = documents.read_pid(pod.dir)
    if pod.state() is not PodState.RUNNING or not pid or not holds(pid, pod):
        raise Conflict(f'pod "{pod.uuid}" is not running', uuid=pod.uuid)
    manifest = documents.read_manifest(pod.dir)
    failed: list[PodError] = []
    in_networks = (functools.partial(_mend_networks, host), functools.partial(_mend_names, host))
    for mend_one in (_mend_limits, _bring_back_all, *in_networks):
        try:
            mend_one(pod, pid, manifest)
        except (PodError, OSError) as err:
            failed.append(known("cannot look at the pod", err))
    if failed:
        raise failed[0]


def _mend_limits(pod: Pod, _pid: int, manifest: PodManifest) -> None:
    set_limits(changed_limits(cgroups.recorded(pod.dir), manifest))


def _mend_networks(host: Host, pod: Pod, pid: int, manifest: PodManifest) -> None:
    infos, joined = read_joined(pod.uuid, pod.dir.net_info, pod.dir.net_confs)
    if not joined:
        return
    forwards = on_record(infos, forwards_of(manifest))
    drift = find_drift(pid, joined, infos, forwards, limit=manifest.network_limit)
    try:
        netns = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise HostFailure.of("cannot reach the network of the pod", err) from err
    try:
        mend_networks(joining_pod(host.paths, pod.uuid), netns, drift, forwards)
    finally:
        os.close(netns)


def _mend_names(host: Host, pod: Pod, _pid: int, manifest: PodManifest) -> None:
    runspec = documents.read_runspec(pod.dir)
    if runspec.names:
        mend_names(host.paths, pod.dir, manifest, runspec)


def _bring_back_all(pod: Pod, pid: int, manifest: PodManifest) -> None:
    """Move stray processes back into the pod's groups, until none is left or they multiply too fast."""
    apps = [str(app.name) for app in manifest.apps]
    for _round in range(_ROUNDS):
        strays = find_strays(pod.dir, pid, apps)
        if not strays:
            return
        bring_back(strays)
