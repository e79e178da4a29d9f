# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The nftables table of isolated networks as text."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import (
    Address,
    parse_prefixed,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.elements import Element
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.isolation import (
    ISOLATION,
    chains_of,
    isolation_of,
    isolation_removal,
    packed_key,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import NetInterface, NetResult
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import rules_of_record

MAC = "0a:5a:00:00:00:01"
TABLE = "bridge stagecraft_pods_isolation"


def joined(*texts: str, isolated: bool = True, mac: str = MAC) -> NetInfo:
    interfaces = (NetInterface("br0"), NetInterface("veth1"), NetInterface("eth0", mac, "/proc/1/ns/net"))
    ips = tuple(
        Assigned(*parse_prefixed(text), Address.parse("10.7.0.1" if "." in text else "fd00:7::1"))
        for text in texts
    )
    result = NetResult(interfaces, ips, (2,) * len(ips))
    return NetInfo("n", "", ("bridge",), "eth0", result, host_if="veth1", isolated=isolated)


BOTH = joined("10.7.0.2/24", "fd00:7::2/64")
OTHER = NetInfo("m", "", ("bridge",), "eth1", host_if="veth2")


def test_a_port_may_send_from_the_addresses_of_its_pod_alone() -> None:
    (chain,) = chains_of([BOTH, OTHER])
    found = [
        (element.container, " . ".join(element.key), element.value) for element in isolation_of("u1", [BOTH])
    ]
    assert found == [
        ("networks", "veth1", f"jump {chain.name}"),
        ("macs", f"veth1 . {MAC}", ""),
        ("pairs", f"veth1 . {MAC} . 10.7.0.2", ""),
        ("pairs6", f"veth1 . {MAC} . fd00:7::2", ""),
        ("targets", f"veth1 . {MAC} . 0xfd000007000000000000000000000002", ""),
        ("pairs6", f"veth1 . {MAC} . fe80::85a:ff:fe00:1", ""),
        ("targets", f"veth1 . {MAC} . 0xfe80000000000000085a00fffe000001", ""),
    ]


def test_of_its_subnets_a_pod_reaches_the_gateways_alone() -> None:
    (chain,) = chains_of([BOTH])
    assert chain.definition.splitlines() == [
        f"add chain {TABLE} {chain.name}",
        f"flush chain {TABLE} {chain.name}",
        f"add rule {TABLE} {chain.name} ip daddr 10.7.0.0/24 ip daddr != 10.7.0.1 drop",
        f"add rule {TABLE} {chain.name} ip6 daddr fd00:7::/64 ip6 daddr != fd00:7::1 drop",
        f"add rule {TABLE} {chain.name} goto checks",
    ]
    assert chain.name == "apart_10_7_0_0_24_by_10_7_0_1_and_fd00_7___64_by_fd00_7__1"
    assert chain != chains_of([joined("10.7.0.2/24")])[0]
    assert chain == chains_of([joined("10.7.0.9/24", "fd00:7::9/64")])[0]


@pytest.mark.finding("attack7-F1")
def test_what_comes_up_from_a_port_itself_is_dropped_for_isolated_networks_alone() -> None:
    def ports(info: NetInfo) -> list[Element]:
        found = rules_of_record("u1", [info], []).elements
        return [element for element in found if element.container == "ports"]

    assert ports(BOTH) == [Element("ports", ("veth1",), "", "u1")]
    assert ports(BOTH.replace(isolated=False)) == []


def test_the_table_is_made_for_isolated_networks_alone() -> None:
    isolated, plain = (rules_of_record("u1", [info], []) for info in (BOTH, BOTH.replace(isolated=False)))
    assert ISOLATION in isolated.everything
    assert TABLE not in plain.everything
    assert ISOLATION in plain.beside([isolated]).everything


def test_removal_takes_what_is_the_pods_and_chains_that_nobody_uses_any_more() -> None:
    mine, others = isolation_of("u1", [BOTH]), isolation_of("u2", [joined("10.8.0.2/24")])
    (chain,), (other,) = chains_of([BOTH]), chains_of([joined("10.8.0.2/24")])
    chains = ("early", "checks", chain.name, other.name)
    assert isolation_removal((*mine, *others), chains, "u1").splitlines() == [
        *(element.removal.strip() for element in mine),
        f"delete chain {TABLE} {chain.name}",
    ]
    assert isolation_removal(mine, chains, "u1") == f"delete table {TABLE}\n"
    assert isolation_removal((*mine, *others), (*chains, other.name), "u3") == ""


def test_keys_are_those_of_the_kernel() -> None:
    assert packed_key(Element("networks", ("veth1",), "", "u1")) == b"veth1".ljust(16, b"\0")
    keys = {element.container: packed_key(element) for element in isolation_of("u1", [BOTH])[:5]}
    assert {name: len(key) for name, key in keys.items()} == {
        "networks": 16,
        "macs": 24,
        "pairs": 28,
        "pairs6": 40,
        "targets": 40,
    }
    assert keys["pairs6"] == keys["targets"]
    with pytest.raises(ValueError, match="own"):
        packed_key(Element("own", ("veth1", "10.0.0.2"), "", "u1"))


@pytest.mark.parametrize(
    "damaged",
    [
        BOTH.replace(host_if='veth1 comment "" }'),
        joined("10.7.0.2/24", mac="0a:5a"),
        joined("10.7.0.2/24", mac=":" * 17),
        joined("10.7.0.2/24", mac='"}'),
    ],
    ids=["link", "short", "empty", "text"],
)
def test_a_damaged_record_smuggles_no_commands(damaged: NetInfo) -> None:
    with pytest.raises(InvalidSpec):
        isolation_of("u1", [damaged])
