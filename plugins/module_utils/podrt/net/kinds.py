# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of networks, with the members of a configuration that are specific to each. Pure.

A built-in type is a row here and a row of plan's builders. Source: behaviours E16, E17.
"""

from __future__ import annotations

from ..appc.alphabet import ALNUM, is_made_of
from ..errors import InvalidSpec
from ..value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    from ..fields import Fields

    NetType = Union["Ptp", "Bridge", "Portmap", "Foreign"]

IPAM_TYPES = ("", "host-local", "static")
# Source: dev_valid_name of the kernel's net/core/dev.c.
_LONGEST_LINK = 15


class Ptp(Value):
    """A veth pair between the pod and the host; it has no members."""


class Bridge(Value):
    """A bridge of the host that pods are ports of. default_gateway: it is the pod's default route as well."""

    name: str = "cni0"
    gateway: bool = False
    default_gateway: bool = False
    hairpin: bool = False

    @classmethod
    def from_fields(cls, fields: Fields) -> Bridge:
        """Read bridge, isGateway, isDefaultGateway and hairpinMode. Raises InvalidSpec with the place."""
        name = fields.text("bridge", "cni0")
        if not is_made_of(name, ALNUM + "_.-") or name in (".", "..") or len(name) > _LONGEST_LINK:
            raise InvalidSpec(
                f'"{name}" is not a name for a bridge',
                "use at most 15 letters, digits, dashes, dots and underscores",
                where=fields.where_of("bridge"),
            )
        is_default = fields.boolean("isDefaultGateway", False)
        return cls(
            name,
            fields.boolean("isGateway", False) or is_default,
            is_default,
            fields.boolean("hairpinMode", False),
        )


class Portmap(Value):
    """Host ports lead to this network. Without any such plugin the runtime chooses one. Source: behaviours E22."""


class Foreign(Value):
    """A type that is not built in. members: the whole configuration, as canonical JSON."""

    members: str


# Those that make an interface, and those that follow one in a chain.
LINK_TYPES: dict[str, Callable[[Fields], NetType]] = {
    "ptp": lambda _fields: Ptp(),
    "bridge": Bridge.from_fields,
}
TYPES: dict[str, Callable[[Fields], NetType]] = {**LINK_TYPES, "portmap": lambda _fields: Portmap()}


def net_type(kind: str, fields: Fields) -> NetType:
    """The members of a configuration that are specific to its type. Raises InvalidSpec with the place."""
    if kind in TYPES:
        return TYPES[kind](fields)
    return Foreign(fields.canonical())
