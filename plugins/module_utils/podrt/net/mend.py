# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore the missing parts of a running pod's networks, and nothing else."""

from __future__ import annotations

import errno

from ..contexts import nullcontext
from ..errors import HostFailure
from .firewall import add_rules
from .hostlock import bridge_lock, openings_lock
from .links import apply_step
from .linksockets import open_link_sockets
from .localnet import open_loopback
from .plan import bridge_of
from .rtmsg import del_address, del_link, set_up
from .steps import MAKING, POD_SIDE, AddAddress, AddRoute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .drift import Drift, Joined
    from .linksockets import LinkSockets
    from .member import JoiningPod
    from .rules import PortForward
    from .steps import NetStep

# An app that may change its network can have put something in the place of a missing part.
_HINT = "restart the pod: its networks are then made from the start"


def mend(pod: JoiningPod, netns_fd: int, drift: Drift, forwards: Sequence[PortForward]) -> None:
    """Do the missing steps. Raises PodError; the process must be single-threaded.

    127.0.0.1 of the host is opened to a link only once the rules that guard it are there.
    """
    try:
        with open_link_sockets(netns_fd) as wires:
            for joined, steps in drift.steps:
                bridge = bridge_of(joined.conf)
                opens = any(plugin.firewall_zone for plugin in joined.conf.plugins)
                with (
                    bridge_lock(pod.paths, bridge) if bridge else nullcontext(),
                    openings_lock(pod.paths) if opens else nullcontext(),
                ):
                    _mend(joined, steps, wires)
        if drift.rules is not None:
            add_rules(pod.paths, pod.uuid, drift.rules, forwards, pod.neighbours)
        if drift.localnet is not None:
            open_loopback(pod.paths, drift.localnet.gateway_link)
    except OSError as err:
        raise HostFailure.of("networking: cannot mend the networks of the pod", err, _HINT) from err


def _mend(joined: Joined, steps: Sequence[NetStep], wires: LinkSockets) -> None:
    place = joined.place
    if any(isinstance(step, MAKING) for step in steps):
        # Another link may have the name of either end; an app can have made the one in the pod.
        for socket, name in ((wires.host, place.host_if), (wires.pod, place.if_name)):
            if socket.find(name) is not None:
                socket.send([del_link(name)])
    elif wires.pod.find(place.if_name) is not None:
        # A link that is down takes no routes.
        wires.pod.send([set_up(wires.pod.index(place.if_name))])
    routes: list[NetStep] = []
    for step in steps:
        if isinstance(step, AddAddress) and step.side == POD_SIDE and _remove(step, wires):
            routes = [
                other for other in joined.steps if isinstance(other, AddRoute) and other.side == POD_SIDE
            ]
        apply_step(step, wires)
    for step in routes:
        apply_step(step, wires)


def _remove(step: AddAddress, wires: LinkSockets) -> bool:
    """Remove an address that an app has made unusable by deleting its local route; other routes go with it."""
    try:
        wires.pod.send([del_address(wires.pod.index(step.link), step.address, step.prefix)])
    except OSError as err:
        if err.errno != errno.EADDRNOTAVAIL:
            raise
        return False
    return True
