# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plugin of a network, decoded as its type says before anything happens. Pure.

Source: containernetworking/cni SPEC.md, "Plugin configuration objects".
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value
from .ipam import Ipam, NetDns
from .kinds import LINK_TYPES, TYPES, Portmap, Ptp, net_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from .kinds import NetType

# The capability of plugins that publish ports. Source: containernetworking/cni CONVENTIONS.md.
PORT_MAPPINGS = "portMappings"


class Plugin(Value):
    """A plugin. own: the members of its type. mtu 0: the kernel's default.

    accept_ra, accept_redirects: whether a pod accepts router advertisements and redirects from the network; not members
    of CNI. The host never accepts them.
    capabilities: names of what it takes from the runtime, see drivers.external. program, ipam_program: the paths of
    those that are executed for it and for its addresses, "" for what is built in.
    """

    type: str
    ip_masq: bool = False
    mtu: int = 0
    ipam: Ipam = Ipam()
    dns: NetDns = NetDns()
    own: NetType = Ptp()
    accept_ra: bool = False
    accept_redirects: bool = False
    capabilities: tuple[str, ...] = ()
    program: str = ""
    ipam_program: str = ""

    @classmethod
    def from_fields(cls, fields: Fields) -> Plugin:
        """Read an object. Raises InvalidSpec with the place."""
        kind = fields.text("type")
        if "/" in kind or kind in (".", ".."):
            # Else a configuration could name any program of the host.
            raise InvalidSpec(f'"{kind}" is not a type of network plugin', where=fields.where_of("type"))
        return cls(
            type=kind,
            ip_masq=fields.boolean("ipMasq", False),
            mtu=fields.integer("mtu", 0),
            ipam=Ipam.from_json(fields.raw("ipam"), fields.where_of("ipam")),
            dns=NetDns.from_json(fields.raw("dns"), fields.where_of("dns")),
            own=net_type(kind, fields),
            accept_ra=fields.boolean("acceptRA", False),
            accept_redirects=fields.boolean("acceptRedirects", False),
            capabilities=_capabilities(fields),
        )

    @property
    def is_built_in(self) -> bool:
        """Whether no program is executed for it."""
        return not self.program and self.type in TYPES

    @property
    def makes_link(self) -> bool:
        """Whether it is one that makes the interface of the pod, as far as its type is known here."""
        return self.type in LINK_TYPES

    @property
    def takes_ports(self) -> bool:
        """Whether host ports are to lead to the network that it is part of."""
        return isinstance(self.own, Portmap) or PORT_MAPPINGS in self.capabilities

    @property
    def meaning(self) -> Plugin:
        """The plugin without what executes it."""
        return self.replace(program="", ipam_program="")


def _capabilities(fields: Fields) -> tuple[str, ...]:
    """The names that an object says true to."""
    if not fields.has("capabilities"):
        return ()
    named, held = fields.within("capabilities"), fields.raw("capabilities")
    return (
        tuple(sorted(name for name in held if named.boolean(name, False))) if isinstance(held, dict) else ()
    )
