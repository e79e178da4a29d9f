# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pod whose address a DHCP server on its network gives: its first process keeps the lease, and gives it back."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import time
from collections.abc import Iterator

import pytest

from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    OUTSIDE_IP,
    NetLab,
    in_own_network,
    inside,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, eventually
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_networks import end

NETWORK = {"name": "lan", "type": "macvlan", "master": "up0", "ipam": {"type": "dhcp"}}
GIVEN = "192.0.2.66"
DISCOVER, REQUEST, RELEASE = 1, 3, 7
OFFER, ACK = 2, 5
SHOWS = "cat /etc/resolv.conf; ip addr show eth0; trap 'exit 0' TERM; while true; do sleep 0.1; done"


def kind_of(message: bytes) -> int:
    at = message.index(b"\x35\x01", 240)
    return message[at + 2]


def serve(netns: int, noted: pathlib.Path, seconds: int = 20) -> None:
    """A server that gives one address for some time, and notes what it is asked for: kind, own address, sender."""
    with inside(netns):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"far0")
    server.bind(("0.0.0.0", 67))
    while True:
        asked, sender = server.recvfrom(2048)
        kind = kind_of(asked)
        with noted.open("a") as file:
            file.write(f"{kind} {socket.inet_ntoa(asked[12:16])} {sender[0]} {time.monotonic():.1f}\n")
        if kind == RELEASE:
            continue
        head = b"\2" + asked[1:16] + socket.inet_aton(GIVEN) + bytes(8) + asked[28:240]
        told = bytes((53, 1, OFFER if kind == DISCOVER else ACK, 54, 4)) + socket.inet_aton(OUTSIDE_IP)
        options = bytes((1, 4, 255, 255, 255, 0, 51, 4)) + seconds.to_bytes(4, "big")
        options += bytes((6, 4)) + socket.inet_aton(OUTSIDE_IP)
        to_all = sender[0] == "0.0.0.0"
        server.sendto(head + told + options + b"\xff", ("255.255.255.255" if to_all else sender[0], 68))


def lines(noted: pathlib.Path) -> Iterator[list[str]]:
    for line in noted.read_text().splitlines() if noted.exists() else ():
        yield line.split()


@pytest.mark.parametrize("flags", [(), ("--private-users",)], ids=["host's users", "own users"])
@in_own_network
def test_a_pod_keeps_its_lease_and_gives_it_back(
    pods: PodHost, tmp_path: pathlib.Path, flags: tuple[str, ...]
) -> None:
    lab, noted = NetLab(tmp_path / "lab", outside=True), tmp_path / "noted"
    place = pods.base / "etc/net.d"
    place.mkdir(parents=True, exist_ok=True)
    (place / "10-lan.conf").write_text(json.dumps(NETWORK))
    server = os.fork()
    if not server:
        serve(lab.outside, noted)
    try:
        uuid = pods.detached(SHOWS, *flags, net="lan")
        eventually(lambda: GIVEN in pods.ok("logs", uuid))
        assert f"nameserver {OUTSIDE_IP}" in pods.ok("logs", uuid)
        assert [line[0] for line in lines(noted)] == [str(DISCOVER), str(REQUEST)]
        # Half of 20 seconds later it asks its server for longer, as one that has the address.
        eventually(lambda: sum(line[0] == str(REQUEST) for line in lines(noted)) > 1)
        assert list(lines(noted))[2][:3] == [str(REQUEST), GIVEN, GIVEN]
        pods.ok("stop", uuid)
        eventually(lambda: [line[:3] for line in lines(noted)][-1] == [str(RELEASE), GIVEN, GIVEN])
        end(pods)
    finally:
        os.kill(server, 9)
        os.waitpid(server, 0)


@pytest.mark.finding("attack7-F6")
@in_own_network
def test_a_lease_for_ever_ends_no_pod(pods: PodHost, tmp_path: pathlib.Path) -> None:
    """PID 1 has to wait for longer than poll(2) can."""
    lab, noted = NetLab(tmp_path / "lab", outside=True), tmp_path / "noted"
    place = pods.base / "etc/net.d"
    place.mkdir(parents=True, exist_ok=True)
    (place / "10-lan.conf").write_text(json.dumps(NETWORK))
    server = os.fork()
    if not server:
        serve(lab.outside, noted, 0xFFFFFFFF)
    try:
        done = pods.sh("sleep 0.5; ip addr show eth0; sleep 0.5; echo still here", pod_flags=("--net=lan",))
        assert (done.status, done.texts[-1]) == (0, "still here"), done.err
        assert any(GIVEN in text for text in done.texts)
        assert [line[:3] for line in lines(noted)][-1] == [str(RELEASE), GIVEN, GIVEN]
        end(pods)
    finally:
        os.kill(server, 9)
        os.waitpid(server, 0)
