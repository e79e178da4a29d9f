# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods joined to networks, with real packets."""

from __future__ import annotations

import json
import os
import pathlib
import socket

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.attach import loopback_only
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import read_net_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    HOST_IP6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    NetLab,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    new_netns,
    nft,
    source_seen,
)

BRIDGE = """{"name": "br", "type": "bridge", "bridge": "cni7", "isGateway": true, "ipMasq": true, "hairpinMode": true,
 "mtu": 1400, "isDefaultGateway": true, "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}"""


@pytest.mark.behaviour("E5", "E13", "E16", "E21", "E26", "E28")
@in_own_network
def test_a_pod_of_the_default_network_reaches_the_host_and_the_outside(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    pod = lab.pod().attach()
    assert pod.address == "172.16.28.2"
    with listen(here(), 8000) as on_host:
        assert source_seen(pod.netns, on_host, "172.16.28.1", 8000) == "172.16.28.2"
    with listen(lab.outside, 8000) as outside:
        assert source_seen(pod.netns, outside, OUTSIDE_IP, 8000) == HOST_IP
    with listen(pod.netns, 9000) as in_pod:
        assert source_seen(here(), in_pod, "172.16.28.2", 9000) == "172.16.28.1"
        assert source_seen(pod.netns, in_pod, "127.0.0.1", 9000) == "127.0.0.1"


@pytest.mark.behaviour("E26")
@in_own_network
def test_a_restricted_pod_reaches_the_host_only(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    pod = lab.pod().attach("default-restricted")
    assert pod.address == "172.31.0.2"
    with listen(here(), 8000) as on_host:
        assert source_seen(pod.netns, on_host, "172.31.0.1", 8000) == "172.31.0.2"
    with listen(lab.outside, 8000) as outside, pytest.raises(OSError, match="unreachable"):
        source_seen(pod.netns, outside, OUTSIDE_IP, 8000)


@pytest.mark.behaviour("E26")
@in_own_network
def test_nor_does_one_reach_more_over_ipv6(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    ranges = [[{"subnet": "172.31.0.0/16"}], [{"subnet": "fd00:31::/64"}]]
    both = {"name": "default-restricted", "type": "ptp", "ipam": {"type": "host-local", "ranges": ranges}}
    lab.conf("10-restricted.conf", json.dumps(both))
    pod = lab.pod().attach("default-restricted")
    with listen(here(), 8000, "::") as on_host:
        assert source_seen(pod.netns, on_host, "fd00:31::1", 8000) == "fd00:31::2"
        with pytest.raises(OSError, match="unreachable"):
            source_seen(pod.netns, on_host, HOST_IP6, 8000)
    with listen(lab.outside, 8000, "::") as outside, pytest.raises(OSError, match="unreachable"):
        source_seen(pod.netns, outside, OUTSIDE_IP6, 8000)


@pytest.mark.behaviour("E16")
@in_own_network
def test_ptp_makes_the_interfaces_and_routes_of_the_reference(tmp_path: pathlib.Path) -> None:
    pod = NetLab(tmp_path).pod().attach()
    host_if = pod.infos[0].host_if
    assert f"dev {host_if} scope host" in ip("route", "show", "172.16.28.2")
    assert "172.16.28.1/32" in ip("addr", "show", host_if)
    with inside(pod.netns):
        assert "172.16.28.2/24" in ip("addr", "show", "eth0")
        assert [line.strip() for line in ip("route").splitlines()] == [
            "default via 172.16.28.1 dev eth0",
            "172.16.28.0/24 via 172.16.28.1 dev eth0 src 172.16.28.2",
            "172.16.28.1 dev eth0 scope link src 172.16.28.2",
        ]


@pytest.mark.behaviour("E20")
@in_own_network
def test_pods_of_one_network_see_each_others_address(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    one, two = lab.pod().attach(), lab.pod().attach()
    with listen(two.netns, 9000) as server:
        assert source_seen(one.netns, server, two.address, 9000) == one.address


@pytest.mark.behaviour("E23")
@pytest.mark.parametrize("net", ["default", "default-restricted", "br"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@in_own_network
def test_a_published_port_is_reached_from_everywhere(tmp_path: pathlib.Path, net: str, protocol: str) -> None:
    lab = NetLab(tmp_path, outside=True)
    lab.conf("10-br.conf", BRIDGE)
    pod = lab.pod().attach(net, PortForward(protocol, None, 8080, 80))
    neighbour = lab.pod().attach(net)
    gateway = pod.infos[0].gateway
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with listen(pod.netns, 80, kind=kind) as server:
        assert source_seen(here(), server, "127.0.0.1", 8080) == gateway
        if net != "default-restricted":  # without a default route it cannot answer these
            assert source_seen(here(), server, HOST_IP, 8080) == HOST_IP
            assert source_seen(lab.outside, server, HOST_IP, 8080) == OUTSIDE_IP
        assert source_seen(neighbour.netns, server, gateway, 8080) in (gateway, neighbour.address)
        assert source_seen(pod.netns, server, gateway, 8080) == gateway


@pytest.mark.behaviour("E23")
@in_own_network
def test_a_port_published_on_one_address_is_reached_by_that_alone(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    pod = lab.pod().attach("", PortForward("tcp", HOST_IP, 8080, 80))
    with listen(pod.netns, 80) as server:
        assert source_seen(lab.outside, server, HOST_IP, 8080) == OUTSIDE_IP
        assert source_seen(here(), server, HOST_IP, 8080) == HOST_IP
        for address in ("127.0.0.1", "172.16.28.1"):
            with pytest.raises(ConnectionRefusedError):
                source_seen(here(), server, address, 8080)


@pytest.mark.behaviour("E23")
@in_own_network
def test_a_port_published_on_the_loopback_address_is_not_for_others(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    pod = lab.pod().attach("", PortForward("tcp", "127.0.0.1", 8080, 80))
    with listen(pod.netns, 80) as server:
        assert source_seen(here(), server, "127.0.0.1", 8080) == "172.16.28.1"
        with pytest.raises(ConnectionRefusedError):
            source_seen(lab.outside, server, HOST_IP, 8080)


@in_own_network
def test_a_pod_cannot_speak_to_the_loopback_address_of_the_host(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    pod = lab.pod().attach("", PortForward("tcp", None, 8080, 80))
    with inside(pod.netns):
        ip("addr", "del", "127.0.0.1/8", "dev", "lo")
        pathlib.Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
        ip("rule", "add", "pref", "100", "lookup", "main")
        ip("route", "add", "127.0.0.1/32", "via", "172.16.28.1")
        ip("rule", "del", "pref", "0")
    with (
        listen(here(), 7000, "127.0.0.1", socket.SOCK_DGRAM) as server,
        pytest.raises(OSError, match="timed out"),
    ):
        source_seen(pod.netns, server, "127.0.0.1", 7000)


@pytest.mark.behaviour("E17")
@in_own_network
def test_bridge_joins_pods_and_goes_with_the_last_one(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    lab.conf("10-br.conf", BRIDGE)
    before = lab.snapshot()
    one, two = lab.pod().attach("br"), lab.pod().attach("br")
    with listen(two.netns, 9000) as server:
        assert source_seen(one.netns, server, two.address, 9000) == one.address
        assert source_seen(here(), server, two.address, 9000) == "10.7.0.1"
    with listen(lab.outside, 9000) as server:
        assert source_seen(one.netns, server, OUTSIDE_IP, 9000) == HOST_IP
    with inside(one.netns):
        assert "mtu 1400" in ip("link", "show", "eth0")
    assert "hairpin on" in ip("-d", "link", "show", one.infos[0].host_if)
    one.detach()
    with listen(here(), 9000) as server:
        assert source_seen(two.netns, server, "10.7.0.1", 9000) == two.address
    assert bridge_locks(lab) == ["net-bridge-cni7"] * 2
    two.detach()
    assert lab.snapshot() == before
    assert bridge_locks(lab) == []


def bridge_locks(lab: NetLab) -> list[str]:
    """The locks of bridges: those of the host, and those in the data directory."""
    places = (lab.paths.host_locks, lab.paths.locks)
    return [found.name for place in places for found in pathlib.Path(place).glob("net-bridge-*")]


@pytest.mark.behaviour("E17")
@in_own_network
def test_a_bridge_of_somebody_else_stays(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    ip("link", "add", "cni7", "type", "bridge")
    lab.pod().attach("br").detach()
    assert "cni7" in ip("link")


@pytest.mark.behaviour("E17")
@in_own_network
def test_a_bridge_with_another_address_in_the_subnet_is_refused(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    ip("link", "add", "cni7", "type", "bridge")
    ip("addr", "add", "10.7.0.200/24", "dev", "cni7")
    with pytest.raises(Conflict, match=r'"cni7" already has an IP address different from 10\.7\.0\.1/24'):
        lab.pod().attach("br")


@pytest.mark.behaviour("E7")
@in_own_network
def test_several_networks_are_interfaces_in_the_order_of_their_files(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    pod = lab.pod().attach("default-restricted,br:IP=10.7.0.9")
    assert [(info.if_name, info.net_name) for info in pod.infos] == [
        ("eth0", "br"),
        ("eth1", "default-restricted"),
    ]
    assert pod.address == "10.7.0.9"
    assert read_net_info(pod.info_path) == pod.infos
    assert sorted(os.listdir(pod.conf_dir)) == ["10-br.conf", "99-default-restricted.conf"]


@pytest.mark.behaviour("E2", "E21")
@in_own_network
def test_loopback_only_has_one_interface_and_it_is_up(tmp_path: pathlib.Path) -> None:
    netns = new_netns()
    loopback_only(netns)
    with inside(netns):
        assert "LOOPBACK,UP" in ip("-o", "link")
        assert len(ip("-o", "link").splitlines()) == 1


@pytest.mark.behaviour("E25")
@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
@in_own_network
def test_detach_leaves_the_host_as_it_was(tmp_path: pathlib.Path, dead: bool) -> None:
    lab = NetLab(tmp_path)
    before = lab.snapshot()
    pod = lab.pod().attach("", PortForward("tcp", None, 8080, 80))
    if dead:
        pod.die()
    pod.detach()
    assert lab.snapshot() == before
    pod.detach()
    assert os.listdir(pod.conf_dir) == []


@pytest.mark.behaviour("E25")
@in_own_network
def test_detach_of_one_pod_leaves_the_others_alone(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    one = lab.pod().attach("", PortForward("tcp", None, 8080, 80))
    two = lab.pod().attach("", PortForward("tcp", None, 8081, 80))
    one.detach()
    with listen(two.netns, 80) as server:
        assert source_seen(here(), server, "127.0.0.1", 8081) == "172.16.28.1"
        with pytest.raises(ConnectionRefusedError):
            source_seen(here(), server, "127.0.0.1", 8080)
    with listen(lab.outside, 80) as server:
        assert source_seen(two.netns, server, OUTSIDE_IP, 80) == HOST_IP


@pytest.mark.behaviour("E29")
@in_own_network
def test_a_failing_network_takes_the_ones_before_it_along(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "other")
    lab.conf("20-bad.conf", BRIDGE.replace('"br"', '"bad"').replace("cni7", "eth0").replace("10.7", "10.8"))
    before = lab.snapshot()
    pod = lab.pod()
    with pytest.raises(Conflict, match='"eth0" already exists but is not a bridge'):
        pod.attach("br,bad")
    assert lab.snapshot() == before
    assert not os.path.exists(pod.info_path)


@pytest.mark.behaviour("E9", "E29")
@in_own_network
def test_a_missing_plugin_fails_before_anything_is_done(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-x.conf", '{"name": "x", "type": "teleport"}')
    before = lab.snapshot()
    with pytest.raises(NotFound, match="Could not find plugin"):
        lab.pod().attach("default,x")
    assert lab.snapshot() == before


@in_own_network
def test_a_flushed_ruleset_is_made_again_for_the_next_pod(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    before = lab.snapshot()
    one = lab.pod().attach()
    nft("flush", "ruleset")
    two = lab.pod().attach()
    with listen(lab.outside, 80) as server:
        assert source_seen(two.netns, server, OUTSIDE_IP, 80) == HOST_IP
    one.detach()
    two.detach()
    assert lab.snapshot() == before


@in_own_network
def test_a_pod_has_an_ipv6_address_where_the_network_has_a_range_of_them(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf(
        "10-six.conf",
        """{"name": "six", "type": "ptp", "ipam": {"type": "host-local", "routes": [{"dst": "::/0"}],
        "ranges": [[{"subnet": "10.6.0.0/24"}], [{"subnet": "fd00:6::/64"}]]}}""",
    )
    before = lab.snapshot()
    one, two = lab.pod().attach("six"), lab.pod().attach("six")
    assert (one.infos[0].ip, one.infos[0].ip6) == ("10.6.0.2", ("fd00:6::2/64",))
    with listen(here(), 8000, "::") as server:
        assert source_seen(one.netns, server, "fd00:6::1", 8000) == "fd00:6::2"
    with listen(two.netns, 8000, "::") as server:
        assert source_seen(one.netns, server, "fd00:6::3", 8000) == "fd00:6::2"
    one.detach()
    two.detach()
    assert lab.snapshot() == before


@pytest.mark.behaviour("E11")
@in_own_network
def test_static_addresses_are_those_of_the_configuration(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf(
        "10-fix.conf",
        """{"name": "fix", "type": "ptp", "ipam": {"type": "static", "routes": [{"dst": "0.0.0.0/0"}],
        "addresses": [{"address": "10.6.0.77/24", "gateway": "10.6.0.1"}]}}""",
    )
    before = lab.snapshot()
    pod = lab.pod().attach("fix", PortForward("tcp", None, 8080, 80))
    with listen(pod.netns, 80) as server:
        assert source_seen(here(), server, "127.0.0.1", 8080) == "10.6.0.1"
    pod.detach()
    assert lab.snapshot() == before
