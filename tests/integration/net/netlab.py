# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A separate network for a test: a host, pods and an outside, none of which this machine can see.

The whole test runs in a child that left the machine's network and mount namespaces, so its nftables, links and
switches are the test's alone:

    outside 192.0.2.2 ---- 192.0.2.1 host ---- pods
    2001:db8:2::2 ---- 2001:db8:2::1
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.programs import Running
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    setns,
    unshare,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import conntrack
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.attach import attach
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import (
    choose,
    load_confs,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.detach import detach
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.member import JoiningPod
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.neighbours import ALONE, Neighbours
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import (
    network_plan,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.programs import (
    find_delegates,
    find_programs,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtsocket import (
    NETLINK_NETFILTER,
    RouteSocket,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward

HOST_IP = "192.0.2.1"
OUTSIDE_IP = "192.0.2.2"
HOST_IP6 = "2001:db8:2::1"
OUTSIDE_IP6 = "2001:db8:2::2"
TIMEOUT = 2.0
_SKIPPED = "skipped: "


def in_own_network(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a child that has its own network and mount namespaces; its failure is the test's."""

    @functools.wraps(test)
    def wrapper(*args: object, **kwargs: object) -> None:
        if os.geteuid():
            pytest.skip("needs root")
        readable, writable = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(readable)
            _run_and_exit(writable, lambda: test(*args, **kwargs))
        os.close(writable)
        with open(readable, encoding="utf-8") as told:
            failure = told.read()
        _other, status = os.waitpid(pid, 0)
        if failure.startswith(_SKIPPED):
            pytest.skip(failure.removeprefix(_SKIPPED))
        if failure or status:
            pytest.fail(failure or f"the test's process ended with {status}", pytrace=False)

    return wrapper


def _run_and_exit(writable: int, body: Callable[[], None]) -> None:
    try:
        unshare(CLONE_NEWNET | CLONE_NEWNS)
        ip("link", "set", "lo", "up")
        body()
    except pytest.skip.Exception as err:
        os.write(writable, f"{_SKIPPED}{err}".encode())
    except BaseException:
        os.write(writable, traceback.format_exc().encode())
    finally:
        sys.stdout.flush()
        os._exit(0)


def ip(*args: str) -> str:
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True).stdout


def nft(*args: str, stdin: str = "") -> str:
    return subprocess.run(["nft", *args], check=True, capture_output=True, text=True, input=stdin).stdout


def new_netns() -> int:
    """The only descriptor that keeps a new network namespace alive."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWNET)
    fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    setns(home, CLONE_NEWNET)
    os.close(home)
    return fd


@contextlib.contextmanager
def inside(netns: int) -> Iterator[None]:
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    setns(netns, CLONE_NEWNET)
    try:
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


class Pod:
    def __init__(self, lab: NetLab, uuid: str) -> None:
        self.lab = lab
        self.uuid = uuid
        self.netns = new_netns()
        self.directory = pathlib.Path(lab.paths.data) / "pods" / "run" / uuid
        self.directory.mkdir(parents=True)
        self.info_path = str(self.directory / "net-info.json")
        self.conf_dir = str(self.directory / "net")
        self.infos: tuple[NetInfo, ...] = ()
        self.sysctls: frozenset[str] = frozenset()
        self.tables: Running | None = None
        self.limit = 0

    def attach(
        self, net: str = "", *forwards: PortForward, neighbours: Neighbours = ALONE, **more: object
    ) -> Pod:
        chosen = choose(load_confs(self.lab.paths.config_dirs), parse_requests(net))
        chosen = find_delegates(chosen, self.lab.paths)
        plan = network_plan(chosen, forwards, find_programs(chosen, self.lab.paths), self.limit)
        joining = self.joining.replace(neighbours=neighbours, sysctls=self.sysctls, tables=self.tables)
        self.infos = attach(joining, self.netns, plan, **more)  # type: ignore[arg-type]
        return self

    def detach(self, *, links: bool = True) -> None:
        detach(self.joining, links=links)

    @property
    def joining(self) -> JoiningPod:
        path = f"/proc/{os.getpid()}/fd/{self.netns}" if self.netns >= 0 else ""
        return JoiningPod(self.lab.paths, self.uuid, self.conf_dir, self.info_path, netns=path)

    def die(self) -> None:
        """End the network namespace, as the last process of a pod does."""
        os.close(self.netns)
        self.netns = -1

    @property
    def address(self) -> str:
        return self.infos[0].ip

    @property
    def address6(self) -> str:
        """Its one IPv6 address."""
        (found,) = [each for each in self.infos[0].result.addresses if not each.is_v4]
        return str(found.address)


class Left(NamedTuple):
    """The state of a network. rules: of nftables. queues: of links. marks: of /run, and namespaces that have names."""

    links: str
    addresses: str
    routes: str
    rules: str
    routes6: str
    queues: str
    connections: str
    marks: str


def _connections_of_pods() -> list[str]:
    """Tracked connections from or to addresses that are not those of the host or the outside.

    Without those to a group: a bridge with an address joins some.
    """
    with RouteSocket(NETLINK_NETFILTER) as netfilter:
        found = list(conntrack.connections(netfilter))
    flows = [flow for each in found for flow in (each.there, each.back)]
    ends = [(str(flow.source), str(flow.target)) for flow in flows]
    known = (HOST_IP, OUTSIDE_IP, HOST_IP6, OUTSIDE_IP6, "127.", "::1", "fe80:")
    groups = {source for source, target in ends if target.startswith(("224.", "ff0"))}
    return sorted(
        {
            f"{source} to {target} is tracked"
            for source, target in ends
            if not (source.startswith(known) and target.startswith(known))
            and not target.startswith(("224.", "ff0"))
            and not (source.startswith(("224.", "ff0")) and target in groups)
        }
    )


def _marks(run: str) -> list[str]:
    """The files of the host in /run without locks, which stay, and the namespaces that mounts keep alive."""
    files = (str(found) for found in pathlib.Path(run).rglob("*") if not found.is_dir())
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    kept = (line.split()[4] for line in mounts if " - nsfs " in line)
    return sorted((*(file for file in files if not file.startswith(f"{run}/locks/")), *kept))


class NetLab:
    """The host's side of a test. Made inside in_own_network."""

    def __init__(self, tmp_path: pathlib.Path, *, outside: bool = False) -> None:
        config = tmp_path / "etc"
        (config / "net.d").mkdir(parents=True)
        self.config = config
        self.paths = Paths(
            str(tmp_path / "data"),
            str(config),
            str(tmp_path / "usr"),
            run=str(tmp_path / "run"),
            leases=str(tmp_path / "leases"),
        )
        self._pods = 0
        self.outside = self._make_outside() if outside else -1

    def _make_outside(self) -> int:
        netns = new_netns()
        self._veth_to(netns)
        return netns

    def _veth_to(self, netns: int) -> None:
        ip("link", "add", "up0", "type", "veth", "peer", "name", "far0")
        subprocess.run(["ip", "link", "set", "far0", "netns", f"/proc/{os.getpid()}/fd/{netns}"], check=True)
        ip("addr", "add", f"{HOST_IP}/24", "dev", "up0")
        ip("addr", "add", f"{HOST_IP6}/64", "dev", "up0", "nodad")
        ip("link", "set", "up0", "up")
        with inside(netns):
            ip("addr", "add", f"{OUTSIDE_IP}/24", "dev", "far0")
            ip("addr", "add", f"{OUTSIDE_IP6}/64", "dev", "far0", "nodad")
            ip("link", "set", "far0", "up")
            ip("link", "set", "lo", "up")
        # The kernel reports the carrier a little later, and snapshots are compared.
        end = time.monotonic() + TIMEOUT
        while "state UP" not in ip("-o", "link", "show", "up0") and time.monotonic() < end:
            time.sleep(0.01)

    def pod(self) -> Pod:
        self._pods += 1
        return Pod(self, f"{self._pods:08x}-aaaa-4bbb-8ccc-{self._pods:012x}")

    def conf(self, file_name: str, text: str) -> None:
        (self.config / "net.d" / file_name).write_text(text)

    def snapshot(self) -> tuple[str, ...]:
        """The state of this network, in the order of Left, and the leases."""
        leases = sorted(
            str(found)
            for found in pathlib.Path(self.paths.leases).rglob("*")
            if found.is_file() and found.name != "lock"
        )
        # the kernel checks for a second whether another host has the link-local address
        addresses = ip("addr").replace(" tentative", "")
        left = Left(
            ip("-o", "link"),
            addresses,
            ip("route"),
            nft("list", "ruleset"),
            ip("-6", "route"),
            subprocess.run(["tc", "qdisc"], check=True, capture_output=True, text=True).stdout,
            "\n".join(_connections_of_pods()),
            "\n".join(_marks(self.paths.run)),
        )
        return (*left, *leases)


def listen(
    netns: int, port: int, address: str = "0.0.0.0", kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> socket.socket:
    """A server in a network namespace. protocol: that of IP, where the kind does not say it."""
    with inside(netns):
        server = socket.socket(family_of(address), kind, protocol)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.settimeout(TIMEOUT)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def here() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def switch(key: str, value: str = "") -> str:
    """The content of a file below /proc/sys/net in this network namespace; it is written first if there is a value."""
    path = pathlib.Path("/proc/sys/net") / key
    if value:
        path.write_text(value)
    return path.read_text().strip()


def is_up(link: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", link.encode(), 0)
        flags = fcntl.ioctl(any_socket, 0x8913, request)  # SIOCGIFFLAGS
    return bool(struct.unpack("16sH14x", flags)[1] & 1)


def at_every_call(work: Callable[[], object], look: Callable[[], None]) -> None:
    """Do some work, and check the kernel's state before and after every call of a function in it."""
    failed: list[BaseException] = []

    def on_event(*_args: object) -> None:
        try:
            look()
        except BaseException as err:
            failed.append(err)

    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(None)
    if failed:
        raise failed[0]


def send_frame(netns: int, link: str, frame: bytes) -> None:
    """Send a raw frame, as any app may with CAP_NET_RAW."""
    with inside(netns), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((link, 0))
        raw.send(frame)


def checksum(data: bytes) -> bytes:
    """The internet checksum. Source: RFC 1071."""
    words = struct.unpack(f">{len(data) // 2}H", data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def datagram(
    macs: bytes, source: str, target: str, port: int, payload: bytes = b"attack", *, sport: int = 999
) -> bytes:
    """A frame with UDP from any source address and port. macs: destination and source."""
    ends = [socket.inet_pton(family_of(address), address) for address in (source, target)]
    size = 8 + len(payload)
    if ":" in target:
        header = struct.pack(">IHBB", 6 << 28, size, 17, 64) + b"".join(ends)
        pseudo = b"".join(ends) + struct.pack(">IIHHHH", size, 17, sport, port, size, 0) + payload
        udp = struct.pack(">HHH", sport, port, size) + checksum(pseudo)
        return macs + b"\x86\xdd" + header + udp + payload
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 1, 0, 64, 17, 0) + b"".join(ends)
    udp = struct.pack(">HHHH", sport, port, size, 0)  # IPv4 needs no checksum of UDP
    return macs + b"\x08\x00" + header[:10] + checksum(header) + header[12:] + udp + payload


def mac_of(link: str) -> bytes:
    """The MAC address of a link of this network namespace."""
    return bytes.fromhex(json.loads(ip("-j", "link", "show", link))[0]["address"].replace(":", ""))


def source_seen(client: int, server: socket.socket, address: str, port: int) -> str:
    """The address that a server sees when a client in a network namespace connects to address:port. Raises OSError."""
    with inside(client), contextlib.ExitStack() as stack:
        out = stack.enter_context(socket.socket(server.family, server.type, server.proto))
        out.settimeout(TIMEOUT)
        out.connect((address, port))
        if server.type == socket.SOCK_DGRAM:
            out.send(b"ping")
            _data, peer = server.recvfrom(16)
            server.sendto(b"pong", peer)
        else:
            answering, peer = server.accept()
            stack.enter_context(answering)
            answering.settimeout(TIMEOUT)
            out.sendall(b"ping")
            assert answering.recv(4) == b"ping"
            answering.sendall(b"pong")
        assert out.recv(4) == b"pong"
        return str(peer[0])
