# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has modules that are loaded if it comes to that. Part of the supervisor."""

from __future__ import annotations

from .starter import NoOrders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from .control import Control, Supervised
    from .leases import KeptLease
    from .record import LeaseRecord
    from .timers import Timers
    from .watch import Watch


def keep_leases(records: Sequence[LeaseRecord], timers: Timers, watch: Watch) -> list[KeptLease]:
    """Keep the leases of a pod."""
    if not records:
        return []
    from .leases import KeptLease

    return [KeptLease(record, timers, watch) for record in records]


def take_orders(
    late: Callable[[str], ModuleType], fd: int, watch: Watch, pod: Supervised
) -> Control | NoOrders:
    """What carries out orders, which come by a socket; where it cannot be loaded, the socket is closed.

    The interpreter may have been removed from the host meanwhile, and the apps go on.
    """
    try:
        found: Control = late("control").Control(fd, watch, pod)
        return found
    except ImportError:
        watch.close(fd)
        return NoOrders()


def give_back(late: Callable[[str], ModuleType], mapped: str) -> None:
    """Give back the memory that only the start needed, see idle; where that fails, it is kept."""
    try:
        late("idle").give_back(mapped)
    except Exception:  # such as without a library of the extension; the pod would end with PID 1
        return
