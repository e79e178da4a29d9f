# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a pod on the host once it has ended: its networks and its control groups. Nothing is mounted."""

from __future__ import annotations

from ..errors import HostFailure, PodError
from ..host.files import entries
from . import cgroups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..host.host import Host
    from ..host.paths import PodDir
    from ..pod.lifecycle import Pod


def teardown(host: Host, pod: Pod) -> None:
    """Take down a pod that has ended; what is gone already is fine. Kills what is left in its control groups.

    Raises PodError when something could not be taken down, after all was tried.
    """
    take_down(host, pod.uuid, pod.dir)


def take_down(host: Host, uuid: str, pod: PodDir) -> None:
    """The same for a pod's directory."""
    failure: PodError | None = None
    try:
        cgroups.remove_groups(cgroups.recorded(pod) or cgroups.find_groups(uuid))
    except PodError as err:
        failure = err
    except OSError as err:
        failure = HostFailure.of("cannot find the control groups of the pod", err)
    # Copies of the configurations are the first that joining networks leaves, and the last that leaving them takes.
    if entries(pod.net_confs):
        from ..net.attach import detach

        detach(host.paths, uuid, pod.net_confs, pod.net_info)
    if failure:
        raise failure
