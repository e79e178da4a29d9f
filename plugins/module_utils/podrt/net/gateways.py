# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways that a network had before it was changed, on a bridge that pods of it still are ports of."""

from __future__ import annotations

from ..errors import HostFailure
from .hostlock import bridge_lock
from .rtmsg import del_address
from .rtsocket import OUR_BRIDGE, RouteSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..host.paths import Paths
    from .addresses import Address


def drop_gateways(paths: Paths, bridge: str, old: Collection[tuple[Address, int]]) -> None:
    """Remove these addresses, with their prefix lengths, from a bridge that attach made, if it is there.

    Pods that still use them lose their way out until they join again. Raises HostFailure, Conflict.
    """
    try:
        with bridge_lock(paths, bridge), RouteSocket() as host:
            link = host.find(bridge)
            if link is None or link.alias != OUR_BRIDGE:
                return
            held = [(address, prefix) for _index, address, prefix in host.addresses(link.index)]
            host.send([del_address(link.index, *gateway) for gateway in held if gateway in old])
    except OSError as err:
        raise HostFailure.of(f"networking: cannot remove old gateways from the bridge {bridge}", err) from err
