# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A pod on a network of type ptp sends with its own addresses and with no other."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import find_drift, read_joined
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.elements import (
    GUARD_SETS,
    GUARD_TABLE,
    PORTS,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.guard import guards_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import read_net_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.nfsocket import NetfilterSocket
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    NetLab,
    Pod,
    datagram,
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

DUAL = """{"name": "dual", "type": "ptp", "ipam": {"type": "host-local",
 "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd00:5::/64"}]],
 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}"""
SECOND = """{"name": "second", "type": "ptp", "ipam": {"type": "host-local", "subnet": "10.6.0.0/24"}}"""
BRIDGE = """{"name": "br", "type": "bridge", "bridge": "cni7", "isGateway": true,
 "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}"""
FLUSH = ("flush", "chain", *GUARD_TABLE.split(), "early")


def lab_with(tmp_path: pathlib.Path) -> NetLab:
    lab = NetLab(tmp_path)
    for name, text in (("10-dual", DUAL), ("20-second", SECOND), ("30-br", BRIDGE)):
        lab.conf(f"{name}.conf", text)
    return lab


def address6(pod: Pod) -> str:
    return pod.infos[0].ip6[0].partition("/")[0]


def macs(pod: Pod, link: str = "eth0") -> bytes:
    """The MAC addresses of a frame from a pod to the host."""
    with inside(pod.netns):
        source = mac_of(link)
    host_if = next(info.host_if for info in pod.infos if info.if_name == link)
    return mac_of(host_if) + source


def hears(target: Pod, address: str, sender: Pod, source: str, link: str = "eth0") -> bool:
    """Whether a pod receives a packet that another sends with a source address.

    It is sent three times: the first may be lost while the host asks where the address is.
    """
    with listen(target.netns, 5353, address, socket.SOCK_DGRAM) as service:
        service.settimeout(0.3)
        for _attempt in range(3):
            send_frame(sender.netns, link, datagram(macs(sender, link), source, address, 5353))
            with contextlib.suppress(TimeoutError):
                data, peer = service.recvfrom(16)
                return (data, peer[0]) == (b"attack", source)
    return False


def drift_of(pod: Pod) -> tuple[tuple[int, str], ...]:
    """The missing rules of a pod. Its own side is not checked: no process is in it."""
    infos, joined = read_joined(pod.uuid, pod.info_path, pod.conf_dir)
    found = find_drift(os.getpid(), joined, infos, ())
    return tuple(sentence for sentence in found.sentences if sentence[0] == -1)


def guards() -> dict[str, set[str]]:
    """The guard's sets as nft lists them, by owner."""
    found: dict[str, set[str]] = {}
    for item in json.loads(nft("-j", "list", "table", *GUARD_TABLE.split()))["nftables"]:
        for element in item.get("set", {}).get("elem", ()):
            value = element["elem"]["val"]
            key = " . ".join(value["concat"]) if isinstance(value, dict) else value
            found.setdefault(element["elem"]["comment"], set()).add(key)
    return found


@pytest.mark.finding("attack4-F4")
@in_own_network
def test_a_pod_sends_with_its_own_addresses_only(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    pods = [lab.pod().attach("dual") for _number in range(3)]
    evil, _victim, target = pods
    for own, victims, targets, elsewhere in (
        (*(pod.address for pod in pods), "192.168.9.9"),
        (*(address6(pod) for pod in pods), "fd00:99::9"),
    ):
        assert hears(target, targets, evil, own)
        assert not hears(target, targets, evil, victims)
        assert not hears(target, targets, evil, elsewhere)
        assert not hears(target, targets, evil, targets)
    # The same packets arrive where nothing drops them.
    nft(*FLUSH)
    assert hears(target, target.address, evil, pods[1].address)
    assert hears(target, address6(target), evil, address6(pods[1]))


@pytest.mark.finding("attack4-F4")
@in_own_network
def test_a_pod_without_ipv6_sends_none(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    evil, target = lab.pod().attach("second"), lab.pod().attach("dual")
    address = address6(target)
    assert not hears(target, address, evil, "fd00:99::9")
    nft(*FLUSH)
    assert hears(target, address, evil, "fd00:99::9")


@pytest.mark.finding("attack4-F4")
@in_own_network
def test_a_pod_of_several_networks_answers_by_either_of_them(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    both, other = lab.pod().attach("dual,second,br"), lab.pod().attach("dual")
    for info in both.infos:  # its replies take the default route, eth0
        with listen(both.netns, 80, info.ip) as server:
            assert source_seen(other.netns, server, info.ip, 80) == other.address
    assert hears(other, other.address, both, "10.6.0.2")
    assert not hears(other, other.address, both, "10.6.0.9")


@pytest.mark.finding("attack4-F4")
@in_own_network
def test_the_guard_comes_and_goes_with_its_pods(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    one, two, bridged = lab.pod().attach("dual"), lab.pod().attach("second"), lab.pod().attach("br")
    links = [pod.infos[0].host_if for pod in (one, two)]
    held = {
        one.uuid: {links[0], f"{links[0]} . 10.5.0.2", f"{links[0]} . fd00:5::2"},
        two.uuid: {links[1], f"{links[1]} . 10.6.0.2"},
    }
    assert guards() == held
    with NetfilterSocket() as asked:
        found = tuple(asked.guards())
        assert all(asked.has(element) for element in found)
        assert not any(asked.has(element.replace(owner="x" * 36)) for element in found)
    assert {element.container for element in found} == set(GUARD_SETS) - {PORTS}
    assert set(found) == {*guards_of(one.uuid, one.infos), *guards_of(two.uuid, two.infos)}
    one.detach()
    del held[one.uuid]
    assert guards() == held
    two.detach()
    assert guards() == {}
    bridged.detach()
    assert nft("list", "ruleset") == ""


@pytest.mark.finding("attack4-F4")
@pytest.mark.parametrize("lost", ["table", "element"])
@in_own_network
def test_a_guard_that_has_gone_is_drift(tmp_path: pathlib.Path, lost: str) -> None:
    lab = lab_with(tmp_path)
    pod, beside = lab.pod().attach("dual"), lab.pod().attach("br")
    link = pod.infos[0].host_if
    drifts = [drift_of(found) for found in (pod, beside)]
    assert drifts == [(), ()]
    if lost == "table":
        nft("delete", "table", *GUARD_TABLE.split())
    else:
        nft("delete", "element", *GUARD_TABLE.split(), "own6", f"{{ {link} . fd00:5::2 }}")
    assert drift_of(pod) == ((-1, "nftables rules"),)
    assert drift_of(beside) == (((-1, "nftables rules"),) if lost == "table" else ())


@pytest.mark.finding("attack4-F4")
@in_own_network
def test_a_pod_that_has_no_rules_lacks_no_guard(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    lab.conf("40-six.conf", BRIDGE.replace('"br"', '"six"').replace("10.7.0.0/24", "fd00:7::/64"))
    pod = lab.pod().attach("six")
    record = json.loads(pathlib.Path(pod.info_path).read_text())
    del record[0]["rules"]  # earlier releases have none for IPv6
    pathlib.Path(pod.info_path).write_text(json.dumps(record))
    nft("flush", "ruleset")
    assert drift_of(pod) == ()


@pytest.mark.finding("attack4-F4")
@in_own_network
def test_a_pod_of_an_earlier_release_stays_as_it_was_joined(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    old = lab.pod().attach("dual")
    record = json.loads(pathlib.Path(old.info_path).read_text())
    del record[0]["addresses"]
    pathlib.Path(old.info_path).write_text(json.dumps(record))
    nft("delete", "table", *GUARD_TABLE.split())
    assert drift_of(old) == ()
    assert guards_of(old.uuid, read_net_info(old.info_path)) == ()
    new = lab.pod().attach("dual")
    assert set(guards()) == {new.uuid}
    assert hears(new, new.address, old, "10.5.0.77")
    new.detach()
    old.detach()
    assert nft("list", "ruleset") == ""


@pytest.mark.finding("attack4-F4")
@in_own_network
def test_a_pod_with_ipv6_alone_is_guarded_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path)
    lab.conf("40-six.conf", DUAL.replace('"dual"', '"six"').replace('[{"subnet": "10.5.0.0/24"}], ', ""))
    evil, target = lab.pod().attach("six"), lab.pod().attach("six")
    assert hears(target, "fd00:5::3", evil, "fd00:5::2")
    assert not hears(target, "fd00:5::3", evil, "fd00:5::4")
    evil.detach()
    target.detach()
    assert nft("list", "ruleset") == ""
    assert switch("ipv6/conf/all/forwarding") == "1"
    assert "inet6 fd00:5::" not in ip("addr")
