# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes again what has gone of a running pod's networks, and nothing else."""

from __future__ import annotations

import contextlib

from ..errors import HostFailure
from .attach import bridge_lock
from .firewall import add_rules
from .links import apply_step, open_wires
from .plan import bridge_of
from .rtmsg import del_link, set_up
from .steps import MakeVeth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .attach import JoiningPod
    from .drift import Drift, Joined
    from .links import Wires
    from .rules import PortForward
    from .steps import Step


def mend(pod: JoiningPod, netns_fd: int, drift: Drift, forwards: Sequence[PortForward]) -> None:
    """Do the steps that are missing. Raises PodError; the process must have one thread only."""
    try:
        with open_wires(netns_fd) as wires:
            for joined, steps in drift.steps:
                bridge = bridge_of(joined.conf)
                with bridge_lock(pod.paths, bridge) if bridge else contextlib.nullcontext():
                    _mend(joined, steps, wires)
    except OSError as err:
        raise HostFailure.of("networking: cannot mend the networks of the pod", err) from err
    if drift.rules is not None:
        add_rules(pod.paths, pod.uuid, drift.rules, forwards, pod.neighbours)


def _mend(joined: Joined, steps: Sequence[Step], wires: Wires) -> None:
    place = joined.place
    link = wires.host.find(place.host_if)
    if link is not None and any(isinstance(step, MakeVeth) for step in steps):
        wires.host.send([del_link(place.host_if)])
    elif link is not None:
        # Of a link that is down no route can be made.
        wires.host.send([set_up(link.index)])
        wires.pod.send([set_up(wires.pod.index(place.if_name))])
    for step in steps:
        apply_step(step, wires)
