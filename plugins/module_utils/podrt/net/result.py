# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a network: CNI's, in every version of its format. Pure.

It goes from IPAM through each plugin of a chain, the one before to the next, and into the pod's record.
Source: containernetworking/cni SPEC.md of 0.2.0, 0.4.0 and 1.1.0, "Result types".
"""

from __future__ import annotations

from ..fields import Fields
from ..value import Value
from .addresses import Route, parse_prefixed
from .ipam import NetDns, read_gateway, read_route
from .ranges import Assigned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Those that this side speaks, in order. The first has the result of one address a family.
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
_ONE_A_FAMILY = VERSIONS[:2]
_WITH_FAMILY = VERSIONS[2:5]
LATEST = VERSIONS[-1]


class NetInterface(Value):
    """An interface that a plugin has made. sandbox: the network namespace that it is in, "" for the host's."""

    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int = 0

    @classmethod
    def from_fields(cls, fields: Fields) -> NetInterface:
        """Read CNI's interface object. Raises InvalidSpec with the place."""
        return cls(
            fields.text("name", ""),
            fields.text("mac", ""),
            fields.text("sandbox", ""),
            fields.integer("mtu", 0),
        )

    def to_json(self) -> dict[str, object]:
        """CNI's interface object without empty members."""
        members = {"name": self.name, "mac": self.mac, "mtu": self.mtu, "sandbox": self.sandbox}
        return {name: value for name, value in members.items() if value or name == "name"}


class NetResult(Value):
    """The outcome of a network. ips: addresses. on: the number of the interface of each, -1 where that is not said."""

    interfaces: tuple[NetInterface, ...] = ()
    ips: tuple[Assigned, ...] = ()
    on: tuple[int, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: NetDns = NetDns()

    @classmethod
    def from_json(cls, value: object, where: str) -> NetResult:
        """Read a result of any version. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        dns = NetDns.from_json(fields.raw("dns"), fields.where_of("dns"))
        if fields.has("ip4") or fields.has("ip6"):
            return cls._of_families(fields, dns)
        ips = [_ip(each) for each in fields.each("ips")]
        return cls(
            tuple(NetInterface.from_fields(each) for each in fields.each("interfaces")),
            tuple(assigned for assigned, _number in ips),
            tuple(number for _assigned, number in ips),
            tuple(read_route(each) for each in fields.each("routes")),
            dns,
        )

    @classmethod
    def _of_families(cls, fields: Fields, dns: NetDns) -> NetResult:
        given = [fields.within(name) for name in ("ip4", "ip6") if fields.has(name)]
        ips = tuple(_assigned(each, "ip") for each in given)
        routes = tuple(read_route(each) for one in given for each in one.each("routes"))
        return cls((), ips, (-1,) * len(ips), routes, dns)

    def to_json(self, version: str = LATEST) -> dict[str, object]:
        """The result in a version of the format, which may have no place for all of it."""
        if version in _ONE_A_FAMILY:
            return {"cniVersion": version, **dict(self._families()), "dns": self.dns.to_json()}
        ips = [
            {
                **({"version": "4" if each.is_v4 else "6"} if version in _WITH_FAMILY else {}),
                "address": f"{each.address}/{each.prefix}",
                **({"gateway": str(each.gateway)} if each.gateway else {}),
                **({"interface": number} if number >= 0 else {}),
            }
            for each, number in zip(self.ips, self.on)
        ]
        return {
            "cniVersion": version,
            "interfaces": [interface.to_json() for interface in self.interfaces],
            "ips": ips,
            "routes": [_route_json(route) for route in self.routes],
            "dns": self.dns.to_json(),
        }

    def _families(self) -> Iterator[tuple[str, dict[str, object]]]:
        for name, is_v4 in (("ip4", True), ("ip6", False)):
            first = next((each for each in self.ips if each.is_v4 is is_v4), None)
            if first is None:
                continue
            bits = first.address.bits
            member: dict[str, object] = {"ip": f"{first.address}/{first.prefix}"}
            if first.gateway:
                member["gateway"] = str(first.gateway)
            member["routes"] = [_route_json(route) for route in self.routes if route.dst.bits == bits]
            yield name, member

    @property
    def addresses(self) -> tuple[Assigned, ...]:
        """The addresses of the pod, without those of interfaces that are not in it."""
        return tuple(each for each, number in zip(self.ips, self.on) if self._is_of_pod(number))

    def _is_of_pod(self, number: int) -> bool:
        return not 0 <= number < len(self.interfaces) or bool(self.interfaces[number].sandbox)

    @property
    def first_v4(self) -> Assigned | None:
        """The first IPv4 address of the pod."""
        return next((each for each in self.addresses if each.is_v4), None)

    @property
    def first_v6(self) -> Assigned | None:
        """The first IPv6 address of the pod."""
        return next((each for each in self.addresses if not each.is_v4), None)


NO_RESULT = NetResult()


def result_of_addresses(ips: tuple[Assigned, ...], routes: tuple[Route, ...] = ()) -> NetResult:
    """The result of IPAM: addresses without interfaces."""
    return NetResult((), ips, (-1,) * len(ips), routes)


def _ip(fields: Fields) -> tuple[Assigned, int]:
    return _assigned(fields, "address"), fields.integer("interface", -1)


def _assigned(fields: Fields, name: str) -> Assigned:
    address, prefix = parse_prefixed(fields.text(name), fields.where_of(name))
    return Assigned(address, prefix, read_gateway(fields, "gateway", address.bits))


def _route_json(route: Route) -> dict[str, object]:
    gateway = {"gw": str(route.gateway)} if route.gateway else {}
    return {"dst": str(route.dst), **gateway, **dict(route.more)}
