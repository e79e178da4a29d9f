# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Neither the host nor neighbours accept a pod as a router (CVE-2020-13401, CVE-2020-10749)."""

from __future__ import annotations

import pathlib
import socket
import struct
import time

import pytest

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
