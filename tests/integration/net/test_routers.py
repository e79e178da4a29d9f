# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Neither the host nor neighbours accept a pod as a router (CVE-2020-13401, CVE-2020-10749)."""

from __future__ import annotations

import os
import pathlib
import socket
import struct
import subprocess
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import find_drift, read_joined
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.mend import mend
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    TIMEOUT,
    NetLab,
    Pod,
    at_every_call,
    checksum,
    here,
    in_own_network,
    inside,
    ip,
    is_up,
    new_netns,
    send_frame,
    switch,
)

NETS = {
    "default": "",
    "br": """{"name": "br", "type": "bridge", "bridge": "cni7", "isGateway": true,
              "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}""",
    "plain": """{"name": "plain", "type": "bridge", "bridge": "cni8",
                 "ipam": {"type": "host-local", "subnet": "10.8.0.0/24"}}""",
}
# Networks for which the host forwards IPv6.
NETS6 = {
    "ptp6": """{"name": "ptp6", "type": "ptp", "ipam": {"type": "host-local", "subnet": "fd00:9::/64"}}""",
    "br6": """{"name": "br6", "type": "bridge", "bridge": "cni9", "isGateway": true,
               "ipam": {"type": "host-local", "subnet": "fd00:9::/64"}}""",
}
ALL_FORWARD = "ipv6/conf/all/forwarding"
# The switches for what a link accepts from routers.
ROUTERS = ("ipv6/conf/{}/accept_ra", "ipv6/conf/{}/accept_redirects", "ipv4/conf/{}/accept_redirects")
SOURCE, EVERYONE = "fe80::bad", "ff02::1"


def advertisement() -> bytes:
    """An advertisement of a default route and of a prefix for addresses. Source: RFC 4861, 4.2 and 4.6.2."""
    prefix = struct.pack(">BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0)
    prefix += socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
    body = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    source, target = (socket.inet_pton(socket.AF_INET6, text) for text in (SOURCE, EVERYONE))
    total = checksum(source + target + struct.pack(">II", len(body), 58) + body)
    body = body[:2] + total + body[4:]
    header = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + source + target
    return bytes.fromhex("3333000000010a0000000bad86dd") + header + body


def route() -> str:
    return ip("-6", "route", "show", "default", "proto", "ra")


def believed(sender: Pod, listener: int, *, seconds: float = 0.5) -> bool:
    """Whether an advertisement of a pod becomes a route of another host or pod."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        send_frame(sender.netns, "eth0", advertisement())
        time.sleep(0.05)
        with inside(listener):
            if "bad" in route() or "2001:db8:bad:" in ip("-6", "addr"):
                return True
    return False


def lab_with(tmp_path: pathlib.Path) -> NetLab:
    lab = NetLab(tmp_path)
    for name, text in NETS.items():
        if text:
            lab.conf(f"10-{name}.conf", text)
    # Whatever the switches of this host are.
    for link in ("default", "all"):
        for key in ROUTERS:
            switch(key.format(link), "1")
    return lab


@pytest.mark.finding("pods-F4")
@pytest.mark.parametrize("net", NETS)
@in_own_network
def test_a_pod_cannot_give_the_host_a_route_or_an_address(tmp_path: pathlib.Path, net: str) -> None:
    pod = lab_with(tmp_path).pod().attach(net)
    link = {"br": "cni7", "plain": "cni8"}.get(net, pod.infos[0].host_if)
    assert not believed(pod, here())
    # The same advertisement is accepted where it is asked for, so it is what an attack would send.
    switch(f"ipv6/conf/{link}/accept_ra", "1")
    assert believed(pod, here(), seconds=TIMEOUT)


@pytest.mark.finding("pods-F4")
@pytest.mark.parametrize("net", ["br", "plain"])
@in_own_network
def test_a_pod_cannot_give_its_neighbour_a_route_or_an_address(tmp_path: pathlib.Path, net: str) -> None:
    lab = lab_with(tmp_path)
    pod, neighbour = lab.pod().attach(net), lab.pod().attach(net)
    assert not believed(pod, neighbour.netns)
    with inside(neighbour.netns):
        switch("ipv6/conf/eth0/accept_ra", "1")
    assert believed(pod, neighbour.netns, seconds=TIMEOUT)


@pytest.mark.finding("pods-F4")
@pytest.mark.parametrize("net", NETS)
@in_own_network
def test_neither_advertisements_nor_redirects_count_on_any_end(tmp_path: pathlib.Path, net: str) -> None:
    pod = lab_with(tmp_path).pod().attach(net)
    links = [pod.infos[0].host_if, *([{"br": "cni7", "plain": "cni8"}[net]] if net != "default" else [])]
    for link in links:
        assert [switch(key.format(link)) for key in ROUTERS] == ["0"] * 3, link
    with inside(pod.netns):
        for link in ("eth0", "default", "all"):
            assert [switch(key.format(link)) for key in ROUTERS] == ["0"] * 3, link


@pytest.mark.finding("pods-F4")
@in_own_network
def test_a_definition_that_asks_for_routers_has_its_pods_believe_them(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    lab.conf("10-br.conf", NETS["br"].replace("{", '{"acceptRA": true, ', 1))
    lab.conf(
        "20-other.conf", NETS["plain"].replace("{", '{"acceptRedirects": true, ', 1).replace("plain", "z")
    )
    pod = lab.pod().attach("br,z")
    with inside(pod.netns):
        assert [switch(key.format("eth0")) for key in ROUTERS] == ["1", "0", "0"]
        assert [switch(key.format("eth1")) for key in ROUTERS] == ["0", "1", "1"]
    assert believed(lab.pod().attach("br"), pod.netns, seconds=TIMEOUT)
    assert "bad" not in route()


@pytest.mark.finding("pods-F4")
@in_own_network
def test_sysctls_that_a_pod_asked_for_stay(tmp_path: pathlib.Path) -> None:
    pod = lab_with(tmp_path).pod()
    pod.sysctls = frozenset({"net.ipv6.conf.default.accept_ra"})
    pod.attach("br")
    with inside(pod.netns):
        assert [switch(key.format("eth0")) for key in ROUTERS] == ["1", "0", "0"]


@pytest.mark.finding("pods-F4")
@in_own_network
def test_a_bridge_that_the_host_had_before_is_left_as_it_is(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    ip("link", "add", "cni7", "type", "bridge")
    lab.pod().attach("br")
    assert [switch(key.format("cni7")) for key in ROUTERS] == ["1"] * 3


@pytest.mark.finding("pods-F4")
@in_own_network
def test_a_bridge_of_ours_that_was_there_without_the_switches_gets_them(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    lab.pod().attach("br")
    for key in ROUTERS:
        switch(key.format("cni7"), "1")
    lab.pod().attach("br")
    assert [switch(key.format("cni7")) for key in ROUTERS] == ["0"] * 3


@pytest.mark.finding("pods-F4")
@pytest.mark.parametrize("net", ["default", "br"])
@in_own_network
def test_no_link_is_up_before_its_switches_are_set(tmp_path: pathlib.Path, net: str) -> None:
    lab = lab_with(tmp_path)
    pod, seen = lab.pod(), set()

    def look_here() -> None:
        for _index, link in socket.if_nameindex():
            if link != "lo" and is_up(link):
                assert switch(ROUTERS[0].format(link)) == "0", link
                seen.add(link)

    def look() -> None:
        look_here()
        with inside(pod.netns):
            look_here()

    at_every_call(lambda: pod.attach(net), look)
    assert {"eth0", pod.infos[0].host_if, *(["cni7"] if net == "br" else [])} == seen


class Lan:
    """The host on a link with a router, whose advertisements it believes, and on one where it believes none."""

    def __init__(self, tmp_path: pathlib.Path) -> None:
        self.lab = NetLab(tmp_path)
        for name, text in NETS6.items():
            self.lab.conf(f"10-{name}.conf", text)
        switch(ALL_FORWARD, "0")
        self.router = new_netns()
        for link, heeded in (("lan0", "1"), ("wary0", "0")):
            ip("link", "add", link, "type", "veth", "peer", "name", f"r{link}")
            switch(f"ipv6/conf/{link}/accept_ra", heeded)
            switch(f"ipv6/conf/{link}/accept_dad", "0")
            ip("link", "set", f"r{link}", "netns", f"/proc/{os.getpid()}/fd/{self.router}")
            ip("link", "set", link, "up")
            with inside(self.router):
                ip("link", "set", f"r{link}", "up")
        assert self.advertised("lan0"), "the host has no route by the router"
        assert not self.advertised("wary0", seconds=0.3)

    def advertised(self, link: str, *, seconds: float = TIMEOUT) -> bool:
        """Whether an advertisement on a link becomes the default route of the host by it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            send_frame(self.router, f"r{link}", advertisement())
            time.sleep(0.05)
            if f"dev {link} " in route():
                return True
        return False


def heeds(link: str) -> str:
    return switch(f"ipv6/conf/{link}/accept_ra")


@pytest.mark.kernel
@pytest.mark.parametrize("net", NETS6)
@in_own_network
def test_a_pod_leaves_the_host_the_routes_that_routers_advertise(tmp_path: pathlib.Path, net: str) -> None:
    lan = Lan(tmp_path)
    lan.lab.pod().attach(net)
    assert switch(ALL_FORWARD) == "1"
    assert f"via {SOURCE} dev lan0" in route()
    assert "2001:db8:bad:" in ip("-6", "addr", "show", "dev", "lan0")
    # Further ones count as well, and where none did before, none does now.
    ip("-6", "route", "del", "default", "proto", "ra", "dev", "lan0")
    assert lan.advertised("lan0")
    assert not lan.advertised("wary0", seconds=0.3)
    assert (heeds("wary0"), heeds("default")) == ("0", "1")


@pytest.mark.kernel
@in_own_network
def test_links_of_pods_believe_no_routers_when_the_host_begins_to_forward(tmp_path: pathlib.Path) -> None:
    lan = Lan(tmp_path)
    pods = [lan.lab.pod().attach("default"), lan.lab.pod().attach("br6"), lan.lab.pod().attach("ptp6")]
    assert [heeds(pod.infos[0].host_if) for pod in pods] == ["0"] * 3
    assert heeds("cni9") == "0"


@pytest.mark.kernel
@in_own_network
def test_a_host_that_forwards_already_stays_as_it_is(tmp_path: pathlib.Path) -> None:
    lan = Lan(tmp_path)
    switch(ALL_FORWARD, "1")
    lan.lab.pod().attach("ptp6")
    assert heeds("lan0") == "1"
    # A link that forwards on its own believes no routers, and still does not.
    switch(ALL_FORWARD, "0")
    switch("ipv6/conf/lan0/forwarding", "1")
    lan.lab.pod().attach("ptp6")
    assert (heeds("lan0"), switch(ALL_FORWARD)) == ("1", "1")


@pytest.mark.kernel
@in_own_network
def test_the_host_has_its_route_at_every_moment_of_a_start(tmp_path: pathlib.Path) -> None:
    lan = Lan(tmp_path)
    pod, seen = lan.lab.pod(), set()

    def look() -> None:
        # In the pod's namespace there is no such link.
        if "lan0" in [link for _index, link in socket.if_nameindex()]:
            seen.add((heeds("lan0"), switch(ALL_FORWARD)))

    at_every_call(lambda: pod.attach("ptp6"), look)
    assert seen == {("1", "0"), ("2", "0"), ("2", "1")}
    assert "dev lan0" in route()


@pytest.mark.kernel
@in_own_network
def test_a_start_that_was_killed_between_the_switches_is_continued(tmp_path: pathlib.Path) -> None:
    lan = Lan(tmp_path)
    ip("link", "add", "late0", "type", "veth", "peer", "name", "late1")
    switch("ipv6/conf/late0/accept_ra", "1")
    # What such a start leaves: some links have theirs.
    switch("ipv6/conf/lan0/accept_ra", "2")
    assert lan.advertised("lan0")
    lan.lab.pod().attach("ptp6")
    assert (heeds("lan0"), heeds("late0"), switch(ALL_FORWARD)) == ("2", "2", "1")
    assert "dev lan0" in route()


@pytest.mark.kernel
@in_own_network
def test_mending_what_has_stopped_forwarding_leaves_the_route_too(tmp_path: pathlib.Path) -> None:
    lan = Lan(tmp_path)
    pod = lan.lab.pod().attach("ptp6")
    switch(ALL_FORWARD, "0")
    switch("ipv6/conf/lan0/accept_ra", "1")
    assert lan.advertised("lan0")
    infos, joined = read_joined(pod.uuid, pod.info_path, pod.conf_dir)
    with inside(pod.netns):
        within = subprocess.Popen(["sleep", "60"])
    try:
        drift = find_drift(within.pid, joined, infos, ())
        assert drift.sentences == ((0, "net.ipv6.conf.all.forwarding"),)
        mend(pod.joining, pod.netns, drift, ())
        assert find_drift(within.pid, joined, infos, ()).sentences == ()
    finally:
        within.kill()
        within.wait()
    assert (heeds("lan0"), switch(ALL_FORWARD)) == ("2", "1")
    assert "dev lan0" in route()
