# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods of an isolated network do not reach each other, whatever frames they send, and reach all else."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import struct
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import (
    Drift,
    find_drift,
    read_joined,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.elements import (
    GUARD_TABLE,
    ISOLATION_TABLE,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.mend import mend
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    OUTSIDE_IP,
    NetLab,
    Pod,
    checksum,
    datagram,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    mac_of,
    nft,
    send_frame,
    source_seen,
    switch,
)

IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]],
}
PLUGIN = {
    "type": "bridge",
    "bridge": "br-iso",
    "isGateway": True,
    "isDefaultGateway": True,
    "ipMasq": True,
    "isolated": True,
    "ipam": IPAM,
}
GATEWAY, GATEWAY6 = "10.7.0.1", "fd00:7::1"
ONE, TWO, ONE6, TWO6 = "10.7.0.2", "10.7.0.3", "fd00:7::2", "fd00:7::3"
EVERYBODY = b"\xff" * 6
ETH_P_ALL, SOLICIT, ADVERTISE, ROUTER, REDIRECT = 3, 135, 136, 134, 137
FORWARD = PortForward("tcp", None, 8080, 80)


def lab_with(tmp_path: pathlib.Path, *, outside: bool = False, **members: object) -> NetLab:
    lab = NetLab(tmp_path, outside=outside)
    define(lab, **members)
    return lab


def define(lab: NetLab, name: str = "iso", *chained: dict[str, object], **members: object) -> None:
    plugins = [{**PLUGIN, **members}, *chained]
    lab.conf(f"10-{name}.conflist", json.dumps({"name": name, "cniVersion": "1.0.0", "plugins": plugins}))


def own_mac(pod: Pod) -> bytes:
    with inside(pod.netns):
        return mac_of("eth0")


def link_local(mac: bytes) -> str:
    return socket.inet_ntop(
        socket.AF_INET6,
        bytes((0xFE, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:])),
    )


def arp(source: bytes, sender: bytes, address: str, operation: int = 2, kind: int = 1) -> bytes:
    """A message that an address belongs to a MAC address. Source: RFC 826."""
    head = EVERYBODY + source + b"\x08\x06" + struct.pack(">HHBBH", kind, 0x0800, 6, 4, operation)
    return head + sender + socket.inet_aton(address) + EVERYBODY + socket.inet_aton(address)


def icmp6(macs: bytes, source: str, target: str, body: bytes) -> bytes:
    """A frame with a message of ICMPv6, its checksum still 0."""
    ends = b"".join(socket.inet_pton(socket.AF_INET6, text) for text in (source, target))
    total = checksum(ends + struct.pack(">II", len(body), 58) + body)
    header = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + ends
    return macs + b"\x86\xdd" + header + body[:2] + total + body[4:]


def neighbour(kind: int, source_mac: bytes, source: str, about: str, claimed: bytes) -> bytes:
    """A message about a neighbour's address. Source: RFC 4861, 4.3 and 4.4."""
    option = struct.pack(">BB", 2 if kind == ADVERTISE else 1, 1) + claimed
    flags = 0x20000000 if kind == ADVERTISE else 0
    body = struct.pack(">BBHI", kind, 0, 0, flags) + socket.inet_pton(socket.AF_INET6, about) + option
    return icmp6(bytes.fromhex("333300000001") + source_mac, source, "ff02::1", body)


def arrives(frame: bytes, sender: Pod, link: str = "br-iso", netns: int = -1) -> bool:
    """Whether a link receives a frame that a pod sends. The kernel takes tags of VLANs off."""
    with inside(netns) if netns >= 0 else contextlib.nullcontext():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.bind((link, 0))
    with raw:
        raw.settimeout(0.3)
        send_frame(sender.netns, "eth0", frame)
        with contextlib.suppress(TimeoutError):
            while True:
                found = raw.recv(2048)
                if found[:12] == frame[:12] and found.endswith(frame[18:]):
                    return True
    return False


def hears(target: Pod, address: str, sender: Pod, macs: bytes, source: str) -> bool:
    """Whether a pod receives a packet of another that is addressed to it."""
    with listen(target.netns, 5353, address, socket.SOCK_DGRAM) as service:
        service.settimeout(0.3)
        send_frame(sender.netns, "eth0", datagram(macs, source, address, 5353))
        try:
            return service.recv(16) == b"attack"
        except TimeoutError:
            return False


def set_filter(value: str) -> None:
    """Whether br_netfilter has the rules of the host see frames that pass a bridge."""
    for name in ("iptables", "ip6tables", "arptables"):
        switch(f"bridge/bridge-nf-call-{name}", value)


def flush() -> None:
    """Let the rules drop nothing."""
    nft("flush", "chain", *ISOLATION_TABLE.split(), "early")


def without_isolation(pod: Pod) -> None:
    link = pod.infos[0].host_if
    subprocess.run(["bridge", "link", "set", "dev", link, "isolated", "off"], check=True)


def drift_of(pod: Pod) -> Drift:
    """What is missing of a pod, as from a process that is in it."""
    infos, joined = read_joined(pod.uuid, pod.info_path, pod.conf_dir)
    with inside(pod.netns):
        within = subprocess.Popen(["sleep", "60"])
    try:
        return find_drift(within.pid, joined, infos, ())
    finally:
        within.kill()
        within.wait()


def forged(evil: Pod, victim: Pod) -> dict[str, bytes]:
    """Frames that take something of a neighbour, of the gateway or of the network, by what they take."""
    mine, other = own_mac(evil), own_mac(victim)
    all4, all6 = EVERYBODY + mine, bytes.fromhex("333300000001") + mine
    me6, here6 = link_local(mine), "ff02::1"
    good = datagram(all4, ONE, GATEWAY, 9)
    return {
        "MAC": datagram(EVERYBODY + other, ONE, GATEWAY, 9),
        "MAC and IPv4": datagram(EVERYBODY + other, TWO, GATEWAY, 9),
        "MAC, another": datagram(EVERYBODY + bytes.fromhex("0a5affffffff"), ONE, GATEWAY, 9),
        "IPv4": datagram(all4, TWO, GATEWAY, 9),
        "IPv4 of the gateway": datagram(all4, GATEWAY, ONE, 9),
        "IPv4 from outside": datagram(all4, "192.0.2.9", GATEWAY, 9),
        "no IPv4": datagram(all4, "0.0.0.0", "255.255.255.255", 67, sport=68),
        "IPv6": datagram(all6, TWO6, GATEWAY6, 9),
        "IPv6 of the gateway": datagram(all6, GATEWAY6, ONE6, 9),
        "IPv6 link-local": datagram(all6, link_local(other), here6, 9),
        "no IPv6": datagram(all6, "::", here6, 9),
        "ARP answer": arp(mine, mine, TWO),
        "ARP request": arp(mine, mine, TWO, 1),
        "ARP of the gateway": arp(mine, mine, GATEWAY),
        "ARP with its MAC": arp(mine, other, ONE),
        "ARP of IEEE 802": arp(mine, mine, TWO, 2, 6),
        "ARP probe with its MAC": arp(mine, other, "0.0.0.0", 1),
        "RARP": arp(mine, mine, ONE).replace(b"\x08\x06", b"\x80\x35", 1),
        "NDP answer": neighbour(ADVERTISE, mine, ONE6, TWO6, mine),
        "NDP answer from its address": neighbour(ADVERTISE, mine, TWO6, TWO6, mine),
        "NDP answer of the gateway": neighbour(ADVERTISE, mine, me6, GATEWAY6, mine),
        "NDP answer link-local": neighbour(ADVERTISE, mine, me6, link_local(other), mine),
        "NDP question": neighbour(SOLICIT, mine, TWO6, GATEWAY6, mine),
        "NDP claim": neighbour(SOLICIT, mine, "::", TWO6, mine),
        "RA": icmp6(all6, me6, here6, struct.pack(">BBHBBHII", ROUTER, 0, 0, 64, 0, 1800, 0, 0)),
        "redirect": icmp6(
            all6,
            me6,
            here6,
            struct.pack(">BBHI", REDIRECT, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, ONE6) * 2,
        ),
        "MLD query": icmp6(all6, me6, here6, struct.pack(">BBHHH", 130, 0, 0, 0, 0) + bytes(16)),
        "DHCP answer": datagram(all4, ONE, GATEWAY, 68, sport=67),
        "DHCPv6 answer": datagram(all6, ONE6, GATEWAY6, 546, sport=547),
        "VLAN": good[:12] + b"\x81\x00\x00\x05" + good[12:],
        "VLAN of a VLAN": good[:12] + b"\x88\xa8\x00\x05\x81\x00\x00\x05" + good[12:],
        "another protocol": all4 + b"\x88\xb5" + bytes(46),
    }


@pytest.mark.parametrize("limited", [False, True], ids=["free", "limited"])
@pytest.mark.parametrize("filtered", ["0", "1"], ids=["plain", "br_netfilter"])
@in_own_network
def test_no_forged_frame_comes_in(tmp_path: pathlib.Path, filtered: str, limited: bool) -> None:
    lab = NetLab(tmp_path)
    # What a limited pod sends comes to the bridge by another interface.
    rate = {"egressRate": 80_000_000, "egressBurst": 8_000_000}
    define(lab, "iso", *([{"type": "bandwidth", **rate}] if limited else []))
    evil, victim = lab.pod().attach("iso"), lab.pod().attach("iso")
    set_filter(filtered)
    frames = forged(evil, victim)
    assert [what for what, frame in frames.items() if arrives(frame, evil)] == []
    # They arrive where nothing drops them.
    flush()
    absent = [what for what, frame in frames.items() if not arrives(frame, evil)]
    assert absent == [] if filtered == "0" else len(absent) < len(frames) / 2


@in_own_network
def test_what_a_pod_says_of_itself_comes_in(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    pod = lab.pod().attach("iso")
    mine = own_mac(pod)
    frames = {
        "IPv4": datagram(EVERYBODY + mine, ONE, GATEWAY, 9),
        "IPv6": datagram(EVERYBODY + mine, ONE6, GATEWAY6, 9),
        "IPv6 link-local": datagram(EVERYBODY + mine, link_local(mine), GATEWAY6, 9),
        "ARP answer": arp(mine, mine, ONE),
        "ARP probe": arp(mine, mine, "0.0.0.0", 1),
        "NDP answer": neighbour(ADVERTISE, mine, ONE6, ONE6, mine),
        "NDP question": neighbour(SOLICIT, mine, ONE6, GATEWAY6, mine),
        "NDP claim": neighbour(SOLICIT, mine, "::", link_local(mine), mine),
        "question for routers": icmp6(
            bytes.fromhex("333300000002") + mine, "::", "ff02::2", struct.pack(">BBHI", 133, 0, 0, 0)
        ),
    }
    assert [what for what, frame in frames.items() if not arrives(frame, pod)] == []


@in_own_network
def test_pods_do_not_reach_each_other(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    one, two = lab.pod().attach("iso"), lab.pod().attach("iso")
    mine, other, gateway = own_mac(one), own_mac(two), mac_of("br-iso")
    for own, target in ((ONE, TWO), (ONE6, TWO6)):
        ways = {
            "neighbour": other,
            "everybody": EVERYBODY,
            "gateway": gateway,
            "port": mac_of(one.infos[0].host_if),
        }
        heard = [way for way, mac in ways.items() if hears(two, target, one, mac + mine, own)]
        assert heard == []
        with inside(one.netns):
            ip("neigh", "replace", target, "lladdr", gateway.hex(":"), "dev", "eth0")
        with listen(two.netns, 9000, target) as in_two, pytest.raises(OSError):
            source_seen(one.netns, in_two, target, 9000)
    # Each of the two ways is open where what shuts it is gone.
    flush()
    assert hears(two, TWO, one, gateway + mine, ONE)
    assert hears(two, TWO6, one, gateway + mine, ONE6)
    assert not hears(two, TWO, one, other + mine, ONE)
    without_isolation(one)
    assert hears(two, TWO, one, other + mine, ONE)


@pytest.mark.parametrize("filtered", ["0", "1"], ids=["plain", "br_netfilter"])
@in_own_network
def test_the_host_the_outside_and_published_ports_are_reached(tmp_path: pathlib.Path, filtered: str) -> None:
    lab = lab_with(tmp_path, outside=True, hairpinMode=True)
    one, two = lab.pod().attach("iso", FORWARD), lab.pod().attach("iso")
    set_filter(filtered)
    for address, own in ((GATEWAY, TWO), (GATEWAY6, TWO6)):
        with listen(here(), 8000, address) as on_host:
            assert source_seen(two.netns, on_host, address, 8000) == own
    with listen(lab.outside, 8000) as outside:
        assert source_seen(two.netns, outside, OUTSIDE_IP, 8000) == "192.0.2.1"
    with listen(one.netns, 80) as in_one:
        assert source_seen(here(), in_one, ONE, 80) == GATEWAY
        assert source_seen(here(), in_one, "127.0.0.1", 8080) == GATEWAY
        assert source_seen(lab.outside, in_one, "192.0.2.1", 8080) == OUTSIDE_IP
        for pod in (one, two):
            if filtered == "0":
                assert source_seen(pod.netns, in_one, "192.0.2.1", 8080) == GATEWAY
                continue
            # Then the bridge sees where the packet leads before the host would route it there.
            with pytest.raises(OSError):
                source_seen(pod.netns, in_one, "192.0.2.1", 8080)
    with listen(one.netns, 80, ONE6) as in_one:
        assert source_seen(here(), in_one, ONE6, 80) == GATEWAY6


@in_own_network
def test_the_bridge_learns_nothing_from_what_no_rule_sees(tmp_path: pathlib.Path) -> None:
    """Frames to 01:80:C2:00:00:0E, of LLDP, pass by every hook of netfilter."""
    lab = lab_with(tmp_path)
    evil, victim = lab.pod().attach("iso"), lab.pod().attach("iso")
    other = own_mac(victim)
    stealing = bytes.fromhex("0180c200000e") + other + b"\x88\xcc" + bytes(46)

    def at(mac: bytes) -> list[str]:
        found = json.loads(
            subprocess.run(
                ["bridge", "-j", "fdb", "show", "br", "br-iso"], check=True, capture_output=True
            ).stdout
        )
        return [each["ifname"] for each in found if each["mac"] == mac.hex(":")]

    send_frame(evil.netns, "eth0", stealing)
    assert at(other) == [victim.infos[0].host_if]
    with listen(victim.netns, 9000) as service:
        assert source_seen(here(), service, TWO, 9000) == GATEWAY
    # What the host sends to an address that is not known does not come to a pod either.
    with inside(evil.netns):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.bind(("eth0", 0))
    with raw:
        raw.settimeout(0.3)
        ip("neigh", "replace", "10.7.0.99", "lladdr", "0a:5a:ff:ff:ff:ff", "dev", "br-iso")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.sendto(b"secret", ("10.7.0.99", 9))
        with contextlib.suppress(TimeoutError):
            while True:
                assert b"secret" not in raw.recv(2048)
    # Without the switches the address would be stolen.
    subprocess.run(["bridge", "link", "set", "dev", evil.infos[0].host_if, "learning", "on"], check=True)
    subprocess.run(
        ["bridge", "fdb", "del", other.hex(":"), "dev", victim.infos[0].host_if, "master"], check=True
    )
    send_frame(evil.netns, "eth0", stealing)
    assert at(other) == [evil.infos[0].host_if]


@pytest.mark.finding("attack7-F1")
@pytest.mark.parametrize("limited", [False, True], ids=["free", "limited"])
@in_own_network
def test_frames_to_addresses_of_bridges_bring_the_host_nothing(tmp_path: pathlib.Path, limited: bool) -> None:
    """The port receives them in place of the bridge, whose rules do not see them."""
    lab = NetLab(tmp_path)
    rate = {"egressRate": 80_000_000, "egressBurst": 8_000_000}
    define(lab, "iso", *([{"type": "bandwidth", **rate}] if limited else []))
    before = lab.snapshot()
    evil, victim = lab.pod().attach("iso"), lab.pod().attach("iso")
    mine, other = own_mac(evil), own_mac(victim)

    def heard(last: int, source: str, address: str) -> bool:
        with listen(here(), 5353, address, socket.SOCK_DGRAM) as service:
            service.settimeout(0.2)
            macs = bytes((0x01, 0x80, 0xC2, 0, 0, last)) + mine
            send_frame(evil.netns, "eth0", datagram(macs, source, address, 5353))
            with contextlib.suppress(TimeoutError):
                return service.recv(16) == b"attack"
        return False

    ways = [(last, *ends) for last in range(16) for ends in ((TWO, GATEWAY), (TWO6, GATEWAY6))]
    ways += [(14, link_local(other), GATEWAY6), (14, "192.0.2.9", GATEWAY)]
    assert [way for way in ways if heard(*way)] == []
    nft("flush", "chain", *GUARD_TABLE.split(), "early")
    assert heard(14, TWO, GATEWAY)
    assert heard(14, TWO6, GATEWAY6)
    for pod in (evil, victim):
        pod.detach()
    assert lab.snapshot() == before


@in_own_network
def test_networks_that_are_not_isolated_stay_as_they_are(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    plain = {"ranges": [[{"subnet": "10.8.0.0/24"}]], "type": "host-local"}
    define(lab, "plain", bridge="br-plain", isolated=False, ipam=plain)
    lab.pod().attach("iso")
    one, two, both = lab.pod().attach("plain"), lab.pod().attach("plain"), lab.pod().attach("iso,plain")
    with listen(two.netns, 9000) as service:
        assert source_seen(one.netns, service, two.address, 9000) == one.address
    for info in both.infos:  # its replies take the default route, eth0
        with listen(both.netns, 80, info.ip) as server:
            assert source_seen(one.netns, server, info.ip, 80) in (one.address, GATEWAY)


@in_own_network
def test_the_table_comes_and_goes_with_its_pods(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    other = {"ranges": [[{"subnet": "10.9.0.0/24"}]], "type": "host-local"}
    define(lab, "other", bridge="br-other", ipam=other)
    empty = lab.snapshot()
    lab.pod().attach("default").detach()
    plain = lab.pod().attach("default")
    before = lab.snapshot()
    one, two = lab.pod().attach("iso"), lab.pod().attach("iso")
    between = lab.snapshot()
    third = lab.pod().attach("other")
    assert nft("list", "table", *ISOLATION_TABLE.split()).count("chain apart_") == 2
    third.detach()
    assert lab.snapshot() == between
    os.unlink(two.info_path)
    for pod in (two, one):
        assert pod.uuid in nft("list", "table", *ISOLATION_TABLE.split())
        pod.detach()
    assert lab.snapshot() == before
    plain.detach()
    assert lab.snapshot() == empty


@in_own_network
def test_a_pod_may_have_the_addresses_and_the_name_that_it_asks_for(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    pod = lab.pod().attach("iso:IP=10.7.0.77;MAC=02:00:00:00:00:77;IFNAME=lan0")
    for address, own in ((GATEWAY, "10.7.0.77"), (GATEWAY6, ONE6)):
        with listen(here(), 8000, address) as on_host:
            assert source_seen(pod.netns, on_host, address, 8000) == own
    assert drift_of(pod).sentences == ()


@pytest.mark.finding("attack7-F9")
@pytest.mark.parametrize("name", ["a\u2028b", "a\x1cb", "\u2003eth9", "a\u00850\u2003x"], ids=ascii)
@in_own_network
def test_an_interface_of_an_app_breaks_no_look_at_its_pod(tmp_path: pathlib.Path, name: str) -> None:
    """Its name has what str takes for white space or the end of a line, and the kernel does not."""
    lab = lab_with(tmp_path)
    pod = lab.pod().attach("iso")
    with inside(pod.netns):
        ip("link", "add", name, "type", "veth", "peer", "name", "far")
        ip("address", "add", "10.99.0.1/24", "dev", name)
        ip("address", "add", "fd00:99::1/64", "dev", name)
        for each in (name, "far"):
            ip("link", "set", each, "up")
    assert drift_of(pod).sentences == ()


@in_own_network
def test_a_pod_with_ipv6_alone_is_isolated_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path, ipam={"type": "host-local", "ranges": [[{"subnet": "fd00:7::/64"}]]})
    empty = lab.snapshot()
    one, two = lab.pod().attach("iso"), lab.pod().attach("iso")
    assert not hears(two, TWO6, one, mac_of("br-iso") + own_mac(one), ONE6)
    assert not arrives(datagram(EVERYBODY + own_mac(one), "10.7.0.2", GATEWAY, 9), one)
    for pod in (one, two):
        pod.detach()
    assert lab.snapshot() == empty


@pytest.mark.parametrize(
    "lost", ["table", "networks", "macs", "pairs", "pairs6", "targets", "port", "learning"]
)
@in_own_network
def test_an_isolation_that_has_gone_is_drift_and_comes_back(tmp_path: pathlib.Path, lost: str) -> None:
    lab = lab_with(tmp_path)
    evil, victim = lab.pod().attach("iso"), lab.pod().attach("iso")
    assert [drift_of(pod).sentences for pod in (evil, victim)] == [(), ()]
    link = evil.infos[0].host_if
    if lost == "table":
        nft("delete", "table", *ISOLATION_TABLE.split())
    elif lost in ("port", "learning"):
        flag = ("isolated", "off") if lost == "port" else ("learning", "on")
        subprocess.run(["bridge", "link", "set", "dev", link, *flag], check=True)
    else:
        nft("flush", "set" if lost != "networks" else "map", *ISOLATION_TABLE.split(), lost)
    expected = (0, f"isolation of link {link}") if lost in ("port", "learning") else (-1, "nftables rules")
    drift = drift_of(evil)
    assert drift.sentences == (expected,)
    mend(evil.joining, evil.netns, drift, ())
    assert drift_of(evil).sentences == ()
    assert not arrives(arp(own_mac(evil), own_mac(evil), TWO), evil)


@in_own_network
def test_a_chain_that_changes_the_address_or_a_program_is_refused(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    define(lab, "iso", {"type": "tuning", "mac": "02:11:22:33:44:55"})
    with pytest.raises(
        InvalidSpec, match='network "iso" cannot be isolated: its pods have the MAC addresses'
    ):
        lab.pod().attach("iso")
    define(lab, ipam={"type": "dhcp"})
    with pytest.raises(InvalidSpec, match="a DHCP server could change them"):
        lab.pod().attach("iso")
    define(lab, "iso", {"type": "tuning", "mtu": 1400})
    lab.pod().attach("iso").detach()
    program = lab.config / "net.d" / "bridge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(InvalidSpec, match="is not known to keep pods apart"):
        lab.pod().attach("iso")
