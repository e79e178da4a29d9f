# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Our own netlink messages have the same effect as those of pyroute2."""

from __future__ import annotations

import json
import pathlib
import time

import pytest
from pyroute2 import IPRoute

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import rtmsg
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address, Subnet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtsocket import RouteSocket, open_in
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    in_own_network,
    inside,
    ip,
    new_netns,
)

MACS = ("0a:59:01:02:03:04", "0a:5a:01:02:03:04")
HOST4, POD4 = Address.parse("10.1.0.1"), Address.parse("10.1.0.2")
HOST6, POD6 = Address.parse("fd00:1::1"), Address.parse("fd00:1::2")
DEFAULT = Subnet.parse("0.0.0.0/0")


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def by_hand(netns: int) -> None:
    with RouteSocket() as host, open_in(netns) as pod:
        host.send(
            [rtmsg.new_bridge("br0", packed("0a:58:0a:01:00:01"), 1450), rtmsg.set_alias("br0", "ours")]
        )
        bridge = host.index("br0")
        host.send([rtmsg.set_up(bridge)])
        ends = rtmsg.VethEnds("veth0", "eth0", (packed(MACS[0]), packed(MACS[1])), 1400, bridge)
        host.send([rtmsg.new_veth(ends, netns)])
        inner, outer = pod.index("eth0"), host.index("veth0")
        host.send([rtmsg.set_up(outer)])
        pod.send([rtmsg.set_up(pod.index("lo")), rtmsg.set_up(inner)])
        host.send(
            [
                rtmsg.set_hairpin(outer),
                rtmsg.new_address(bridge, HOST4, 24),
                rtmsg.new_address(bridge, HOST6, 64),
            ]
        )
        pod.send(
            [
                rtmsg.new_address(inner, HOST4, 24),
                rtmsg.del_address(inner, HOST4, 24),
                rtmsg.new_address(inner, POD4, 24, prefix_route=False),
                rtmsg.new_address(inner, POD6, 64),
                rtmsg.new_route(inner, Subnet.around(HOST4, 32)),
                rtmsg.new_route(inner, DEFAULT, HOST4),
                rtmsg.new_route(inner, Subnet.parse("fd00:2::/32"), HOST6),
            ]
        )


def by_pyroute2(netns: int) -> None:
    with IPRoute() as host:
        host.link("add", ifname="br0", kind="bridge", address="0a:58:0a:01:00:01", mtu=1450)
        (bridge,) = host.link_lookup(ifname="br0")
        host.link("set", index=bridge, ifalias="ours", state="up")
        peer = {"ifname": "eth0", "net_ns_fd": netns, "address": MACS[1], "mtu": 1400}
        host.link("add", ifname="veth0", kind="veth", address=MACS[0], mtu=1400, peer=peer)
        (outer,) = host.link_lookup(ifname="veth0")
        host.link("set", index=outer, master=bridge, state="up")
        host.brport("set", index=outer, mode=1)
        host.addr("add", index=bridge, address=str(HOST4), prefixlen=24, broadcast="10.1.0.255")
        host.addr("add", index=bridge, address=str(HOST6), prefixlen=64, flags=2)
    with inside(netns), IPRoute() as pod:
        (inner,) = pod.link_lookup(ifname="eth0")
        pod.link("set", index=1, state="up")
        pod.link("set", index=inner, state="up")
        pod.addr("add", index=inner, address=str(POD4), prefixlen=24, broadcast="10.1.0.255", flags=0x200)
        pod.addr("add", index=inner, address=str(POD6), prefixlen=64, flags=2)
        pod.route("add", dst="10.1.0.1/32", oif=inner, scope="link", proto="boot")
        pod.route("add", dst="0.0.0.0/0", gateway=str(HOST4), oif=inner, proto="boot")
        pod.route("add", dst="fd00:2::/32", gateway=str(HOST6), oif=inner, proto="boot")


VOLATILE = (
    *("ifindex", "link_index", "link_netnsid", "valid_life_time", "operstate", "netns-immutable"),
    "tentative",  # while the kernel checks for a second whether an address is taken
)
TIMERS = ("_timer", "bridge_id", "root_id")


def settled(value: object) -> object:
    """The output of ip, without parts that differ from one second or namespace to the next."""
    if isinstance(value, list):
        return [settled(item) for item in value]
    if isinstance(value, dict):
        return {
            key: settled(held)
            for key, held in value.items()
            if key not in VOLATILE and not any(timer in key for timer in TIMERS)
        }
    return value


def seen() -> list[object]:
    asked = (("-d", "addr"), ("route",), ("-6", "route", "show", "root", "fd00::/16"))
    return [settled(json.loads(ip("-j", *args))) for args in asked]


@in_own_network
def test_links_addresses_and_routes_are_those_of_pyroute2() -> None:
    made = []
    for make in (by_hand, by_pyroute2):
        host, pod = new_netns(), new_netns()
        with inside(host):
            make(pod)
        made.append((host, pod))
    # The carrier comes a moment later, and link-local addresses with it.
    end = time.monotonic() + 10
    while True:
        by_us, by_them = ([seen_in(netns) for netns in pair] for pair in made)
        if by_us == by_them or time.monotonic() > end:
            break
        time.sleep(0.1)
    assert by_us == by_them


def seen_in(netns: int) -> list[object]:
    with inside(netns):
        return seen()


@in_own_network
def test_an_error_says_what_was_attempted_and_the_kernels_reason() -> None:
    with (
        RouteSocket() as host,
        pytest.raises(OSError, match=r"cannot add the address 10\.1\.0\.1/24: No such device"),
    ):
        host.send([rtmsg.new_address(4711, HOST4, 24)])


@in_own_network
def test_links_are_read_back_alike() -> None:
    with RouteSocket() as host:
        host.send([rtmsg.new_bridge("br0", packed(MACS[0])), rtmsg.set_alias("br0", "ours")])
        assert [host.find("br0")] == [link for link in host.links() if link.name == "br0"]
        found = host.find("br0")
        with IPRoute() as other:
            (read,) = other.get_links(ifname="br0")
        assert found is not None
        assert (found.name, found.index, found.kind, found.alias) == (
            read.get_attr("IFLA_IFNAME"),
            read["index"],
            read.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND"),
            read.get_attr("IFLA_IFALIAS"),
        )
        assert host.find("nothing") is None


@in_own_network
def test_the_way_to_an_address_is_the_one_that_the_kernel_takes() -> None:
    with RouteSocket() as host:
        host.send([rtmsg.new_bridge("br0", packed(MACS[0]))])
        bridge = host.index("br0")
        host.send([rtmsg.set_up(bridge), rtmsg.new_address(bridge, HOST4, 24)])
        assert rtmsg.route_of(host.ask(rtmsg.get_route(POD4))[0])[0] == bridge
        with IPRoute() as other:
            (read,) = other.route("get", dst=str(POD4))
        assert read.get_attr("RTA_OIF") == bridge
        with pytest.raises(OSError, match=r"cannot find the way to 10\.9\.0\.1: Network is unreachable"):
            host.ask(rtmsg.get_route(Address.parse("10.9.0.1")))


@in_own_network
def test_many_links_are_listed_whole(tmp_path: pathlib.Path) -> None:
    with RouteSocket() as host:
        host.send([rtmsg.new_bridge(f"br{number}", packed(MACS[0])) for number in range(100)])
        assert len([link for link in host.links() if link.kind == "bridge"]) == 100
