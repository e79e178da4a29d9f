# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The teardown of a pod that has ended: of its networks and its control groups. No mounts are left on the host."""

from __future__ import annotations

import os

from ...errors import HostFailure, PodError
from ...pod import cgroups, holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.dirs import PodDir
    from ...host.host import Host
    from ...pod.lifecycle import Pod


def teardown(host: Host, pod: Pod) -> None:
    """Take down a pod that has ended, perhaps in part already. Kills the processes left in its control groups.

    Tries all parts, then raises PodError if one failed.
    """
    take_down(host, pod.uuid, pod.dir)


def take_down(host: Host, uuid: str, pod: PodDir) -> None:
    """Take down the pod of a directory, see teardown."""
    failure: PodError | None = None
    try:
        remove_groups(uuid, pod)
    except PodError as err:
        failure = err
    if os.path.lexists(pod.mds_registered):
        from .registering import unregister_pod  # few pods are

        unregister_pod(host.paths, uuid, pod)
    if holders.may_hold(host.paths, uuid, pod):
        from .networks import leave_networks

        leave_networks(host.paths, uuid, pod)
    if failure:
        raise failure


def remove_groups(uuid: str, pod: PodDir) -> None:
    """Remove a pod's control groups alone, and kill the processes left in them. Raises PodError."""
    try:
        cgroups.remove_groups(cgroups.recorded(pod) or cgroups.find_groups(uuid))
    except OSError as err:
        raise HostFailure.of("cannot find the control groups of the pod", err) from err
