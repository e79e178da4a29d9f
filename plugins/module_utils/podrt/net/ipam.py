# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The "ipam" and "dns" members of a network configuration. Source: behaviours E.3; CNI's host-local, static."""

from __future__ import annotations

from ..appc.alphabet import check_single_word
from ..errors import InvalidSpec
from ..fields import Fields
from ..value import Value
from .addresses import V4_BITS, Address, Route, Subnet, parse_prefixed
from .ranges import AddressRange, Assigned

# The numbers of a route, and how many bits each has.
_ROUTE_NUMBERS = {
    **dict.fromkeys(("mtu", "advmss", "priority", "table"), 32),
    "scope": 8,
}


class NetDns(Value):
    """The DNS settings of a network."""

    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: object, where: str) -> NetDns:
        """Read CNI's dns object; absent is empty. Raises InvalidSpec with the place."""
        if value is None:
            return cls()
        fields = Fields(value, where)
        for name in ("nameservers", "search", "options"):
            for at, word in enumerate(fields.strings(name)):
                check_single_word(word, f"{fields.where_of(name)}[{at}]")
        domain = fields.text("domain", "")
        if domain:
            check_single_word(domain, fields.where_of("domain"))
        return cls(fields.strings("nameservers"), domain, fields.strings("search"), fields.strings("options"))

    def to_json(self) -> dict[str, object]:
        """CNI's dns object without empty members."""
        members = {
            "nameservers": list(self.nameservers),
            "domain": self.domain,
            "search": list(self.search),
            "options": list(self.options),
        }
        return {name: value for name, value in members.items() if value}


class Ipam(Value):
    """The source of a network's addresses.

    type: "" for none, host-local, static, or that of an external plugin. range_sets: each gives one address.
    data_dir: the directory of leases; "" for the default. dns: of static ones. beyond: members that CNI's program alone
    knows, see types.shared. by_args: whether static ones are those of CNI's args, beside which no others count.
    """

    type: str = ""
    range_sets: tuple[tuple[AddressRange, ...], ...] = ()
    static: tuple[Assigned, ...] = ()
    routes: tuple[Route, ...] = ()
    data_dir: str = ""
    dns: NetDns = NetDns()
    beyond: tuple[str, ...] = ()
    by_args: bool = False

    @classmethod
    def from_json(cls, value: object, where: str) -> Ipam:
        """Read CNI's ipam object; absent is empty. Raises InvalidSpec with the place."""
        if value is None:
            return cls()
        fields = Fields(value, where)
        kind = fields.text("type", "")
        if "/" in kind or kind in (".", ".."):
            raise InvalidSpec(f'"{kind}" is not a type of IPAM', where=fields.where_of("type"))
        return cls(
            kind,
            _range_sets(fields) if kind == "host-local" else (),
            tuple(_static(*item) for item in fields.items("addresses")) if kind == "static" else (),
            tuple(read_route(each) for each in fields.each("routes")),
            _data_dir(fields),
            NetDns.from_json(fields.raw("dns"), fields.where_of("dns")) if kind == "static" else NetDns(),
            ("resolvConf",) if kind == "host-local" and fields.text("resolvConf", "") else (),
        )

    def with_args(self, args: Fields) -> Ipam:
        """The same with the static addresses of CNI's args, which take the place of its own. Raises InvalidSpec."""
        if not args.has("cni"):
            return self
        cni = args.within("cni")
        where = cni.where_of("ips")
        found = [parse_prefixed(text, f"{where}[{at}]") for at, text in enumerate(cni.strings("ips"))]
        return self.replace(static=tuple(Assigned(*each) for each in found), by_args=True) if found else self


def _data_dir(fields: Fields) -> str:
    """The directory of leases, which commands in any directory have to find."""
    path = fields.text("dataDir", "")
    if path and not path.startswith("/"):
        raise InvalidSpec(
            f"{path} is not an absolute path", "begin it with a slash", where=fields.where_of("dataDir")
        )
    return path


def _range_sets(fields: Fields) -> tuple[tuple[AddressRange, ...], ...]:
    sets: list[tuple[AddressRange, ...]] = (
        [(AddressRange.from_fields(fields),)] if fields.has("subnet") else []
    )
    for value, where in fields.items("ranges"):
        spans = Fields({"set": value}, where).items("set")
        sets.append(tuple(AddressRange.from_fields(Fields(span, place)) for span, place in spans))
        if not sets[-1]:
            raise InvalidSpec("a set of ranges is empty", "give it a range, or take it out", where=where)
    if not sets:
        raise InvalidSpec("missing; expected a subnet or ranges", where=fields.where_of("subnet"))
    return tuple(sets)


def _static(value: object, where: str) -> Assigned:
    fields = Fields(value, where)
    address, prefix = parse_prefixed(fields.text("address"), fields.where_of("address"))
    return Assigned(address, prefix, read_gateway(fields, "gateway", address.bits))


def read_route(fields: Fields) -> Route:
    """Read CNI's route object. Raises InvalidSpec with the place."""
    dst = Subnet.parse(fields.text("dst"), fields.where_of("dst"))
    more = tuple(
        (name, fields.integer_of(bits, name)) for name, bits in _ROUTE_NUMBERS.items() if fields.has(name)
    )
    return Route(dst, read_gateway(fields, "gw", dst.bits), more)


def read_gateway(fields: Fields, name: str, bits: int) -> Address | None:
    """An address of the same family, None for "" and null. Raises InvalidSpec with the place."""
    text = fields.text(name, "")
    if not text:
        return None
    gateway = Address.parse(text, fields.where_of(name))
    if gateway.bits != bits:
        family = "IPv4" if bits == V4_BITS else "IPv6"
        raise InvalidSpec(f"{gateway} is not an {family} address", where=fields.where_of(name))
    return gateway
