# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of networks: where each is. Pure.

A type is a value that a configuration is decoded to, with the steps that it takes and what comes of them.
"""

from __future__ import annotations

from ..value import Value
from .types.ptp import Ptp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from ..fields import Fields
    from .place import LinkOptions, Place
    from .result import NetResult
    from .steps import NetStep

    class NetType(Protocol):
        """A type. Its steps and what comes of them are pure."""

        def steps(self, options: LinkOptions, place: Place) -> Iterator[NetStep]:
            """The steps, in order. Raises InvalidSpec, with the rest of a sentence that names the network."""

        def result(self, before: NetResult, place: Place, sandbox: str) -> NetResult:
            """What they make, or make of the result of the plugins before. sandbox: the pod's network namespace."""


IPAM_TYPES = ("", "host-local", "static", "dhcp")
# Those that make an interface, and those that follow one in a chain.
LINK_TYPES = (
    *("ptp", "bridge", "macvlan", "ipvlan", "vlan"),
    *("loopback", "dummy", "tap", "host-device"),
)
# The type, and the capability, of plugins that limit rates. Source: containernetworking/cni CONVENTIONS.md.
BANDWIDTH = "bandwidth"
# That of those that let the pod through firewalls of others.
FIREWALL = "firewall"
CHAINED_TYPES = ("portmap", "tuning", "sbr", BANDWIDTH, FIREWALL)
TYPES = (*LINK_TYPES, *CHAINED_TYPES)
# One that stands for another network, see flannel.
FLANNEL = "flannel"


class Foreign(Value):
    """A type that is not built in. members: the whole configuration, as canonical JSON."""

    members: str

    def steps(self, _options: LinkOptions, _place: Place) -> Iterator[NetStep]:
        """None that are known here."""
        yield from ()

    def result(self, before: NetResult, _place: Place, _sandbox: str) -> NetResult:
        """Its program says that."""
        return before


def net_type(kind: str, fields: Fields) -> NetType:
    """The members of a configuration that are specific to its type. Raises InvalidSpec with the place."""
    if kind == "ptp":
        return Ptp()
    if kind not in TYPES:
        return Foreign(fields.canonical())
    return _rarer(kind, fields)


def _rarer(kind: str, fields: Fields) -> NetType:
    """Types that are imported for networks of them alone."""
    if kind == "bridge":
        from .types.bridge import Bridge

        return Bridge.from_fields(fields)
    if kind in ("macvlan", "ipvlan", "vlan"):
        from .types.parented import Parented

        return Parented.from_fields(kind, fields)
    return _chained(kind, fields) if kind in CHAINED_TYPES else _single(kind, fields)


def _chained(kind: str, fields: Fields) -> NetType:
    if kind == BANDWIDTH:
        from .types.bandwidth import Bandwidth

        return Bandwidth.from_fields(fields)
    from .types.chained import Firewall, Portmap, SourceRouting, Tuning

    if kind == "tuning":
        return Tuning.from_fields(fields)
    if kind == FIREWALL:
        return Firewall.from_fields(fields)
    return Portmap.from_fields(fields) if kind == "portmap" else SourceRouting()


def _single(kind: str, fields: Fields) -> NetType:
    from .types.single import Dummy, HostDevice, Loopback, Tap

    if kind == "tap":
        return Tap.from_fields(fields)
    if kind == "host-device":
        return HostDevice.from_fields(fields)
    return Loopback() if kind == "loopback" else Dummy()
