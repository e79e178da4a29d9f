# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network namespace in the place of a pod's that has gone, for programs that look there for what they remove.

CNI's own plugins take the masquerading of those addresses away that they find at the pod's interface, and without a
network namespace none. Source: containernetworking/plugins, DEL of bridge and ptp.
"""

from __future__ import annotations

import os

from ..contexts import contextmanager
from ..host.syscalls import CLONE_NEWNET, unshare
from .rtmsg import VethEnds, new_address, new_veth
from .rtsocket import RouteSocket, entered, own_netns, returning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .place import Place
    from .result import NetResult

_OTHER_END = "other"


@contextmanager
def standing_in(place: Place, result: NetResult) -> Iterator[str]:
    """The path of a network namespace where the pod's interface has its addresses.

    The process must be single-threaded. Raises OSError.
    """
    netns_fd = _new_netns()
    try:
        with entered(netns_fd), RouteSocket() as inside:
            other = _OTHER_END if place.if_name != _OTHER_END else f"{_OTHER_END}2"
            inside.send([new_veth(VethEnds(other, place.if_name, place.macs), netns_fd)])
            index = inside.index(place.if_name)
            inside.send([new_address(index, each.address, each.prefix) for each in result.ips])
        yield f"/proc/{os.getpid()}/fd/{netns_fd}"
    finally:
        os.close(netns_fd)


def _new_netns() -> int:
    """A new network namespace, which goes with its descriptor."""
    with returning():
        unshare(CLONE_NEWNET)
        return own_netns()
