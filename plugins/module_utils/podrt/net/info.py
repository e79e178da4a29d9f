# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces that a pod has got, and the file that records them: net-info.json. Source: behaviours E7."""

from __future__ import annotations

import os

from ..errors import Corrupt, InvalidSpec
from ..fields import Fields, parse_json
from ..host.files import PRIVATE_FILE, write_new
from ..host.reading import read_bytes
from ..jsontext import dumps
from ..value import Value
from .ipam import NetDns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMAT = 1


class NetInfo(Value):
    """One interface of a pod.

    ip, mask and gateway: dotted; "" where there is no IPv4 address. ip6: ADDRESS/PREFIX each. plugin_path: the
    plugin's file, or its type when it is built in. host_if: the interface of the host that leads to the pod.
    addresses: all of both families; empty in records of releases before the guard, see guard.
    """

    net_name: str
    conf_path: str
    plugin_path: str
    if_name: str
    ip: str = ""
    mask: str = ""
    args: str = ""
    host_if: str = ""
    gateway: str = ""
    ip6: tuple[str, ...] = ()
    ip_masq: bool = False
    dns: NetDns = NetDns()
    addresses: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: object, where: str) -> NetInfo:
        """Read an element of net-info.json. Raises InvalidSpec with the place."""
        fields = Fields(value, where)
        return cls(
            fields.text("netName"),
            fields.text("netConf", ""),
            fields.text("pluginPath", ""),
            fields.text("ifName"),
            fields.text("ip", ""),
            fields.text("mask", ""),
            fields.text("args", ""),
            fields.text("hostIf", ""),
            fields.text("gateway", ""),
            fields.strings("ip6"),
            fields.boolean("ipMasq", False),
            NetDns.from_json(fields.raw("dns"), fields.where_of("dns")),
            fields.strings("addresses"),
        )

    def to_json(self) -> dict[str, object]:
        """An element of net-info.json: rkt's members, then ours."""
        return {
            "netName": self.net_name,
            "netConf": self.conf_path,
            "pluginPath": self.plugin_path,
            "ifName": self.if_name,
            "ip": self.ip,
            "args": self.args,
            "mask": self.mask,
            "hostIf": self.host_if,
            "gateway": self.gateway,
            "ip6": list(self.ip6),
            "ipMasq": self.ip_masq,
            "dns": self.dns.to_json(),
            "addresses": list(self.addresses),
        }


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
