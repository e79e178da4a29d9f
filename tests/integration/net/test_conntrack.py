# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Connections that the kernel tracks end with the pod that they led to."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import conntrack
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.neighbours import Neighbours
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtsocket import (
    NETLINK_NETFILTER,
    RouteSocket,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    NetLab,
    Pod,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    nft,
)

UDP = PortForward("udp", None, 1053, 53)
V6 = """{"name": "six", "type": "ptp", "ipam": {"type": "host-local", "ranges": [
    [{"subnet": "10.9.6.0/24"}], [{"subnet": "fd00:9::/64"}]]}}"""


def client(netns: int, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """A client that keeps its port, as those of syslog and SIP do."""
    with inside(netns):
        made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(0.3)
    made.bind(("", 5353))
    return made


def answered(asking: socket.socket, server: socket.socket, address: str, port: int) -> bool:
    """Whether a packet reaches the server and its answer the client."""
    server.settimeout(0.3)
    try:
        asking.sendto(b"ping", (address, port))
        _data, peer = server.recvfrom(16)
        server.sendto(b"pong", peer)
        return asking.recv(16) == b"pong"
    except OSError:
        return False


def answered_soon(asking: socket.socket, server: socket.socket, address: str, port: int) -> bool:
    """Whether that is so within half a minute: an address of IPv6 is tentative at first."""
    end = time.monotonic() + 30
    while not answered(asking, server, address, port):
        if time.monotonic() > end:
            return False
    return True


def tracked() -> list[conntrack.Connection]:
    with RouteSocket(NETLINK_NETFILTER) as netfilter:
        return list(conntrack.connections(netfilter))


def serve(pod: Pod) -> socket.socket:
    return listen(pod.netns, 53, kind=socket.SOCK_DGRAM)


@pytest.mark.finding("case-05")
@pytest.mark.parametrize("asks_meanwhile", [False, True], ids=["silent meanwhile", "asks meanwhile"])
@in_own_network
def test_a_client_that_keeps_its_port_reaches_the_next_pod_of_a_published_one(
    tmp_path: pathlib.Path, asks_meanwhile: bool
) -> None:
    lab = NetLab(tmp_path, outside=True)
    asking = client(lab.outside)
    first = lab.pod().attach("default", UDP)
    with serve(first) as server:
        assert answered(asking, server, HOST_IP, 1053)
    first.detach()
    assert tracked() == []
    if asks_meanwhile:
        with contextlib.suppress(OSError):
            asking.sendto(b"ping", (HOST_IP, 1053))
            time.sleep(0.05)
            asking.sendto(b"ping", (HOST_IP, 1053))
    second = lab.pod().attach("default", UDP)
    with serve(second) as server:
        assert answered(asking, server, HOST_IP, 1053)


@pytest.mark.finding("case-05")
@in_own_network
def test_a_client_reaches_the_pod_that_has_taken_the_port_of_a_dead_one(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    asking = client(lab.outside)
    first = lab.pod().attach("default", UDP)
    with serve(first) as server:
        assert answered(asking, server, HOST_IP, 1053)
    first.die()
    second = lab.pod().attach("default", UDP, neighbours=Neighbours(is_live=lambda uuid: uuid != first.uuid))
    assert second.address != first.address
    with serve(second) as server:
        assert answered(asking, server, HOST_IP, 1053)


@pytest.mark.finding("case-05")
@in_own_network
def test_connections_of_other_pods_and_to_other_hosts_go_on(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    resolver = listen(lab.outside, 1053, kind=socket.SOCK_DGRAM)
    busy = lab.pod().attach("default")
    asking = client(busy.netns)
    assert answered(asking, resolver, "192.0.2.2", 1053)
    before = {found.key for found in tracked()}
    assert before
    with lab_pod(lab) as other, serve(other):
        assert before <= {found.key for found in tracked()}
    assert before <= {found.key for found in tracked()}


@contextlib.contextmanager
def lab_pod(lab: NetLab):  # type: ignore[no-untyped-def]
    pod = lab.pod().attach("default", UDP)
    yield pod
    pod.detach()


@in_own_network
def test_what_leads_to_an_ipv6_address_ends_and_nothing_else_does(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-six.conf", V6)
    # IPv6 is tracked only if a rule asks for it.
    nft(
        "-f",
        "-",
        stdin="table ip6 t { chain c { type filter hook output priority 0; ct state new accept; }; }\n",
    )
    first, second = lab.pod().attach("six"), lab.pod().attach("six")
    asking = client(here(), socket.AF_INET6)
    for pod in (first, second):
        address = pod.infos[0].ip6[0].partition("/")[0]
        with listen(pod.netns, 53, address, socket.SOCK_DGRAM) as server:
            assert answered_soon(asking, server, address, 53)
    targets = {str(found.there.target) for found in tracked() if found.there.protocol == "udp"}
    assert len(targets) == 2
    first.detach()
    left = {str(found.there.target) for found in tracked() if found.there.protocol == "udp"}
    assert left == {second.infos[0].ip6[0].partition("/")[0]}


@in_own_network
def test_a_connection_that_has_ended_by_itself_is_no_failure(tmp_path: pathlib.Path) -> None:
    ip("link")
    conntrack.forget_addresses({Address.parse("192.0.2.77")})
    conntrack.forget_addresses(())
    conntrack.forget_ports((UDP,), [Address.parse("192.0.2.77")])
