# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Neighbours of pods never reach services on 127.0.0.1 of the host, even after the pods (CVE-2020-8558)."""

from __future__ import annotations

import os
import pathlib
import socket

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.elements import GUARD_TABLE
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtmsg import NetlinkRequest, attribute
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtsocket import (
    NETLINK_NETFILTER,
    RouteSocket,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    NetLab,
    at_every_call,
    datagram,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    mac_of,
    new_netns,
    nft,
    send_frame,
    source_seen,
    switch,
)

BRIDGE = """{"name": "br", "type": "bridge", "bridge": "cni7", "isGateway": true, "ipMasq": true,
 "isDefaultGateway": true, "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}"""
FORWARD, OTHER = PortForward("tcp", None, 8080, 80), PortForward("tcp", "127.0.0.1", 8081, 80)
KEY = "ipv4/conf/cni7/route_localnet"
NEIGHBOUR = "10.7.0.200"


def lab_with(tmp_path: pathlib.Path, *, own_bridge: bool = True) -> NetLab:
    """A host; with its own bridge, on which is a neighbour that is not a pod."""
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    if own_bridge:
        ip("link", "add", "cni7", "type", "bridge")
        ip("link", "set", "cni7", "up")
    return lab


def neighbour() -> int:
    """The network namespace of something else that is a port of the bridge."""
    netns = new_netns()
    ip(
        "link",
        "add",
        "port0",
        "type",
        "veth",
        "peer",
        "name",
        "far0",
        "netns",
        f"/proc/{os.getpid()}/fd/{netns}",
    )
    ip("link", "set", "port0", "master", "cni7", "up")
    with inside(netns):
        ip("link", "set", "far0", "up")
    return netns


def reaches(netns: int, source: str, target: str) -> bool:
    """Whether UDP from the neighbour reaches an address of the host, sent to the MAC address of the bridge."""
    with listen(here(), 5353, target, socket.SOCK_DGRAM) as service:
        service.settimeout(0.3)
        send_frame(
            netns, "far0", datagram(mac_of("cni7") + bytes.fromhex("0a0000000001"), source, target, 5353)
        )
        try:
            return service.recvfrom(16) == (b"attack", (source, 999))
        except TimeoutError:
            return False


def reaches_the_loopback(netns: int) -> bool:
    return reaches(netns, NEIGHBOUR, "127.0.0.1")


def speaks_as_the_loopback(netns: int) -> bool:
    return reaches(netns, "127.0.0.2", "10.7.0.1")


def has_table() -> bool:
    with RouteSocket(NETLINK_NETFILTER) as asked:
        body = bytes((2, 0, 0, 0)) + attribute(1, b"stagecraft_pods\0")
        try:
            return bool(asked.ask(NetlinkRequest(10 << 8 | 1, 0, body, "find the table")))
        except FileNotFoundError:
            return False


@pytest.mark.finding("pods-F6")
@pytest.mark.parametrize("flushed", [False, True])
@in_own_network
def test_a_neighbour_never_reaches_what_listens_on_the_loopback(
    tmp_path: pathlib.Path, flushed: bool
) -> None:
    lab, far = lab_with(tmp_path), neighbour()
    ip("addr", "add", "10.7.0.1/24", "dev", "cni7")
    assert not reaches_the_loopback(far)
    pod = lab.pod().attach("br", FORWARD)
    assert switch(KEY) == "1"
    assert not reaches_the_loopback(far)
    with listen(pod.netns, 80) as server:
        assert source_seen(here(), server, "127.0.0.1", 8080) == "10.7.0.1"
    if flushed:
        nft("flush", "ruleset")
    pod.detach()
    assert nft("list", "ruleset") == ""
    assert switch(KEY) == "0"
    assert not reaches_the_loopback(far)
    # What was sent is what arrives where nothing keeps it off.
    switch(KEY, "1")
    assert reaches_the_loopback(far)


@pytest.mark.finding("attack4-F3")
@in_own_network
def test_what_comes_from_elsewhere_never_has_a_source_on_the_loopback(tmp_path: pathlib.Path) -> None:
    lab, far = lab_with(tmp_path), neighbour()
    ip("addr", "add", "10.7.0.1/24", "dev", "cni7")
    assert not speaks_as_the_loopback(far)
    pod = lab.pod().attach("br", FORWARD)
    assert switch(KEY) == "1"
    assert not speaks_as_the_loopback(far)
    assert reaches(far, NEIGHBOUR, "10.7.0.1")
    with listen(pod.netns, 80) as server:  # the host's own loopback may speak
        assert source_seen(here(), server, "127.0.0.1", 8080) == "10.7.0.1"
    # What was sent is what arrives where nothing keeps it off.
    nft("flush", "chain", *GUARD_TABLE.split(), "early")
    assert speaks_as_the_loopback(far)


@pytest.mark.finding("attack4-F3")
@in_own_network
def test_a_table_of_an_earlier_release_is_brought_up_to_date_by_the_next_pod(tmp_path: pathlib.Path) -> None:
    lab, far = lab_with(tmp_path), neighbour()
    old = lab.pod().attach("br", FORWARD)
    nft("delete", "table", *GUARD_TABLE.split())
    assert speaks_as_the_loopback(far)
    new = lab.pod().attach("br")
    assert not speaks_as_the_loopback(far)
    new.detach()
    assert not speaks_as_the_loopback(far)
    old.detach()
    assert nft("list", "ruleset") == ""


@pytest.mark.finding("pods-F6")
@pytest.mark.parametrize("own_bridge", [False, True])
@in_own_network
def test_the_switch_goes_with_the_last_pod_that_needs_it(tmp_path: pathlib.Path, own_bridge: bool) -> None:
    lab = lab_with(tmp_path, own_bridge=own_bridge)
    plain = lab.pod().attach("br")
    assert switch(KEY) == "0"
    one, two = lab.pod().attach("br", FORWARD), lab.pod().attach("br", OTHER)
    elsewhere = lab.pod().attach("default", PortForward("tcp", None, 8083, 80))
    one.detach()
    assert switch(KEY) == "1"
    with listen(two.netns, 80) as server:
        assert source_seen(here(), server, "127.0.0.1", 8081) == "10.7.0.1"
    two.detach()
    assert switch(KEY) == "0"
    assert switch(f"ipv4/conf/{elsewhere.infos[0].host_if}/route_localnet") == "1"
    three = lab.pod().attach("br", FORWARD)
    assert switch(KEY) == "1"
    three.detach()
    assert switch(KEY) == "0"
    plain.detach()
    assert not pathlib.Path(lab.paths.localnet).is_dir() or os.listdir(lab.paths.localnet) == []


@pytest.mark.finding("pods-F6")
@in_own_network
def test_a_bridge_that_had_the_switch_before_keeps_it(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    switch(KEY, "1")
    one, two = lab.pod().attach("br", FORWARD), lab.pod().attach("br", OTHER)
    one.detach()
    two.detach()
    assert switch(KEY) == "1"


@pytest.mark.finding("pods-F6")
@in_own_network
def test_a_port_on_another_address_needs_no_switch(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    lab.conf("10-br.conf", BRIDGE)
    pod = lab.pod().attach("br", PortForward("tcp", HOST_IP, 8080, 80))
    assert switch(KEY) == "0"
    with listen(pod.netns, 80) as server:
        assert source_seen(here(), server, HOST_IP, 8080) == HOST_IP
        source_seen(lab.outside, server, HOST_IP, 8080)


@pytest.mark.finding("pods-F6")
@pytest.mark.parametrize("net", ["br", "default"])
@in_own_network
def test_the_switch_is_never_on_without_the_rule_that_guards_it(tmp_path: pathlib.Path, net: str) -> None:
    lab = lab_with(tmp_path)
    pod, seen = lab.pod(), set()
    link = "cni7" if net == "br" else f"veth{pod.uuid.replace('-', '')[:10]}0"

    def look() -> None:
        path = pathlib.Path(f"/proc/sys/net/ipv4/conf/{link}/route_localnet")
        if path.exists() and path.read_text().strip() == "1":
            assert has_table()
            seen.add("on")

    at_every_call(lambda: pod.attach(net, FORWARD), look)
    at_every_call(pod.detach, look)
    assert seen == {"on"}
    assert not has_table()
