# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What limits the rates of a pod on a network, and the step that does. Pure; shapes.py does it."""

from __future__ import annotations

from ..errors import InvalidSpec
from .kinds import BANDWIDTH
from .place import shaper_name
from .rates import NO_RATE, Rate
from .steps import ShapeLink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conf import NetConf
    from .place import Place


def left_to_program(conf: NetConf) -> bool:
    """Whether a program of a network applies the limit of a pod."""
    return any(plugin.program and BANDWIDTH in plugin.capabilities for plugin in conf.plugins)


def is_limited(conf: NetConf) -> bool:
    """Whether a plugin that is built in limits the rate of a network."""
    return any(plugin.limits_rates for plugin in conf.plugins)


def shape_of(conf: NetConf, place: Place, host_if: str, rate: Rate) -> tuple[ShapeLink, ...]:
    """The step that limits the rates of a pod on a network, if they are to be.

    host_if: the host's end of its interface, "" without one. rate: that of its isolators.
    Raises InvalidSpec for a network that is to be limited and has no such end.
    """
    if not host_if:
        if is_limited(conf):
            raise InvalidSpec(
                f'the rates of network "{conf.name}" cannot be limited: its pods have no interface of the host',
                "take the plugin bandwidth out",
                where=conf.file_name,
            )
        return ()
    to_pod = from_pod = NO_RATE if left_to_program(conf) else rate
    for plugin in conf.plugins:
        if plugin.limits_rates:
            to_pod = to_pod.with_limit(getattr(plugin.own, "ingress", NO_RATE))
            from_pod = from_pod.with_limit(getattr(plugin.own, "egress", NO_RATE))
    if not (to_pod.bits or from_pod.bits):
        return ()
    return (ShapeLink(host_if, shaper_name(place.uuid, place.index), to_pod, from_pod, conf.main.link.mtu),)
