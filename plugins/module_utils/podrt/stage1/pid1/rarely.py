# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What few pods have, with modules that are in memory for these alone. Part of the supervisor."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

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
