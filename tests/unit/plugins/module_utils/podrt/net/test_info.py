# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""net-info.json."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import (
    Address,
    Route,
    Subnet,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import (
    NetInfo,
    read_net_info,
    write_net_info,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ipam import NetDns
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import NetInterface, NetResult

INFO = NetInfo(
    "default",
    "/x/99-default.conf",
    ("ptp", "/usr/lib/cni/tuning"),
    "eth0",
    NetResult(
        (NetInterface("veth0"), NetInterface("eth0", "0a:5a:00:00:00:01", "/proc/7/ns/net")),
        (
            Assigned(Address.parse("172.16.28.2"), 24, Address.parse("172.16.28.1")),
            Assigned(Address.parse("fd00::2"), 64),
        ),
        (1, 1),
        (Route(Subnet.parse("0.0.0.0/0"), None, (("priority", 7),)),),
        NetDns(("10.0.0.1",), options=("ndots:1",)),
    ),
    "IP=172.16.28.2",
    "veth0",
    True,
    "nftables",
)


def test_what_is_written_reads_back(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "net-info.json")
    other = NetInfo("b", "", ("bridge",), "eth1", guarded=False)
    write_net_info(path, [INFO, other])
    assert read_net_info(path) == (INFO, other)
    assert [file.name for file in tmp_path.iterdir()] == ["net-info.json"]


@pytest.mark.behaviour("E7")
def test_members_are_named_as_in_the_reference(tmp_path: pathlib.Path) -> None:
    write_net_info(str(tmp_path / "net-info.json"), [INFO])
    (found,) = json.loads((tmp_path / "net-info.json").read_text())
    wanted = ("netName", "netConf", "pluginPath", "ifName", "ip", "args", "mask")
    assert [found[name] for name in wanted] == [
        "default",
        "/x/99-default.conf",
        "ptp",
        "eth0",
        "172.16.28.2",
        "IP=172.16.28.2",
        "255.255.255.0",
    ]


def test_no_file_is_no_network(tmp_path: pathlib.Path) -> None:
    assert read_net_info(str(tmp_path / "net-info.json")) == ()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", '[{"netName": "a"}]'),
        '[{"netName": "a", "ifName": "eth0", "ip": "10.0.0.2 }", "mask": "255.255.255.0"}]',
        '[{"netName": "a", "ifName": "eth0", "result": {"ips": [{"address": "10.0.0.2 }"}]}}]',
        # of which a list would be made
        '[{"netName": "a", "ifName": "eth0", "forwards": '
        '[{"protocol": "tcp", "hostPort": 1, "port": 1, "count": 9999999999}]}]',
    ],
)
def test_a_broken_file_is_corrupt(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "net-info.json").write_text(text)
    with pytest.raises(Corrupt):
        read_net_info(str(tmp_path / "net-info.json"))
