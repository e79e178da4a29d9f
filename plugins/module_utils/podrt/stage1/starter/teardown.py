# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a pod on the host once it has ended: its networks and its control groups. Nothing is mounted."""

from __future__ import annotations

from ...errors import HostFailure, PodError
from ...pod import cgroups, holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...host.dirs import PodDir
    from ...host.host import Host
    from ...pod.lifecycle import Pod


def teardown(host: Host, pod: Pod) -> None:
    """Take down a pod that has ended; what is gone already is fine. Kills what is left in its control groups.

    Raises PodError when something could not be taken down, after all was tried.
    """
    take_down(host, pod.uuid, pod.dir)


def take_down(host: Host, uuid: str, pod: PodDir) -> None:
    """The same for a pod's directory."""
    failure: PodError | None = None
    try:
        remove_groups(uuid, pod)
    except PodError as err:
        failure = err
    if holders.may_hold(host.paths, uuid, pod):
        from .networks import leave

        leave(host.paths, uuid, pod)
    if failure:
        raise failure


def remove_groups(uuid: str, pod: PodDir) -> None:
    """Remove a pod's control groups alone, having killed what is left in them. Raises PodError."""
    try:
        cgroups.remove_groups(cgroups.recorded(pod) or cgroups.find_groups(uuid))
    except OSError as err:
        raise HostFailure.of("cannot find the control groups of the pod", err) from err
