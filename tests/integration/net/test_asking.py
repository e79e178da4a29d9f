# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The kernel answers our own netlink messages as it answers nft and ip."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host import programs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import (
    Address,
    Subnet,
    parse_prefixed,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import choose, load_confs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.elements import (
    FORWARDED,
    GUARD_TABLE,
    SOURCES,
    TABLE,
    Element,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.firewall import begin_tables
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.foreign import foreign_drops
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.neighbours import ALONE
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import network_plan
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.nfsocket import NetfilterSocket
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import NetInterface, NetResult
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtmsg import dump_routes
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtsocket import RouteSocket
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import (
    SKELETON,
    SKELETON6,
    PortForward,
    rules_of_record,
)
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


def _joined(plugin: str, link: str, addresses: tuple[str, ...], *, isolated: bool = False) -> NetInfo:
    interfaces = (
        NetInterface("br0"),
        NetInterface(link),
        NetInterface("eth0", "0a:5a:00:00:00:01", "/proc/1/ns/net"),
    )
    gateways = {True: Address.parse("10.7.0.1"), False: Address.parse("fd00:7::1")}
    ips = tuple(Assigned(*parse_prefixed(text), gateways["." in text]) for text in addresses)
    return NetInfo(
        *("n", "", (plugin,), "eth0", NetResult(interfaces, ips, (2,) * len(ips))),
        host_if=link,
        ip_masq=True,
        guarded=True,
        rules6=True,
        masq_all=True,
        publisher="nftables",
        isolated=isolated,
    )


# A pod with an element of each kind.
RULES = rules_of_record(
    "0f8e4c62-aaaa-4bbb-8ccc-000000000001",
    [
        _joined("ptp", "veth1", ("10.7.0.2/24", "fd00:7::2/64")),
        _joined("bridge", "veth2", ("10.7.0.3/24", "fd00:7::3/64"), isolated=True),
    ],
    [
        PortForward("tcp", None, 8080, 80),
        PortForward("udp", "127.0.0.1", 53, 5353),
        PortForward("sctp", "fd00:7::1", 36412, 36412),
    ],
)
# The tables without it.
EMPTY = SKELETON6 + RULES.replace(elements=()).everything


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
def test_elements_are_added_as_nft_adds_them() -> None:
    nft("-f", "-", stdin=EMPTY)
    empty = nft("list", "ruleset")
    nft("-f", "-", stdin=RULES.additions)
    wanted = nft("list", "ruleset")
    for container in {element.container for element in RULES.elements}:
        assert f" {container} {{" in wanted
    nft("-f", "-", stdin="flush ruleset\n" + EMPTY)
    with NetfilterSocket() as netfilter:
        for _again in range(2):
            netfilter.add(RULES.elements)
            assert nft("list", "ruleset") == wanted
        assert all(map(netfilter.has, RULES.elements))
    nft("-f", "-", stdin="".join(element.removal for element in RULES.elements))
    assert nft("list", "ruleset") == empty


@in_own_network
def test_elements_are_added_all_or_none() -> None:
    first, *others = RULES.elements
    with NetfilterSocket() as netfilter:
        with pytest.raises(FileNotFoundError):
            netfilter.add(RULES.elements)
        nft("-f", "-", stdin=EMPTY)
        before = nft("list", "ruleset")
        with pytest.raises(FileNotFoundError):
            netfilter.add((*others, first.replace(value="jump nowhere")))
        assert nft("list", "ruleset") == before
        taken = Element(SOURCES, ("10.7.0.2",), first.value.replace("masq", "net"), "other")
        nft("-f", "-", stdin=f"add chain {TABLE} {taken.value.split()[1]}\n{taken.addition}")
        before = nft("list", "ruleset")
        with pytest.raises(OSError, match="cannot add an element to ip stagecraft_pods sources"):
            netfilter.add((*others, first))
        assert nft("list", "ruleset") == before


@in_own_network
def test_a_transaction_that_is_refused_as_a_whole_is_an_error() -> None:
    nft("-f", "-", stdin=SKELETON)
    with NetfilterSocket() as netfilter:
        os.seteuid(65534)
        with pytest.raises(PermissionError, match="cannot change the nftables tables"):
            netfilter.add((Element(FORWARDED, ("10.7.0.2",), "", "u1"),))


@in_own_network
def test_of_more_ports_than_one_message_holds_nft_adds_all(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    forwards = tuple(PortForward("tcp", None, 20000 + number, 1000 + number) for number in range(3000))
    lab.pod().attach()
    lab.pod().attach("", *forwards)
    assert nft("list", "map", *TABLE.split(), "forwards").count("tcp") == len(forwards)


@in_own_network
def test_joining_runs_a_program_only_where_the_table_is_still_to_be_made(tmp_path: pathlib.Path) -> None:
    lab, said, started = NetLab(tmp_path), [], []  # type: ignore[var-annotated]

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.posix_spawn":
            started.append(arguments[0])

    sys.addaudithook(count)
    for _number in range(3):
        lab.pod().attach(report=said.append)
        assert len(started) == 1, started
    assert said == []


@in_own_network
def test_tables_that_were_begun_are_awaited_and_need_no_other_program(tmp_path: pathlib.Path) -> None:
    lab, started = NetLab(tmp_path), []  # type: ignore[var-annotated]

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.posix_spawn":
            started.append(arguments[0])

    sys.addaudithook(count)
    for number in range(2):
        pod = lab.pod()
        plan = network_plan(choose(load_confs(lab.paths.config_dirs), parse_requests("")), ())
        begun = begin_tables(lab.paths, plan.foundations, ALONE)
        assert (begun is None) == bool(number)
        pod.tables = begun
        pod.attach()
        assert len(started) == 1, started
        assert pod.uuid in nft("list", "ruleset")


@in_own_network
def test_tables_that_have_gone_since_they_were_begun_are_made_again(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    pod = lab.pod()
    plan = network_plan(choose(load_confs(lab.paths.config_dirs), parse_requests("")), ())
    begun = begin_tables(lab.paths, plan.foundations, ALONE)
    assert begun is not None
    lab.pod().attach().detach()  # which waits for the program
    assert nft("list", "ruleset") == ""
    pod.tables = begun
    pod.attach()
    assert pod.uuid in nft("list", "ruleset")
    pod.detach()
    assert nft("list", "ruleset") == ""


@in_own_network
def test_of_tables_that_cannot_be_begun_the_pod_that_needs_them_is_told(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    plan = network_plan(choose(load_confs(lab.paths.config_dirs), parse_requests("")), ())
    program = programs.find("nft")
    (tmp_path / "nft").touch(0o755)
    subprocess.run(["mount", "--bind", tmp_path / "nft", program], check=True)
    assert begin_tables(lab.paths, plan.foundations, ALONE) is None
    with pytest.raises(HostFailure, match="networking: cannot set up the networks of the pod"):
        lab.pod().attach()
    subprocess.run(["umount", program], check=True)
    lab.pod().attach()
