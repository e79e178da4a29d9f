# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that a pod has got, and the file that records them: net-info.json. Source: behaviours E7."""

from __future__ import annotations

import _socket
import os

from ..contexts import suppress
from ..errors import Corrupt, InvalidSpec
from ..fields import Fields, parse_json
from ..host.files import PRIVATE_FILE, write_new
from ..host.reading import read_bytes
from ..jsontext import dumps
from ..value import Value
from .addresses import Address, parse_prefixed
from .conf import NetConf
from .ipam import NetDns
from .netargs import NetArgs, pairs_of
from .place import Place
from .ranges import Assigned
from .result import NetResult, result_of_addresses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMAT = 1
# The families of nftables that a pod has rules in.
_RULES = ("ip", "ip6")
_LIMIT, _LIMIT_IN_BITS = "byteLimit", "limit"  # releases before 0.12.0 write the latter


class HeldPorts(Value):
    """Ports of the host that a pod holds in our tables, so many from both numbers upwards. host_ip "": all of it."""

    protocol: str
    host_ip: str
    host_port: int
    pod_port: int
    count: int = 1

    @classmethod
    def from_json(cls, fields: Fields) -> HeldPorts:
        """Read an element of forwards. Raises InvalidSpec with the place."""
        return cls(
            fields.text("protocol"),
            fields.text("hostIP", ""),
            fields.integer_of(16, "hostPort", least=1),
            fields.integer_of(16, "port", least=1),
            fields.integer_of(16, "count", 1, least=1),
        )

    def to_json(self) -> dict[str, object]:
        """An element of forwards."""
        address = {"hostIP": self.host_ip} if self.host_ip else {}
        numbers = {"hostPort": self.host_port, "port": self.pod_port, "count": self.count}
        return {"protocol": self.protocol, **address, **numbers}


class NetInfo(Value):
    """One interface of a pod.

    conf_path: the copy of its configuration. plugins: the program of each plugin, or its type when it is built in.
    host_if: the interface of the host that leads to the pod, "" where that is not known. publisher: who publishes the
    pod's host ports, if they lead here, see network_plan; earlier releases do not record it.
    guarded: whether the pod's release records all addresses, see guard. ipam: the program that has given them, "" for
    what is built in. rules6: whether the pod's release makes nftables rules for IPv6 as well.
    forwards: the ports of the host that lead here in our tables, None where that is not recorded.
    isolated: whether it keeps the pod from the others of the network, see isolation.
    limit: of its rates by isolators, see rates; -1 of releases that do not limit them. limit_in_bits: whether its
    release takes the limits of isolators as bits, not as bytes. masq_all: whether clients of its
    host ports are masqueraded, whatever their address.
    """

    net_name: str
    conf_path: str
    plugins: tuple[str, ...]
    if_name: str
    result: NetResult = NetResult()
    args: str = ""
    host_if: str = ""
    ip_masq: bool = False
    publisher: str = ""
    guarded: bool = True
    ipam: str = ""
    rules6: bool = True
    forwards: tuple[HeldPorts, ...] | None = None
    isolated: bool = False
    limit: int = 0
    masq_all: bool = False
    limit_in_bits: bool = False

    @classmethod
    def from_json(cls, value: object, where: str) -> NetInfo:
        """Read an element of net-info.json. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        result = fields.raw("result")
        return cls(
            fields.text("netName"),
            fields.text("netConf", ""),
            fields.strings("plugins") or (fields.text("pluginPath", ""),),
            fields.text("ifName"),
            _old_result(fields) if result is None else NetResult.from_json(result, fields.where_of("result")),
            fields.text("args", ""),
            fields.text("hostIf", ""),
            fields.boolean("ipMasq", False),
            fields.text("publisher", ""),
            bool(fields.strings("addresses")),
            fields.text("ipam", ""),
            _RULES[1] in fields.strings("rules"),
            tuple(map(HeldPorts.from_json, fields.each("forwards"))) if fields.has("forwards") else None,
            fields.boolean("isolated", False),
            fields.integer(_LIMIT, fields.integer(_LIMIT_IN_BITS, -1)),
            fields.boolean("masqAll", False),
            fields.has(_LIMIT_IN_BITS),
        )

    def to_json(self) -> dict[str, object]:
        """An element of net-info.json: rkt's members, then those of earlier releases, then ours."""
        first = self.result.first_v4
        held = {} if self.forwards is None else {"forwards": [each.to_json() for each in self.forwards]}
        return {
            **held,
            "netName": self.net_name,
            "netConf": self.conf_path,
            "pluginPath": self.plugins[0],
            "ifName": self.if_name,
            "ip": self.ip,
            "args": self.args,
            "mask": str(first.subnet.mask) if first else "",
            "hostIf": self.host_if,
            "gateway": self.gateway,
            "ip6": list(self.ip6),
            "ipMasq": self.ip_masq,
            "dns": self.result.dns.to_json(),
            "addresses": [str(each.address) for each in self.result.addresses],
            "plugins": list(self.plugins),
            "ipam": self.ipam,
            "publisher": self.publisher,
            "rules": list(_RULES if self.rules6 else _RULES[:1]),
            "isolated": self.isolated,
            (_LIMIT_IN_BITS if self.limit_in_bits else _LIMIT): self.limit,
            "masqAll": self.masq_all,
            "result": self.result.to_json(),
        }

    def place(self, uuid: str, index: int) -> Place:
        """The place of a pod there, as it was when it joined."""
        args = NetArgs()
        with suppress(InvalidSpec):
            args = NetArgs.of(pairs_of(self.args), self.net_name, strict=False)
        return Place(uuid, index, self.result, args)

    @property
    def ip(self) -> str:
        """The first IPv4 address, "" without one."""
        first = self.result.first_v4
        return str(first.address) if first else ""

    @property
    def gateway(self) -> str:
        """That of this address, "" without one: the host's side."""
        first = self.result.first_v4
        return str(first.gateway) if first and first.gateway else ""

    @property
    def ip6(self) -> tuple[str, ...]:
        """The IPv6 addresses, ADDRESS/PREFIX each."""
        return tuple(f"{each.address}/{each.prefix}" for each in self.result.addresses if not each.is_v4)

    @property
    def is_built_in(self) -> bool:
        """Whether its interface was made without a program."""
        return "/" not in self.plugins[0]

    @property
    def gateway_link(self) -> str:
        """The interface of the host that leads to the pod, or to its bridge; "" for none, and of earlier releases."""
        return next((each.name for each in self.result.interfaces if not each.sandbox), "")


def _old_result(fields: Fields) -> NetResult:
    """The result of a record of an earlier release. Raises InvalidSpec with the place."""
    ips = []
    if fields.text("ip", ""):
        mask = Address.parse(fields.text("mask"), fields.where_of("mask"))
        gateway = fields.text("gateway", "")
        ips.append(
            Assigned(
                Address.parse(fields.text("ip"), fields.where_of("ip")),
                bin(mask.number).count("1"),
                Address.parse(gateway, fields.where_of("gateway")) if gateway else None,
            )
        )
    for text in fields.strings("ip6"):
        ips.append(Assigned(*parse_prefixed(text, fields.where_of("ip6"))))
    dns = NetDns.from_json(fields.raw("dns"), fields.where_of("dns"))
    return result_of_addresses(tuple(ips)).replace(dns=dns)


def read_copy(conf_dir: str, info: NetInfo) -> NetConf:
    """The configuration that an interface of a pod was made from. Raises Corrupt, InvalidSpec, FileNotFoundError."""
    conf = read_conf(conf_dir, os.path.basename(info.conf_path))
    programs = [name if "/" in name else "" for name in info.plugins]
    pairs = zip(conf.plugins, [*programs, *[""] * len(conf.plugins)])
    plugins = [plugin.replace(program=program) for plugin, program in pairs]
    return conf.replace(
        plugins=(*(each.replace(ipam_program=info.ipam) for each in plugins[:1]), *plugins[1:])
    )


def read_conf(conf_dir: str, name: str) -> NetConf:
    """A copy of a configuration. Raises Corrupt, InvalidSpec, FileNotFoundError."""
    raw = read_bytes(f"{conf_dir}/{name}", beneath=os.path.dirname(conf_dir))
    return NetConf.read(raw, name, conf_dir)


def host_side(infos: Sequence[NetInfo]) -> str:
    """The address of the host in the network that host ports would lead to, "" if it has none in any network.

    That is the first network with ipMasq, else the last, of those whose gateway is an address of the host and not of a
    router elsewhere; by IPv4 if it can be. Source: behaviours E22, F5.
    """
    sides = [(_host_gateway(info), info.ip_masq) for info in infos]
    found = [(gateway, masked) for gateway, masked in sides if gateway]
    return next((gateway for gateway, masked in found if masked), found[-1][0] if found else "")


def _host_gateway(info: NetInfo) -> str:
    """The first gateway of an interface that is an address of the host, "" without one."""
    ordered = sorted(info.result.addresses, key=lambda assigned: not assigned.is_v4)
    gateways = (str(assigned.gateway) for assigned in ordered if assigned.gateway)
    return next((gateway for gateway in gateways if is_here(gateway)), "")


def is_here(address: str) -> bool:
    """Whether an address is one of this network namespace."""
    tried = _socket.socket(_socket.AF_INET6 if ":" in address else _socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        tried.bind((address, 0))
    except OSError:
        return False
    finally:
        tried.close()
    return True


def read_net_info(path: str) -> tuple[NetInfo, ...]:
    """The interfaces of a pod; none when the file is absent. Raises Corrupt, OSError."""
    records = read_records(path)
    try:
        return tuple(NetInfo.from_json(record, f"{path}[{at}]") for at, record in enumerate(records))
    except InvalidSpec as err:
        raise _damaged(path, err.message) from err


def read_records(path: str, *, beneath: str = "") -> tuple[dict[str, object], ...]:
    """The same as they are written, with what later releases add. beneath: see read_bytes. Raises Corrupt, OSError."""
    try:
        value = parse_json(read_bytes(path, beneath=beneath), path)
        if isinstance(value, dict):  # as a later format may write it
            Fields(value, path).check_format(_FORMAT)
    except FileNotFoundError:
        return ()
    except InvalidSpec as err:
        raise _damaged(path, err.message) from err
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise _damaged(path, f"{path} is not a list of objects")
    return tuple(value)


def _damaged(path: str, why: str) -> Corrupt:
    return Corrupt(f"cannot read the networks of the pod: {why}", path=path)


def write_net_info(path: str, infos: Sequence[NetInfo]) -> None:
    """Replace the file atomically. Not synced: a power cut takes the interfaces with it."""
    aside = f"{path}.tmp"
    write_new(aside, dumps([info.to_json() for info in infos]).encode() + b"\n", PRIVATE_FILE)
    os.rename(aside, path)
