# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Published ports of SCTP: by packets that the test makes, and by sockets where the kernel has them."""

from __future__ import annotations

import os
import pathlib
import socket
import struct

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ports import sockets_in_use
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    HOST_IP6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    NetLab,
    family_of,
    here,
    in_own_network,
    inside,
    listen,
    source_seen,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_conntrack import tracked
from ansible_collections.stagecraft.pods.tests.integration.net.test_ports6 import NETS

SCTP = socket.IPPROTO_SCTP
PORT = PortForward("sctp", None, 3868, 38)
INIT, INIT_ACK = 1, 2
BOTH = [(HOST_IP, OUTSIDE_IP), (HOST_IP6, OUTSIDE_IP6)]


def lab_of(tmp_path: pathlib.Path) -> NetLab:
    lab = NetLab(tmp_path, outside=True)
    lab.conf("10-line.conf", NETS["line"])
    return lab


def crc32c(data: bytes) -> int:
    """The checksum of SCTP. Source: RFC 3309."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def packet(source: int, target: int, kind: int, tag: int) -> bytes:
    """A packet with the first chunk of an association, or the answer to it."""
    chunk = struct.pack(">BBHIIHHI", kind, 0, 20, 0x5EED, 65536, 1, 1, 1)
    head = struct.pack(">HHI", source, target, tag)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def raw(netns: int, address: str) -> socket.socket:
    with inside(netns):
        made = socket.socket(family_of(address), socket.SOCK_RAW, SCTP)
    made.settimeout(2)
    return made


def ports_of(data: bytes, *, six: bool) -> tuple[int, int]:
    """The ports of a packet; raw sockets of IPv4 show its header before."""
    at = 0 if six else (data[0] & 15) * 4
    source, target = struct.unpack(">HH", data[at : at + 4])
    return source, target


@pytest.mark.behaviour("E23")
@pytest.mark.parametrize(("host", "outside"), BOTH, ids=["ipv4", "ipv6"])
@in_own_network
def test_an_association_from_outside_reaches_the_pod_and_its_answer_comes_from_the_host(
    tmp_path: pathlib.Path, host: str, outside: str
) -> None:
    lab = lab_of(tmp_path)
    before = lab.snapshot()
    pod = lab.pod().attach("line", PORT)
    six = ":" in host
    with raw(pod.netns, host) as in_pod, raw(lab.outside, host) as out:
        out.sendto(packet(5000, 3868, INIT, 0), (host, 0))
        data, peer = in_pod.recvfrom(2048)
        assert (peer[0], ports_of(data, six=six)) == (outside, (5000, 38))
        in_pod.sendto(packet(38, 5000, INIT_ACK, 0x5EED), (outside, 0))
        data, peer = out.recvfrom(2048)
        assert (peer[0], ports_of(data, six=six)) == (host, (3868, 5000))
    assert {found.there.target_port for found in tracked() if found.there.protocol == "sctp"} == {3868}
    pod.detach()
    assert not [found for found in tracked() if found.there.protocol == "sctp"]
    assert lab.snapshot() == before


@pytest.mark.behaviour("E24")
@in_own_network
def test_a_port_of_sctp_is_another_one_than_that_of_tcp(tmp_path: pathlib.Path) -> None:
    lab = lab_of(tmp_path)
    pod = lab.pod().attach("line", PORT)
    lab.pod().attach("line", PORT.replace(protocol="tcp"))
    with pytest.raises(Conflict, match=f"port 3868/sctp of the host is in use by pod {pod.uuid}"):
        lab.pod().attach("line", PORT)


@in_own_network
def test_looking_for_sockets_of_sctp_loads_nothing_into_the_kernel() -> None:
    before = pathlib.Path("/proc/modules").read_text() if os.path.exists("/proc/modules") else ""
    sockets_in_use([PORT], (32, 128))
    after = pathlib.Path("/proc/modules").read_text() if os.path.exists("/proc/modules") else ""
    assert ("sctp " in after) == ("sctp " in before)


def has_sctp() -> bool:
    """Whether this kernel has sockets of SCTP; that of the virtual machine has."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, SCTP).close()
    except OSError:
        return False
    return True


def assert_init_arrives(client: int, pod: int, host: str) -> None:
    """A packet to a port of the host reaches the pod that has it."""
    with raw(pod, host) as in_pod, raw(client, host) as out:
        out.sendto(packet(5000, 3868, INIT, 0), (host, 0))
        data, _peer = in_pod.recvfrom(2048)
        assert ports_of(data, six=":" in host) == (5000, 38)


@pytest.mark.kernel
@pytest.mark.behaviour("E23")
@pytest.mark.parametrize(("host", "outside"), BOTH, ids=["ipv4", "ipv6"])
@in_own_network
def test_others_and_neighbours_reach_the_pod_by_sctp(tmp_path: pathlib.Path, host: str, outside: str) -> None:
    lab = lab_of(tmp_path)
    pod, neighbour = lab.pod().attach("line", PORT), lab.pod().attach("line")
    if has_sctp():
        with listen(pod.netns, 38, "::" if ":" in host else "0.0.0.0", protocol=SCTP) as server:
            assert source_seen(lab.outside, server, host, 3868) == outside
            assert source_seen(neighbour.netns, server, host, 3868)
    else:
        assert_init_arrives(neighbour.netns, pod.netns, host)
    pod.detach()


@pytest.mark.kernel
@pytest.mark.behaviour("E24")
@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::"])
@in_own_network
def test_a_socket_of_sctp_that_has_the_port_is_found(tmp_path: pathlib.Path, address: str) -> None:
    if has_sctp():
        with (
            listen(here(), 3868, address, protocol=SCTP),
            pytest.raises(Conflict, match=rf"port 3868/sctp of the host is in use by .*pid {os.getpid()}"),
        ):
            sockets_in_use([PORT], (32, 128))
    # A kernel without such sockets has no port in use, which is no error of the pod.
    sockets_in_use([PORT], (32, 128))
