# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways of a network that has changed, on a bridge that pods of it still are ports of."""

from __future__ import annotations

from ..contexts import contextmanager
from ..errors import HostFailure
from .hostlock import bridge_lock, forget_bridge_lock
from .rtmsg import del_address, new_address
from .rtsocket import OUR_BRIDGE, RouteSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..host.paths import Paths
    from .addresses import Address

    Gateway = tuple[Address, int]


def drop_gateways(paths: Paths, bridge: str, holder: str, old: Collection[Gateway]) -> None:
    """Remove these addresses, with their prefix lengths, from a bridge that attach made, if it is there.

    holder: it, or the interface of a VLAN of it. Pods that still use them lose their way out until they join again.
    Raises HostFailure, Conflict.
    """
    with _held_by_ours(paths, bridge, holder) as (host, index, held):
        host.send([del_address(index, *gateway) for gateway in held if gateway in old])


def widen_gateways(paths: Paths, bridge: str, holder: str, new: Collection[Gateway]) -> None:
    """Let addresses of such a bridge be of larger subnets where these are its gateways now: no pod loses its way.

    Raises HostFailure, Conflict.
    """
    with _held_by_ours(paths, bridge, holder) as (host, index, held):
        for address, prefix in held:
            for wanted in (wanted for known, wanted in new if known == address and wanted < prefix):
                # In one message: IPv6 cannot have both at once.
                host.send([del_address(index, address, prefix), new_address(index, address, wanted)])


@contextmanager
def _held_by_ours(paths: Paths, bridge: str, holder: str) -> Iterator[tuple[RouteSocket, int, list[Gateway]]]:
    """A socket, and the index and addresses of what attach made; without addresses if there is no such interface."""
    try:
        with bridge_lock(paths, bridge), RouteSocket() as host:
            link = host.find(holder)
            if link is None or link.alias != OUR_BRIDGE:
                yield host, 0, []
                if host.find(bridge) is None:
                    forget_bridge_lock(paths, bridge)
                return
            yield host, link.index, [found[1:] for found in host.addresses(link.index)]
    except OSError as err:
        raise HostFailure.of(f"networking: cannot change the gateways on the bridge {holder}", err) from err
