# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses from servers on the network: a real one, none, and hostile ones."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import dhcp
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.dhcp import DhcpLease
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import read_net_info
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    OUTSIDE_IP,
    NetLab,
    in_own_network,
    inside,
    ip,
    listen,
    source_seen,
)

MACVLAN = {"type": "macvlan", "master": "up0", "ipam": {"type": "dhcp", "routes": [{"dst": "10.66.0.0/16"}]}}


@contextlib.contextmanager
def dnsmasq(lab: NetLab, tmp_path: pathlib.Path, *options: str) -> Iterator[pathlib.Path]:
    """A server on the network outside. Yields the file of its leases."""
    leases = tmp_path / "given"
    with inside(lab.outside):
        server = subprocess.Popen(
            [
                *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping"),
                *("--interface=far0", "--bind-interfaces", "--dhcp-authoritative", "--user=root"),
                *(f"--dhcp-leasefile={leases}", f"--pid-file={tmp_path}/pid"),
                *("--dhcp-range=192.0.2.100,192.0.2.120,255.255.255.0,1h", *options),
            ],
            stderr=subprocess.DEVNULL,
        )
    try:
        yield leases
    finally:
        server.terminate()
        server.wait()


def defined(lab: NetLab, *plugins: dict[str, object]) -> str:
    lab.conf("10-n.conflist", json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": list(plugins)}))
    return "n"


@in_own_network
def test_a_server_gives_an_address_routes_and_names(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    options = (
        f"--dhcp-option=option:router,{OUTSIDE_IP}",
        f"--dhcp-option=option:dns-server,{OUTSIDE_IP}",
        "--dhcp-option=option:domain-search,a.example.org,b.example.org",
        "--domain=example.org",
    )
    leases: list[DhcpLease] = []
    before = lab.snapshot()
    with dnsmasq(lab, tmp_path, *options) as given:
        pod = lab.pod().attach(defined(lab, MACVLAN), leases=leases)
        assert pod.address in given.read_text()
    (info,) = read_net_info(pod.info_path)
    assert (info.gateway, info.result.addresses[0].prefix) == (OUTSIDE_IP, 24)
    assert info.result.dns.to_json() == {
        "nameservers": [OUTSIDE_IP],
        "domain": "example.org",
        "search": ["a.example.org", "b.example.org"],
    }
    with inside(pod.netns):
        assert f"{pod.address}/24" in ip("address", "show", "eth0")
        assert f"default via {OUTSIDE_IP} dev eth0" in ip("route")
        assert f"10.66.0.0/16 via {OUTSIDE_IP} dev eth0" in ip("route")
    with listen(lab.outside, 8000) as outside:
        assert source_seen(pod.netns, outside, OUTSIDE_IP, 8000) == pod.address
    (lease,) = leases
    assert (lease.if_name, str(lease.answer.address), lease.answer.times[2]) == ("eth0", pod.address, 3600)
    pod.detach()
    pod.die()
    assert lab.snapshot() == before


@in_own_network
def test_routes_of_a_server_take_the_place_of_its_router_and_a_chain_goes_on(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    routes = f"--dhcp-option=121,10.8.0.0/16,{OUTSIDE_IP},0.0.0.0/0,192.0.2.254"
    with dnsmasq(lab, tmp_path, f"--dhcp-option=3,{OUTSIDE_IP}", routes):
        pod = lab.pod().attach(defined(lab, MACVLAN, {"type": "sbr"}))
    with inside(pod.netns):
        table = ip("route", "show", "table", "100")
        assert "default via 192.0.2.254 dev eth0" in table
        assert f"10.8.0.0/16 via {OUTSIDE_IP} dev eth0" in table
        assert f"from {pod.address} lookup 100" in ip("rule")


@in_own_network
def test_a_bridge_to_the_network_of_the_host_has_its_server_too(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    ip("link", "add", "lan0", "type", "bridge")
    ip("link", "set", "up0", "master", "lan0")
    ip("link", "set", "lan0", "up")
    with dnsmasq(lab, tmp_path):
        pod = lab.pod().attach(defined(lab, {"type": "bridge", "bridge": "lan0", "ipam": {"type": "dhcp"}}))
        other = lab.pod().attach("n")
    assert len({pod.address, other.address}) == 2
    with listen(lab.outside, 8000) as outside:
        assert source_seen(pod.netns, outside, OUTSIDE_IP, 8000) == pod.address


@contextlib.contextmanager
def daemon() -> Iterator[subprocess.Popen[bytes]]:
    """CNI's own daemon for leases, in a /run of this test."""
    program = "/usr/lib/cni/dhcp"
    if not os.path.exists(program):
        pytest.skip("needs the package containernetworking-plugins")
    for words in (("--make-rprivate", "/"), ("-t", "tmpfs", "tmpfs", "/run")):
        subprocess.run(["mount", *words], check=True)
    running = subprocess.Popen([program, "daemon"], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 10
    while not os.path.exists(Paths().cni_dhcp):
        assert time.monotonic() < end
        time.sleep(0.01)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@in_own_network
def test_the_daemon_of_cni_gets_an_address_and_gives_it_back_where_it_runs(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    leases: list[DhcpLease] = []
    before = lab.snapshot()
    options = (f"--dhcp-option=option:router,{OUTSIDE_IP}", "--domain=example.org")
    with daemon(), dnsmasq(lab, tmp_path, *options) as given:
        pod = lab.pod().attach(defined(lab, MACVLAN), leases=leases)
        # Whose lease it is: as the daemon says it, which knows no other than its own.
        (held,) = given.read_text().splitlines()
        assert held.split()[2] == pod.address
        assert bytes.fromhex(held.split()[4].replace(":", "")).endswith(f"{pod.uuid}/n/eth0".encode())
        assert leases == []  # the first process of the pod has none to renew
        with inside(pod.netns):
            assert f"{pod.address}/24" in ip("address", "show", "eth0")
            assert f"10.66.0.0/16 via {OUTSIDE_IP} dev eth0" in ip("route")
        with listen(lab.outside, 8000) as outside:
            assert source_seen(pod.netns, outside, OUTSIDE_IP, 8000) == pod.address
        pod.detach()
        end = time.monotonic() + 10
        while given.read_text():  # released by a message to the server
            assert time.monotonic() < end
            time.sleep(0.05)
        pod.die()
    assert lab.snapshot() == before


@in_own_network
def test_a_daemon_of_cni_that_has_died_is_told_and_the_pod_leaves_nothing(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    before = lab.snapshot()
    with daemon() as running, dnsmasq(lab, tmp_path) as given:
        running.kill()
        running.wait()
        pod = lab.pod()
        with pytest.raises(HostFailure, match=r'network "n".*/run/cni/dhcp\.sock'):
            pod.attach(defined(lab, MACVLAN))
        pod.die()
        assert given.read_text() == "" if given.exists() else True
        assert lab.snapshot() == before
        # Without its socket, leases are our own affair.
        os.unlink(lab.paths.cni_dhcp)
        leases: list[DhcpLease] = []
        assert lab.pod().attach("n", leases=leases).address == str(leases[0].answer.address)


@in_own_network
def test_without_a_server_the_pod_does_not_start_and_leaves_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dhcp, "_TRIES", (0.2, 0.3))
    lab = NetLab(tmp_path, outside=True)
    before = lab.snapshot()
    pod = lab.pod()
    with pytest.raises(HostFailure, match='no DHCP server gives an address on network "n"'):
        pod.attach(defined(lab, MACVLAN))
    pod.die()
    assert lab.snapshot() == before


@in_own_network
def test_ptp_has_no_servers(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    with pytest.raises(InvalidSpec, match="cannot have addresses from DHCP"):
        lab.pod().attach(defined(lab, {"type": "ptp", "ipam": {"type": "dhcp"}}))


def said(request: bytes, kind: int, address: str, *options: bytes, server: str = OUTSIDE_IP) -> bytes:
    """The answer of a server to a request."""
    head = b"\2" + request[1:12] + bytes(4) + socket.inet_aton(address) + bytes(8) + request[28:240]
    every = (bytes((53, 1, kind)), bytes((54, 4)) + socket.inet_aton(server), *options, b"\xff")
    return head + b"".join(every)


def hostile_flood(request: bytes) -> Iterator[bytes]:
    """Garbage, answers to others, and far too large ones before a real one."""
    yield b""
    yield os.urandom(900)
    yield said(request, 2, "192.0.2.66")[:100]
    yield said(bytes(34) + request[34:], 2, "192.0.2.66")
    yield request[:240] + bytes((255,)) * 1200
    yield said(request, 2, "127.0.0.1")


def hostile_texts(request: bytes) -> Iterator[bytes]:
    """Names that would write other lines."""
    kind = 5 if bytes((53, 1, 3)) in request else 2
    domain = b"evil\nnameserver 6.6.6.6"
    yield said(request, kind, "192.0.2.66", bytes((15, len(domain))) + domain, bytes((6, 4, 127, 0, 0, 1)))


def refusing(request: bytes) -> Iterator[bytes]:
    """An offer that is refused when it is taken, the first time."""
    if bytes((53, 1, 3)) in request and refusing.calls == 0:  # type: ignore[attr-defined]
        refusing.calls += 1  # type: ignore[attr-defined]
        yield said(request, 6, "0.0.0.0")
        return
    yield said(request, 5 if bytes((53, 1, 3)) in request else 2, "192.0.2.66")


refusing.calls = 0  # type: ignore[attr-defined]


@contextlib.contextmanager
def served(lab: NetLab, answers: Callable[[bytes], Iterator[bytes]]) -> Iterator[None]:
    with inside(lab.outside):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"far0")
    server.bind(("0.0.0.0", 67))
    server.settimeout(0.05)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                request = server.recv(2048)
                for each in answers(request):
                    server.sendto(each, ("255.255.255.255", 68))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        server.close()


@pytest.mark.parametrize("answers", [hostile_texts, refusing])
@in_own_network
def test_what_a_hostile_server_says_is_taken_with_care(
    tmp_path: pathlib.Path, answers: Callable[[bytes], Iterator[bytes]]
) -> None:
    lab = NetLab(tmp_path, outside=True)
    # In another process: a process that changes its network namespace has one thread.
    pid = os.fork()
    if not pid:
        with served(lab, answers):
            time.sleep(10)
        os._exit(0)
    try:
        pod = lab.pod().attach(defined(lab, MACVLAN))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert pod.address == "192.0.2.66"
    assert pod.infos[0].result.dns.to_json() == {}


@in_own_network
def test_a_flood_of_nonsense_is_no_answer(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dhcp, "_TRIES", (0.3, 0.3))
    lab = NetLab(tmp_path, outside=True)
    pid = os.fork()
    if not pid:
        with served(lab, hostile_flood):
            time.sleep(10)
        os._exit(0)
    try:
        with pytest.raises(HostFailure, match="no DHCP server"):
            lab.pod().attach(defined(lab, MACVLAN))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@contextlib.contextmanager
def in_another_process(lab: NetLab, answers: Callable[[bytes], Iterator[bytes]]) -> Iterator[None]:
    """A server: a process that changes its network namespace has one thread."""
    pid = os.fork()
    if not pid:
        with served(lab, answers):
            time.sleep(60)
        os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def giving(address: str, *options: bytes) -> Callable[[bytes], Iterator[bytes]]:
    def answers(request: bytes) -> Iterator[bytes]:
        yield said(request, 5 if bytes((53, 1, 3)) in request else 2, address, *options)

    return answers


def lan(lab: NetLab, **members: object) -> str:
    """A network of ports of a bridge that leads outside."""
    ip("link", "add", "lan0", "type", "bridge")
    ip("link", "set", "up0", "master", "lan0")
    ip("link", "set", "lan0", "up")
    return defined(lab, {"type": "bridge", "bridge": "lan0", "ipam": {"type": "dhcp"}, **members})


@pytest.mark.finding("attack7-F4")
@in_own_network
def test_a_server_gives_the_host_neither_an_address_nor_a_route(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = lan(lab, isGateway=True, isDefaultGateway=True, ipMasq=True)
    before = ip("-4", "address"), ip("route")
    mask, router = bytes((1, 4, 192, 0, 0, 0)), bytes((3, 4, 64, 0, 0, 1))
    with in_another_process(lab, giving("64.0.0.2", mask, router)):
        pod = lab.pod().attach(name)
    assert (ip("-4", "address"), ip("route")) == before
    with inside(pod.netns):
        assert "default via 64.0.0.1" in ip("route")


@pytest.mark.finding("attack7-F5")
@in_own_network
def test_a_server_that_gives_an_address_of_the_host_is_refused(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    before = lab.snapshot()
    pod = lab.pod()
    with (
        in_another_process(lab, giving("192.0.2.1", bytes((1, 4, 255, 255, 255, 0)))),
        pytest.raises(HostFailure, match=r"gives 192\.0\.2\.1, an address of this host"),
    ):
        pod.attach(defined(lab, MACVLAN))
    pod.die()
    assert lab.snapshot() == before


MASK24, MASK32 = bytes((1, 4, 255, 255, 255, 0)), bytes((1, 4, 255, 255, 255, 255))


@pytest.mark.finding("attack7-F5")
@pytest.mark.parametrize(
    ("options", "routes"),
    [
        ((MASK32, bytes((3, 4, 192, 0, 2, 2))), ("192.0.2.2 dev eth0", "default via 192.0.2.2")),
        ((MASK24, bytes((3, 4, 10, 1, 1, 1))), ("10.1.1.1 dev eth0", "default via 10.1.1.1")),
        ((MASK24, bytes((121, 8, 0, 10, 9, 9, 9, 0, 0, 0))), ("10.9.9.9 dev eth0", "default via 10.9.9.9")),
        # as in clouds: the gateway is on the link, and by no router
        (
            (
                MASK32,
                bytes((121, 14, 0, 10, 9, 9, 1, 32, 10, 9, 9, 1, 0, 0, 0, 0)),
                bytes((3, 4, 10, 9, 9, 1)),
            ),
            ("10.9.9.1 dev eth0", "default via 10.9.9.1"),
        ),
        ((MASK24, bytes((3, 4, 192, 0, 2, 255))), ()),
        ((MASK24, bytes((3, 4, 192, 0, 2, 66))), ()),
        ((MASK24, bytes((121, 8, 8, 10, 192, 0, 2, 255, 0, 0))), ()),
        ((MASK24, bytes((121, 5, 0, 127, 0, 0, 1))), ()),
    ],
    ids=["one address", "outside", "route", "cloud", "broadcast", "own", "route by broadcast", "loopback"],
)
@in_own_network
def test_routes_by_what_is_on_no_subnet_or_no_gateway(
    tmp_path: pathlib.Path, options: tuple[bytes, ...], routes: tuple[str, ...]
) -> None:
    lab = NetLab(tmp_path, outside=True)
    plain = {**MACVLAN, "ipam": {"type": "dhcp"}}
    with in_another_process(lab, giving("192.0.2.66", *options)):
        pod = lab.pod().attach(defined(lab, plain))
    with inside(pod.netns):
        table = ip("route")
    assert all(route in table for route in routes)
    assert len(table.splitlines()) == len(routes) + (MASK24 in options)
