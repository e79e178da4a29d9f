# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plugin of a network, decoded as its type says before anything happens. Pure.

Source: containernetworking/cni SPEC.md, "Plugin configuration objects".
"""

from __future__ import annotations

from ..errors import InvalidSpec
from ..value import Value
from .ipam import Ipam, NetDns
from .kinds import BANDWIDTH, LINK_TYPES, TYPES, net_type
from .place import LinkOptions
from .ranges import Assigned
from .types.ptp import Ptp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..fields import Fields
    from .kinds import NetType
    from .netargs import NetArgs

# The capability of plugins that publish ports. Source: containernetworking/cni CONVENTIONS.md.
PORT_MAPPINGS = "portMappings"
# That of plugins of IPAM that take the addresses that a pod asks for. Source: the same.
IPS = "ips"


class Plugin(Value):
    """A plugin. own: the members of its type. link: those that any type has.

    capabilities: names of what it takes from the runtime, see drivers.external. program, ipam_program: the paths of
    those that are executed for it and for its addresses, "" for what is built in.
    """

    type: str
    ip_masq: bool = False
    ipam: Ipam = Ipam()
    dns: NetDns = NetDns()
    own: NetType = Ptp()
    link: LinkOptions = LinkOptions()
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
        ipam = Ipam.from_json(fields.raw("ipam"), fields.where_of("ipam"))
        if ipam.type == "static" and fields.has("args"):
            ipam = ipam.with_args(fields.within("args"))
        dns = NetDns.from_json(fields.raw("dns"), fields.where_of("dns"))
        return cls(
            type=kind,
            ip_masq=fields.boolean("ipMasq", False),
            ipam=ipam,
            dns=dns if dns != NetDns() else ipam.dns,
            own=net_type(kind, fields),
            link=LinkOptions(
                fields.integer_of(31, "mtu"),
                fields.boolean("acceptRA", False),
                fields.boolean("acceptRedirects", False),
            ),
            capabilities=_capabilities(fields),
        )

    @property
    def is_built_in(self) -> bool:
        """Whether no program is executed for it."""
        return not self.program and self.type in TYPES

    @property
    def beyond(self) -> tuple[str, ...]:
        """The members that its type does not do where it is built in: for these its program is needed."""
        names: tuple[str, ...] = getattr(self.own, "beyond", ())
        return names

    @property
    def makes_link(self) -> bool:
        """Whether it is one that makes the interface of the pod, as far as its type is known here."""
        return self.type in LINK_TYPES

    @property
    def asks_network(self) -> bool:
        """Whether its addresses come from the network itself, once the interface is there."""
        return self.makes_link and self.ipam.type == "dhcp"

    @property
    def needs_address(self) -> bool:
        """Whether it makes an interface that has addresses from the beginning."""
        return self.makes_link and getattr(self.own, "needs_address", True) and not self.asks_network

    @property
    def needed_links(self) -> tuple[str, ...]:
        """The interfaces that the host must have for it."""
        links: tuple[str, ...] = getattr(self.own, "needed_links", ())
        return links if self.is_built_in else ()

    @property
    def takes_ports(self) -> bool:
        """Whether host ports are to lead to the network that it is part of."""
        return getattr(self.own, "takes_ports", False) or PORT_MAPPINGS in self.capabilities

    @property
    def masks_clients(self) -> bool:
        """Whether pods see an address of the host in place of that of any client of a host port."""
        return self.is_built_in and getattr(self.own, "masks_all", False)

    @property
    def isolates(self) -> bool:
        """Whether it keeps the pods of the network apart, see isolation."""
        return self.is_built_in and getattr(self.own, "isolated", False)

    @property
    def limits_rates(self) -> bool:
        """Whether it limits the rates of the interface, see rates."""
        return self.is_built_in and self.type == BANDWIDTH

    @property
    def firewall_zone(self) -> str:
        """The zone of firewalld for the pod where it lets the pod through firewalls of others, else ""."""
        zone: str = getattr(self.own, "zone", "")
        return zone if self.is_built_in else ""

    @property
    def meaning(self) -> Plugin:
        """The plugin without what executes it."""
        return self.replace(program="", ipam_program="")


def static_addresses(plugin: Plugin, args: NetArgs) -> tuple[Assigned, ...]:
    """The addresses of a pod on a network of static ones: what it asks for comes after those that are fixed.

    With the capability ips it comes in their place. Source: containernetworking/plugins static.
    """
    fixed = plugin.ipam.static
    held = [each.address for each in fixed]
    asked = tuple(
        Assigned(address, address.bits if prefix is None else prefix)
        for address, prefix in zip(args.ips, args.prefixes)
    )
    if not asked or IPS not in plugin.capabilities:
        asked = (*fixed, *(each for each in asked if each.address not in held))
    if args.gateway is None:
        return asked
    return tuple(
        each.replace(gateway=args.gateway) if each.subnet.holds(args.gateway) else each for each in asked
    )


def _capabilities(fields: Fields) -> tuple[str, ...]:
    """The names that an object says true to."""
    if not fields.has("capabilities"):
        return ()
    named, held = fields.within("capabilities"), fields.raw("capabilities")
    return (
        tuple(sorted(name for name in held if named.boolean(name, False))) if isinstance(held, dict) else ()
    )
