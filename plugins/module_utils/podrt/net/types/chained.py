# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that follow the one that makes the interface: portmap, tuning, sbr and firewall. Pure.

Source: containernetworking/plugins portmap, tuning, sbr and firewall.
"""

from __future__ import annotations

from ...errors import InvalidSpec
from ...value import Value
from ..netargs import mac_of
from ..steps import POD_SIDE, LetThrough, MoveRoutes, SetSysctl, TuneLink
from .shared import beyond

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...fields import Fields
    from ..place import LinkOptions, Place
    from ..result import NetResult
    from ..steps import NetStep

_BEYOND = ("conditionsV4", "conditionsV6", "externalSetMarkChain")
_LAST_BIT = 31
_POLICIES = ("ingressPolicy", "iptablesAdminChainName")
_TRUSTED = "trusted"
_SPACE = "net/"
_OWN_NAME = "IFNAME"
# The first routing table of networks with source routing: one each, by the number of the interface.
_FIRST_TABLE = 100


class Portmap(Value):
    """Host ports lead to this network. Without any such plugin the runtime chooses one. Source: behaviours E22.

    masks_all: whether a pod sees an address of the host in place of that of any client.
    """

    takes_ports = True
    beyond: tuple[str, ...] = ()
    masks_all: bool = False

    @classmethod
    def from_fields(cls, fields: Fields) -> Portmap:
        """Read masqAll; and conditions, snat and a chain for marks, for which CNI's program is executed, see shared.

        markMasqBit is checked alone: the program tells packets that it masquerades by such a mark, and our tables need
        none. Raises InvalidSpec with the place.
        """
        bit = fields.integer("markMasqBit", 0)
        if not 0 <= bit <= _LAST_BIT:
            raise InvalidSpec(
                f"{bit} is not the number of a bit of a mark",
                f"use 0 to {_LAST_BIT}",
                where=fields.where_of("markMasqBit"),
            )
        if fields.has("markMasqBit") and fields.text("externalSetMarkChain", ""):
            raise InvalidSpec(
                "a chain that sets a mark has its own bit",
                "take markMasqBit or externalSetMarkChain out",
                where=fields.where_of("markMasqBit"),
            )
        needed = (*beyond(fields, _BEYOND), *(() if fields.boolean("snat", True) else ("snat",)))
        return cls(needed, fields.boolean("masqAll", False))

    def steps(self, _options: LinkOptions, _place: Place) -> Iterator[NetStep]:
        """None: ports are published once all networks are there, see attach."""
        yield from ()

    def result(self, before: NetResult, _place: Place, _sandbox: str) -> NetResult:
        """The same."""
        return before


class Tuning(Value):
    """Switches and properties of the interface. mtu and tx_queue 0, mac b"" and None: as they are."""

    sysctls: tuple[tuple[str, str], ...] = ()
    mac: bytes = b""
    mtu: int = 0
    promiscuous: bool | None = None
    all_multicast: bool | None = None
    tx_queue: int = 0

    @classmethod
    def from_fields(cls, fields: Fields) -> Tuning:
        """Read sysctl, mac, mtu, promisc, allmulti and txQLen. Raises InvalidSpec with the place."""
        return cls(
            tuple(_sysctls(fields)),
            mac_of(fields.text("mac", ""), fields.where_of("mac")),
            fields.integer_of(31, "mtu"),
            fields.optional_boolean("promisc"),
            fields.optional_boolean("allmulti"),
            fields.integer_of(32, "txQLen"),
        )

    def steps(self, _options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """The switches, and the properties together."""
        for key, value in self.sysctls:
            yield SetSysctl(key.replace(_OWN_NAME, place.if_name), value, POD_SIDE)
        step = TuneLink(
            place.if_name, self.mac, self.mtu, self.promiscuous, self.all_multicast, self.tx_queue
        )
        if step != TuneLink(place.if_name):
            yield step

    def result(self, before: NetResult, place: Place, _sandbox: str) -> NetResult:
        """The result with the new address and MTU of the interface."""
        return before.replace(
            interfaces=tuple(
                each.replace(mac=self.mac.hex(":") or each.mac, mtu=self.mtu or each.mtu)
                if each.sandbox and each.name == place.if_name
                else each
                for each in before.interfaces
            )
        )


class SourceRouting(Value):
    """Packets from an address of the interface leave by it: its routes are in a table of their own."""

    def steps(self, _options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """The routes move there, with a rule for each address."""
        yield MoveRoutes(place.if_name, _FIRST_TABLE + place.index, place.addresses)

    def result(self, before: NetResult, _place: Place, _sandbox: str) -> NetResult:
        """The same."""
        return before


class Firewall(Value):
    """Firewalls of others let the pod through, see openings. zone: that of firewalld for its addresses."""

    zone: str = _TRUSTED
    beyond: tuple[str, ...] = ()

    @classmethod
    def from_fields(cls, fields: Fields) -> Firewall:
        """Read firewalldZone. The backend is that which drops. CNI's program does other policies, see shared."""
        keeps = beyond(fields, _POLICIES)
        if fields.text("ingressPolicy", "") in ("", "open"):
            keeps = tuple(name for name in keeps if name != "ingressPolicy")
        return cls(fields.text("firewalldZone", "") or _TRUSTED, keeps)

    def steps(self, _options: LinkOptions, place: Place) -> Iterator[NetStep]:
        """One, for all addresses."""
        if place.addresses:
            yield LetThrough(place.uuid, tuple(each.address for each in place.addresses), self.zone)

    def result(self, before: NetResult, _place: Place, _sandbox: str) -> NetResult:
        """The same."""
        return before


def _sysctls(fields: Fields) -> Iterator[tuple[str, str]]:
    """Switches as keys below /proc/sys. Only those of the network namespace: others would be the host's."""
    held = fields.raw("sysctl")
    if not isinstance(held, dict):
        if held is not None:
            fields.within("sysctl")  # which says what is wrong
        return
    named = fields.within("sysctl")
    for name in held:
        key = name if "/" in name else name.replace(".", "/")
        if not key.startswith(_SPACE) or ".." in key.split("/"):
            raise InvalidSpec(
                f'"{name}" is not a sysctl of a network', "name one below net.", where=named.where_of(name)
            )
        yield key, named.text(name)
