# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of type flannel: each is another network, its delegate, with the subnet that flannel has got for this host.

The delegate takes its place before anything is planned, and is what the record of a pod has, so that the file of the
subnet is not needed any more to take the pod out. Source: behaviours E19; flannel-io/cni-plugin.
"""

from __future__ import annotations

from ..errors import HostFailure, InvalidSpec, NotFound
from ..fields import Fields, canonical_json, fold, parse_json
from ..host.reading import decimal, read_trusted
from ..value import Value
from .addresses import Subnet, parse_prefixed
from .conf import NetConf
from .kinds import FLANNEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conf import ChosenNet

_FILE = "/run/flannel/subnet.env"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class HostSubnet(Value):
    """What flannel says of this host: its subnets, those of all hosts, and the properties of networks."""

    subnets: tuple[Subnet, ...]
    networks: tuple[Subnet, ...]
    mtu: int
    ip_masq: bool

    @classmethod
    def parse(cls, text: str, path: str) -> HostSubnet:
        """Read the file of variables. Raises InvalidSpec naming it."""
        pairs = (line.strip().partition("=") for line in text.splitlines())
        held = {name: value.strip("\"'") for name, equals, value in pairs if equals}
        subnets = _subnets(held, ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"), path)
        networks = _subnets(held, ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"), path)
        mtu, masq = decimal(held.get("FLANNEL_MTU", "")), held.get("FLANNEL_IPMASQ", "")
        if not subnets or {each.bits for each in subnets} != {each.bits for each in networks}:
            raise _incomplete(path, "FLANNEL_SUBNET and FLANNEL_NETWORK")
        if mtu is None:
            raise _incomplete(path, "FLANNEL_MTU")
        if masq not in (*_TRUE, *_FALSE):
            raise _incomplete(path, "FLANNEL_IPMASQ")
        return cls(subnets, networks, mtu, masq in _TRUE)


def delegated(net: ChosenNet) -> ChosenNet:
    """The network that one of type flannel stands for. Raises NotFound, InvalidSpec, HostFailure."""
    path = _main(net.conf).text("subnetFile", _FILE)
    try:
        text = read_trusted(path).decode(errors="replace")
    except FileNotFoundError as err:
        facts = {"where": net.where} if net.where else {}
        raise NotFound(
            f'network "{net.conf.name}" needs {path}, which flannel has not written',
            "is flanneld running?",
            path=path,
            **facts,
        ) from err
    except OSError as err:
        raise HostFailure.of(f"cannot read {path}", err) from err
    try:
        return net.replace(conf=delegate_of(net.conf, HostSubnet.parse(text, path)))
    except InvalidSpec as err:
        raise (err.at(net.where) if net.where else err) from err


def delegate_of(conf: NetConf, host: HostSubnet) -> NetConf:
    """The network that one of type flannel stands for, by what flannel says of the host. Pure. Raises InvalidSpec."""
    main = _main(conf)
    members = _members(main, host)
    if not conf.is_list:
        whole = {**members, "name": conf.name, "cniVersion": conf.cni_version}
    else:
        held = parse_json(conf.raw.encode(), conf.file_name)
        others = [value for value, _where in Fields(held, conf.file_name).items("plugins")][1:]
        outer = {name: value for name, value in _object(held).items() if fold(name) != "plugins"}
        whole = {**outer, "plugins": [members, *others]}
    return NetConf.parse(canonical_json(whole), conf.file_name, conf.directory)


def _main(conf: NetConf) -> Fields:
    """The members of its first plugin."""
    where = f"{conf.directory}/{conf.file_name}" if conf.directory else conf.file_name
    fields = Fields(parse_json(conf.raw.encode(), where), where)
    return next(iter(fields.each("plugins"))) if conf.is_list else fields


def _members(main: Fields, host: HostSubnet) -> dict[str, object]:
    """Those of the delegate, with what it lacks."""
    given = main.raw("delegate")
    fields = main.within("delegate") if given is not None else Fields({}, main.where)
    kind = fields.text("type", "bridge")
    if kind == FLANNEL:
        raise InvalidSpec("flannel cannot be its own delegate", where=fields.where_of("type"))
    ranges = [[{"subnet": str(subnet)}] for subnet in host.subnets]
    lacking: dict[str, object] = {
        "type": kind,
        "ipMasq": not host.ip_masq,
        "mtu": host.mtu,
        **({"isGateway": True} if kind == "bridge" else {}),
        **({"capabilities": main.raw("capabilities")} if main.has("capabilities") else {}),
        "ipam": {
            "type": "host-local",
            "ranges": ranges,
            "routes": [{"dst": str(network)} for network in host.networks],
        },
    }
    held = _object(given)
    known = {fold(name) for name in held}
    return {**{name: value for name, value in lacking.items() if fold(name) not in known}, **held}


def _object(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _subnets(held: dict[str, str], names: tuple[str, ...], path: str) -> tuple[Subnet, ...]:
    """Subnets, which flannel writes with the address of a host in them."""
    found = [
        parse_prefixed(text.strip(), path) for name in names for text in held.get(name, "").split(",") if text
    ]
    return tuple(Subnet.around(address, prefix) for address, prefix in found)


def _incomplete(path: str, what: str) -> InvalidSpec:
    return InvalidSpec(
        f"{path} says no {what}", "flanneld writes it: is it running, and up to date?", where=path
    )
