# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limit the rates of a pod's interface at the host's end, and look whether they are limited.

What goes to the pod waits at that end; what comes from it is led through an interface of the kind ifb, where it waits.
"""

from __future__ import annotations

from ..contexts import suppress
from .rtmsg import set_up
from .tcmsg import (
    get_limit,
    get_ways,
    lead_through,
    leads_through,
    let_in_directly,
    limit_in,
    limit_rate,
    new_shaper,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .rtsocket import RouteSocket
    from .steps import ShapeLink


def shape_link(step: ShapeLink, host: RouteSocket) -> None:
    """Limit the rates of an interface, whatever limits it now. Raises OSError."""
    index = host.index(step.link)
    if step.to_pod.bits:
        host.send([limit_rate(index, step.to_pod, step.mtu)])
    if not step.from_pod.bits:
        return
    if host.find(step.shaper) is None:
        host.send([new_shaper(step.shaper, step.mtu)])
    shaper = host.index(step.shaper)
    host.send([limit_rate(shaper, step.from_pod, step.mtu), set_up(shaper)])
    with suppress(OSError):  # there is nothing to undo
        host.send([let_in_directly(index)])
    host.send(lead_through(index, shaper))


def is_shaped(step: ShapeLink, host: RouteSocket) -> bool:
    """Whether an interface has these limits. Raises OSError."""
    link, shaper = host.find(step.link), host.find(step.shaper)
    if link is None or (step.to_pod.bits and _limit(link.index, host) != step.to_pod.a_second):
        return False
    if not step.from_pod.bits:
        return True
    if shaper is None or not shaper.is_up or _limit(shaper.index, host) != step.from_pod.a_second:
        return False
    try:
        return any(leads_through(body, shaper.index) for body in host.ask(get_ways(link.index)))
    except OSError:  # nothing leads anywhere
        return False


def _limit(index: int, host: RouteSocket) -> int:
    try:
        answers = host.ask(get_limit(index))
    except OSError:  # none was ever set
        return 0
    return next(map(limit_in, answers), 0)
