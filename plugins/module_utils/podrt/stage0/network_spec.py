# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The definition of a network as tasks ask for it, and the configuration of CNI that it makes. Pure."""

from __future__ import annotations

from ..errors import InvalidSpec
from ..fields import Fields, canonical_json, fold, parse_json
from ..net.addresses import V4_BITS, V6_BITS, Address, Route, Subnet, parse_prefixed
from ..net.conf import ALONE, NetConf
from ..net.ipam import NetDns, read_gateway
from ..net.kinds import FIREWALL
from ..net.requests import ALL, HOST, NONE
from .network_kinds import (
    CHOSEN,
    KINDS,
    OF_SOME,
    WRITTEN,
    NetworkSpec,
    SubnetSpec,
    kind_of,
    may_choose_subnets,
    options_of_type,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Members = dict[str, object]

# The member that says that a task has written a configuration.
MADE_BY, BY_TASK = "stagecraft.pods/made-by", "pod_network"
AUTO = {"auto": V4_BITS, "auto6": V6_BITS}
# The options that are members of the configuration under other or the same names.
_OPTION_OF = {
    **{name: name for name in ("bridge", "master", "mode", "device", "owner", "group")},
    "vlanId": "vlan_id",
    "subnetFile": "subnet_file",
}
# How the place of a member begins in a configuration that is a list of plugins.
_IN_CHAIN = ".plugins["
# A file 50-NAME.conf, and what is written beside it before it takes its place, have 255 characters at most.
_LONGEST_NAME = 200
# The plugin that lets pods through firewalls of others.
_OPENING = canonical_json({"type": FIREWALL}).decode()
_LEAST_MTU, _LEAST_MTU6, _MOST_MTU = 68, 1280, 65535
# Source: RFC 6890; multicast, loopback and link-local addresses lead to no other host.
_USELESS = tuple(
    Subnet.parse(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8")
)


def network_name(options: Fields) -> str:
    """The name of a network. Raises InvalidSpec."""
    name = options.text("name")
    if name in (ALL, HOST, NONE):
        raise InvalidSpec(
            f'"{name}" cannot be the name of a network', "pods ask by it for something else", where="name"
        )
    conf = NetConf.read(canonical_json({"name": name, "type": "-"}), "")
    if conf.flaw is not None and not conf.name:
        raise conf.flaw.at("name")
    if len(name) > _LONGEST_NAME:
        raise InvalidSpec(
            f"{len(name)} characters are too long", f"use at most {_LONGEST_NAME}", where="name"
        )
    return name


def read_network_spec(options: Fields) -> NetworkSpec:
    """The definition of a task. Raises InvalidSpec naming the option."""
    kind, internal = options.text("type", "bridge"), options.boolean("internal", False)
    _check_taken(options, kind)
    more, gateway = _conf(options), options.boolean("gateway", True)
    leads_out = gateway and not internal
    spec = NetworkSpec(
        network_name(options),
        kind,
        _subnets(options, more, kind),
        tuple(_route(fields) for fields in options.each("routes")),
        _dns(options),
        options.text("bridge", ""),
        options.integer("mtu", 0),
        options.boolean("ip_masq", leads_out),
        options.boolean("hairpin", False),
        options.boolean("isolated", False),
        options.boolean("default_route", leads_out and kind_of(kind).leads_out),
        canonical_json(more).decode(),
        _plugins(options),
        options.text("master", ""),
        options.text("mode", ""),
        options.optional_integer("vlan_id"),
        gateway,
        options.text("device", ""),
        options.optional_integer("owner"),
        options.optional_integer("group"),
        options.boolean("multi_queue", False),
        options.text("subnet_file", ""),
    )
    if internal:
        _check_internal(spec, options)
    if not gateway:
        _check_no_gateway(spec, options)
    if not spec.subnets:
        _check_no_subnets(spec, more)
    _check_mtu(spec)
    return spec


def conf_of(
    spec: NetworkSpec, subnets: Sequence[Subnet], *, marked: bool = True, chain: bool = False
) -> bytes:
    """The configuration as it is written. subnets: one for each that the definition asks for.

    marked: whether it says that a task has made it. chain: whether it is a list of plugins, if there is only one.
    Raises InvalidSpec naming the option.
    """
    chain = chain or bool(spec.plugins)
    head: Members = {
        # Of 1.0.0 and later there are only lists.
        "cniVersion": "1.0.0" if chain else "0.4.0",
        "name": spec.name,
        **({MADE_BY: BY_TASK} if marked else {}),
    }
    main = _main_plugin(spec, subnets)
    if not chain:
        return canonical_json({**head, **main})
    plugins = [main, *(parse_json(each.encode(), "") for each in spec.plugins)]
    return canonical_json({**head, ALONE: True, "plugins": plugins})


def _main_plugin(spec: NetworkSpec, subnets: Sequence[Subnet]) -> Members:
    members: Members = {
        "type": spec.type,
        **kind_of(spec.type).members(spec),
        **({"ipam": _ipam(spec, subnets)} if subnets else {}),
        **({"dns": spec.dns.to_json()} if spec.dns.to_json() else {}),
    }
    more = parse_json(spec.more.encode(), "conf")
    return _merged(members, more if isinstance(more, dict) else {}, "conf")


def check_conf(raw: bytes, file_name: str, spec: NetworkSpec) -> NetConf:
    """The network of a configuration that a definition makes. Raises InvalidSpec naming the option and its member."""
    conf = NetConf.read(raw, file_name)
    if conf.flaw is not None:
        raise conf.flaw.at(_place_in_task(conf.flaw.where[len(file_name) :], spec))
    return conf


def _place_in_task(place: str, spec: NetworkSpec) -> str:
    """The option of a task that says what is at a place of the configuration, such as .plugins[2].mtu."""
    if place.startswith(_IN_CHAIN):
        number, _bracket, place = place[len(_IN_CHAIN) :].partition("]")
        if number != "0":
            return f"plugins[{int(number) - 1}]{place}"
    member = place[1:]
    if member in _OPTION_OF and not Fields(parse_json(spec.more.encode(), "conf"), "conf").has(member):
        return _OPTION_OF[member]
    return f"conf{place}"


def made_by_task(raw: bytes) -> bool:
    """Whether a configuration says that a task has made it."""
    try:
        members = parse_json(raw, "")
    except InvalidSpec:
        return False
    return isinstance(members, dict) and members.get(MADE_BY) == BY_TASK


def _check_taken(options: Fields, kind: str) -> None:
    """Raise InvalidSpec for an option that the type does not take."""
    taken = options_of_type(kind)
    for name in OF_SOME:
        if name in taken or not options.has(name) or options.raw(name) is False or options.raw(name) == []:
            continue
        able = [each for each, row in KINDS.items() if name in row.options]
        raise InvalidSpec(
            f"networks of type {kind} do not take {name}",
            f"only those of type {', '.join(able)} do"
            if kind in KINDS
            else "write what its program takes into conf",
            where=name,
        )


def _plugins(options: Fields) -> tuple[str, ...]:
    """The plugins that follow in the chain; open_firewalls is one of them."""
    given = tuple(_plugin(*item) for item in options.items("plugins"))
    opening = (_OPENING,) if options.boolean("open_firewalls", False) else ()
    if opening and any(fields.text("type") == FIREWALL for fields in options.each("plugins")):
        raise InvalidSpec("a plugin says that already", "take one or the other out", where="open_firewalls")
    return given + opening


def _plugin(value: object, where: str) -> str:
    """A plugin of the chain as it is. Raises InvalidSpec for one without a type."""
    Fields(value, where).text("type")
    return canonical_json(value if isinstance(value, dict) else {}).decode()


def _conf(options: Fields) -> Members:
    value = options.raw("conf")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSpec("expected an object", "write {member: value}", where="conf")
    for name in value:
        if fold(str(name)) in ("cniversion", "name", "type", fold(MADE_BY)):
            raise InvalidSpec(
                "the task decides this member", "take it out, and see the other options", where=f"conf.{name}"
            )
    return value


def _merged(members: Members, more: Members, where: str) -> Members:
    """Members with raw ones, which add to them, and to objects in them."""
    merged = dict(members)
    held = {fold(name): name for name in members}
    for name, value in more.items():
        own, place = held.get(fold(name)), f"{where}.{name}"
        before = members[own] if own else None
        if own is None:
            merged[name] = value
        elif isinstance(before, dict) and isinstance(value, dict):
            merged[own] = _merged(before, value, place)
        else:
            raise InvalidSpec(
                f"another option decides this member: {before!r}",
                "set that option, and take the member out",
                where=place,
            )
    return merged


def _subnets(options: Fields, more: Members, kind: str) -> tuple[SubnetSpec, ...]:
    has_ipam, source = _has_ipam(more), kind_of(kind).subnets
    if not options.has("subnets") and not has_ipam and source == CHOSEN:
        return (SubnetSpec(V4_BITS, where="subnets"),)
    found = tuple(_subnet(*item) for item in options.items("subnets"))
    if not found and not has_ipam and source in (CHOSEN, WRITTEN):
        raise InvalidSpec("a network needs a subnet", "write one, or give it conf.ipam", where="subnets")
    for each in found:
        if each.subnet is None and not may_choose_subnets(kind):
            raise InvalidSpec(
                f"a network of type {kind} has the subnet of other hosts", "write it out", where=each.where
            )
    known = [each.subnet for each in found if each.subnet]
    for at, subnet in enumerate(known):
        for other in known[:at]:
            if subnet.overlaps(other):
                raise InvalidSpec(f"{subnet} and {other} overlap", "take one out", where="subnets")
    return found


def _has_ipam(more: Members) -> bool:
    return "ipam" in {fold(name) for name in more}


def _subnet(element: object, where: str) -> SubnetSpec:
    value = {"short": element} if isinstance(element, str) else element
    fields = Fields(value, where)
    short = fields.text("short", "")
    text, place = (short, where) if short else (fields.text("subnet"), fields.where_of("subnet"))
    if text in AUTO:
        for name in ("range_start", "range_end", "gateway"):
            if fields.has(name):
                raise InvalidSpec(
                    "the subnet is not known yet", "write the subnet out", where=fields.where_of(name)
                )
        return SubnetSpec(AUTO[text], where=place)
    subnet = _exact(text, place)
    _check_useful(subnet, place)
    start, end, gateway = (_inside(fields, name, subnet) for name in ("range_start", "range_end", "gateway"))
    if start and end and start.number > end.number:
        raise InvalidSpec(f"{start} is above {end}", "change them over", where=fields.where_of("range_start"))
    lowest = Address(subnet.bits, subnet.number + 1)
    first = start or lowest
    if first == (end or subnet.last) == (gateway or lowest):
        raise InvalidSpec(
            f"the range has {first} alone, which is the gateway's",
            "make it larger, or choose another gateway",
            where=fields.where_of("range_end"),
        )
    return SubnetSpec(subnet.bits, subnet, start, end, gateway, place)


def _exact(text: str, where: str) -> Subnet:
    """A subnet that is written as such. Raises InvalidSpec."""
    address, prefix = parse_prefixed(text, where)
    subnet = Subnet.around(address, prefix)
    if subnet.base != address:
        raise InvalidSpec(
            f"{text} is an address in a subnet, not a subnet: it has host bits",
            f"write {subnet}",
            where=where,
        )
    return subnet


def _check_useful(subnet: Subnet, where: str) -> None:
    if subnet.bits - subnet.prefix < 2:
        raise InvalidSpec(
            f"{subnet} is too small: it needs room for a gateway and a pod",
            "use a shorter prefix",
            where=where,
        )
    for useless in _USELESS:
        if subnet.overlaps(useless):
            raise InvalidSpec(
                f"{subnet} cannot be the subnet of a network: {useless} is for something else",
                "use a private one, such as 10.78.0.0/24 or fd00:78::/64",
                where=where,
            )


def _inside(fields: Fields, name: str, subnet: Subnet) -> Address | None:
    text = fields.text(name, "")
    if not text:
        return None
    where = fields.where_of(name)
    address = Address.parse(text, where)
    if not subnet.holds(address):
        raise InvalidSpec(f"{address} is not in {subnet}", "choose an address of the subnet", where=where)
    if subnet.means_all(address):
        raise InvalidSpec(
            f"{address} means all of {subnet}", "choose another address of the subnet", where=where
        )
    return address


def _route(fields: Fields) -> Route:
    dst = _exact(fields.text("dst"), fields.where_of("dst"))
    return Route(dst, read_gateway(fields, "gw", dst.bits))


def _dns(options: Fields) -> NetDns:
    dns = NetDns.from_json(options.raw("dns"), "dns")
    for at, server in enumerate(dns.nameservers):
        Address.parse(server, f"dns.nameservers[{at}]")
    return dns


def _check_internal(spec: NetworkSpec, options: Fields) -> None:
    for name, refused in (
        ("ip_masq", spec.ip_masq),
        ("default_route", spec.default_route),
        ("routes", bool(spec.routes)),
        ("open_firewalls", options.boolean("open_firewalls", False)),
    ):
        if refused:
            raise InvalidSpec("an internal network has no way out", "take one or the other out", where=name)


def _check_no_gateway(spec: NetworkSpec, options: Fields) -> None:
    """Raise InvalidSpec for what the host would do as the gateway."""
    for name, refused in (
        ("ip_masq", spec.ip_masq),
        ("open_firewalls", options.boolean("open_firewalls", False)),
    ):
        if refused:
            raise InvalidSpec(
                "the host is no gateway of the network, and forwards nothing for it",
                "take it out, or gateway",
                where=name,
            )
    for each in spec.subnets if spec.default_route else ():
        if each.gateway is None:
            raise InvalidSpec(
                "the host is no gateway of the network, so the default route leads nowhere",
                "write the gateway that is there, {subnet: ..., gateway: ...}, or take default_route out",
                where=each.where,
            )


def _check_no_subnets(spec: NetworkSpec, more: Members) -> None:
    """Raise InvalidSpec for routes that would get lost, since they go with the subnets."""
    if spec.routes or (spec.default_route and not _has_ipam(more)):
        raise InvalidSpec(
            "the network has no subnets that a route could lead by",
            "add subnets, or write the routes into conf.ipam",
            where="routes" if spec.routes else "default_route",
        )


def _check_mtu(spec: NetworkSpec) -> None:
    least = _LEAST_MTU6 if any(each.bits == V6_BITS for each in spec.subnets) else _LEAST_MTU
    if spec.mtu and not least <= spec.mtu <= _MOST_MTU:
        raise InvalidSpec(
            f"{spec.mtu} is out of range",
            f"use {least} to {_MOST_MTU}" + (", which IPv6 needs" if least > _LEAST_MTU else ""),
            where="mtu",
        )


def _ipam(spec: NetworkSpec, subnets: Sequence[Subnet]) -> Members:
    routes = [_route_member(route, at, subnets) for at, route in enumerate(spec.routes)]
    if spec.default_route and not spec.routes_by_bridge:
        families = dict.fromkeys(subnet.bits for subnet in subnets)
        routes += [{"dst": str(Subnet(bits, 0, 0))} for bits in families]
    return {
        "type": "host-local",
        "ranges": [[_range(each, subnet)] for each, subnet in zip(spec.subnets, subnets)],
        **({"routes": routes} if routes else {}),
    }


def _range(each: SubnetSpec, subnet: Subnet) -> Members:
    members = {"rangeStart": each.start, "rangeEnd": each.end, "gateway": each.gateway}
    return {"subnet": str(subnet), **{name: str(value) for name, value in members.items() if value}}


def _route_member(route: Route, at: int, subnets: Sequence[Subnet]) -> Members:
    if not any(subnet.bits == route.dst.bits for subnet in subnets):
        raise InvalidSpec(
            f"the network has no subnet of the family of {route.dst}",
            "add one, or take the route out",
            where=f"routes[{at}].dst",
        )
    if route.gateway and not any(subnet.holds(route.gateway) for subnet in subnets):
        raise InvalidSpec(
            f"{route.gateway} is in no subnet of the network",
            "choose a gateway that pods reach",
            where=f"routes[{at}].gw",
        )
    return {"dst": str(route.dst), **({"gw": str(route.gateway)} if route.gateway else {})}
