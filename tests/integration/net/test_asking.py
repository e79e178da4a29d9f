# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The kernel answers our own netlink messages as it answers nft and ip."""

from __future__ import annotations

import json
import pathlib
import sys

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Subnet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.elements import GUARD_TABLE
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.foreign import foreign_drops
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.nfsocket import NetfilterSocket
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtmsg import dump_routes
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtsocket import RouteSocket
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import SKELETON
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import NetLab, in_own_network, ip, nft

BOTH = (Subnet.parse("10.7.0.0/24"), Subnet.parse("fd00:7::/64"))
RULESET = """
table ip filter {
    chain FORWARD { type filter hook forward priority 0; policy drop; }
    chain INPUT { type filter hook input priority 0; policy drop; }
    chain DOCKER { }
}
table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }
table inet firewalld {
    chain filter_FORWARD { type filter hook forward priority 10; policy accept; }
    chain ours { type filter hook forward priority 20; policy drop; }
}
table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; policy accept; }; }
"""
LINKS = """link add one type veth peer name two
addr add 10.1.0.1/24 dev one
addr add 10.2.0.1/32 dev one
addr add fd00:1::1/64 dev one nodad
addr add 10.3.0.1/24 dev two
link set one up
link set two up
route add 10.9.0.0/16 via 10.1.0.9 dev one
route add 10.8.0.0/16 dev two
-6 route add fd00:9::/32 dev one"""


@in_own_network
def test_chains_are_those_that_nft_lists() -> None:
    nft("-f", "-", stdin=RULESET + SKELETON)
    listed = [
        held["chain"] for held in json.loads(nft("-j", "list", "chains"))["nftables"] if "chain" in held
    ]
    wanted = {
        (chain["family"], chain["table"], chain["name"]): (chain.get("hook"), chain.get("policy"))
        == ("forward", "drop")
        for chain in listed
    }
    with NetfilterSocket() as netfilter:
        found = {
            (chain.family, chain.table, chain.name): chain.drops_forwarded for chain in netfilter.chains()
        }
    assert found == wanted
    assert [sentence.split(" drops")[0] for sentence in foreign_drops(BOTH)] == [
        f"the nftables chain {chain}"
        for chain in (
            "ip filter FORWARD",
            "ip6 filter FORWARD",
            "inet firewalld filter_FORWARD",  # which rejects what its rules do not accept
            "inet firewalld ours",
        )
    ]


@in_own_network
def test_the_table_is_there_as_long_as_it_is() -> None:
    for commands, there in (
        ("", False),
        (RULESET, False),
        (SKELETON, True),
        (f"delete table {GUARD_TABLE}", False),
    ):
        nft("-f", "-", stdin=commands)
        with NetfilterSocket() as netfilter:
            assert netfilter.has_guard() == there


@in_own_network
def test_what_is_asked_of_one_interface_is_what_all_have_of_it() -> None:
    for line in LINKS.splitlines():
        ip(*line.split())
    with RouteSocket() as host:
        links = [link for link in host.links() if link.name in ("one", "two")]
        all_addresses, all_routes = list(host.addresses()), list(host.routes())
        for link in links:
            addresses = [found for found in all_addresses if found[0] == link.index]
            routes = [found for found in all_routes if found[0] == link.index]
            assert len(addresses) > 1
            assert len(routes) > 2
            assert sorted(host.addresses(link.index), key=str) == sorted(addresses, key=str)
            assert sorted(host.routes(link.index), key=str) == sorted(routes, key=str)


@in_own_network
def test_the_kernel_leaves_out_what_is_of_other_interfaces() -> None:
    for line in LINKS.splitlines():
        ip(*line.split())
    with RouteSocket() as host:
        index = host.index("two")
        of_one = list(host.routes(index))
        assert len(host.ask(dump_routes(index))) == len(of_one)
        assert len(host.ask(dump_routes())) > len(of_one)


@in_own_network
def test_joining_runs_one_program_also_where_the_table_is_still_to_be_made(tmp_path: pathlib.Path) -> None:
    lab, said, started = NetLab(tmp_path), [], []  # type: ignore[var-annotated]

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.posix_spawn":
            started.append(arguments[0])

    sys.addaudithook(count)
    for number in (1, 2):
        lab.pod().attach(report=said.append)
        assert len(started) == number, started
    assert said == []
