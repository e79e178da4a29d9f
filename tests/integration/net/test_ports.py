# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Ports of the host that are in use already, and leases of dead pods."""

from __future__ import annotations

import json
import os
import pathlib
import socket

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import read_net_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.neighbours import Neighbours
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ports import sockets_in_use
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import (
    PodRules,
    PortForward,
    rules_of_record,
)
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    NetLab,
    here,
    in_own_network,
    listen,
    nft,
    source_seen,
)

TCP = PortForward("tcp", None, 8080, 80)
AT_HOST_IP = PortForward("tcp", HOST_IP, 8080, 80)
AT_LOOPBACK = PortForward("tcp", "127.0.0.1", 8080, 80)
UDP = PortForward("udp", None, 8080, 80)

SMALL = """{"name": "small", "type": "ptp",
 "ipam": {"type": "host-local", "subnet": "10.9.0.0/24", "rangeStart": "10.9.0.5", "rangeEnd": "10.9.0.5"}}"""


def dead(*uuids: str) -> Neighbours:
    """Neighbours that know these pods to have ended."""
    return Neighbours(is_live=lambda uuid: uuid not in uuids)


@pytest.mark.behaviour("E24")
@pytest.mark.parametrize(
    ("held", "asked", "refused"),
    [
        (TCP, TCP, True),
        (TCP, AT_HOST_IP, True),
        (AT_HOST_IP, TCP, True),
        (AT_HOST_IP, AT_HOST_IP, True),
        (TCP, AT_LOOPBACK, True),
        (AT_LOOPBACK, TCP, True),
        (AT_HOST_IP, AT_LOOPBACK, False),
        (TCP, UDP, False),
    ],
    ids=str,
)
@in_own_network
def test_a_port_of_another_pod_is_refused_by_its_uuid(
    tmp_path: pathlib.Path, held: PortForward, asked: PortForward, refused: bool
) -> None:
    lab = NetLab(tmp_path, outside=True)
    pod = lab.pod().attach("", held)
    if not refused:
        lab.pod().attach("", asked)
        return
    before = lab.snapshot()
    with pytest.raises(Conflict, match=f"in use by pod {pod.uuid}"):
        lab.pod().attach("", asked)
    assert lab.snapshot() == before
    lab.pod().attach("", asked, neighbours=dead(pod.uuid))


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@in_own_network
def test_a_port_of_a_process_is_refused_by_its_pid(tmp_path: pathlib.Path, kind: int, address: str) -> None:
    with listen(here(), 8080, address, kind):
        with pytest.raises(Conflict, match=f"port 8080/.* is in use by .*pid {os.getpid()}"):
            sockets_in_use([TCP if kind == socket.SOCK_STREAM else UDP])
        sockets_in_use([UDP if kind == socket.SOCK_STREAM else TCP])


@in_own_network
def test_a_port_taken_after_the_preflight_is_refused_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    first = lab.pod().attach("", TCP)
    before = lab.snapshot()
    with pytest.raises(Conflict, match=first.uuid):
        lab.pod().attach("", TCP)
    assert lab.snapshot() == before


@in_own_network
def test_a_port_of_a_dead_pod_is_taken_over(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    first = lab.pod().attach("", TCP)
    first.die()
    second = lab.pod().attach("", TCP, neighbours=dead(first.uuid))
    first.detach()
    with listen(second.netns, 80) as server:
        assert source_seen(here(), server, "127.0.0.1", 8080) == "172.16.28.1"


@pytest.mark.behaviour("E13", "E14", "E15")
@in_own_network
def test_an_address_is_given_again_when_its_pod_is_gone_or_known_to_be_dead(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-small.conf", SMALL)
    first = lab.pod().attach("small")
    first.die()
    with pytest.raises(Conflict, match="no IP addresses available in network: small"):
        lab.pod().attach("small")
    with pytest.raises(
        Conflict, match=r'requested IP address "10\.9\.0\.5" is not available in network: small'
    ):
        lab.pod().attach("small:IP=10.9.0.5")
    second = lab.pod().attach("small", neighbours=dead(first.uuid))
    assert second.address == "10.9.0.5"
    first.detach()
    with listen(here(), 8000) as server:
        assert source_seen(second.netns, server, "10.9.0.1", 8000) == "10.9.0.5"
    second.detach()
    assert lab.pod().attach("small").address == "10.9.0.5"


@pytest.mark.behaviour("E13")
@pytest.mark.parametrize("shared", [False, True], ids=["usual place", "named place"])
@in_own_network
def test_a_lease_of_an_unknown_holder_is_another_engines(tmp_path: pathlib.Path, shared: bool) -> None:
    lab = NetLab(tmp_path)
    base = tmp_path / "cni" if shared else pathlib.Path(lab.paths.leases)
    conf = json.loads(SMALL)
    if shared:
        conf["ipam"]["dataDir"] = str(base)
    lab.conf("10-small.conf", json.dumps(conf))
    (base / "small").mkdir(parents=True)
    (base / "small" / "10.9.0.5").write_text("0123456789abcdef" * 4 + "\r\neth0")
    with pytest.raises(Conflict, match="no IP addresses available in network: small"):
        lab.pod().attach("small")


@pytest.mark.behaviour("E20", "E23")
@pytest.mark.parametrize(
    "last", [(), (PortForward("tcp", None, 9090, 80),)], ids=["without ports", "with ports"]
)
@in_own_network
def test_a_table_that_somebody_has_flushed_comes_back_for_all_pods(
    tmp_path: pathlib.Path, last: tuple[PortForward, ...]
) -> None:
    lab = NetLab(tmp_path, outside=True)
    published = lab.pod().attach("default", TCP)
    quiet = lab.pod().attach("default-restricted")
    whole = elements(nft("list", "ruleset"))
    nft("flush", "ruleset")
    running = [(published, (TCP,)), (quiet, ())]

    def records() -> list[PodRules]:
        return [rules_of_record(pod.uuid, read_net_info(pod.info_path), ports) for pod, ports in running]

    third = lab.pod().attach("default", *last, neighbours=Neighbours(rules=records))
    assert whole <= elements(nft("list", "ruleset"))
    with listen(published.netns, 80) as server:
        assert source_seen(here(), server, "127.0.0.1", 8080) == "172.16.28.1"
        assert source_seen(lab.outside, server, HOST_IP, 8080)
    for pod in (published, quiet, third):
        pod.detach()
    assert nft("list", "ruleset") == ""


def elements(ruleset: str) -> set[str]:
    """The elements of the sets and maps of a ruleset."""
    return {
        word.strip("\t ,{}")
        for line in ruleset.splitlines()
        if "comment" in line
        for word in line.split("elements = ")[-1].split(",")
    }


@pytest.mark.behaviour("E14", "E15")
@in_own_network
def test_a_requested_address_is_exactly_that(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    pod = lab.pod().attach("default:IP=172.16.28.123")
    assert pod.address == "172.16.28.123"
    with pytest.raises(Conflict, match="is not available"):
        lab.pod().attach("default:IP=172.16.28.123")
    pod.detach()
    assert lab.pod().attach("default:IP=172.16.28.123").address == "172.16.28.123"


def _ptp(name: str, third: int, masq: bool) -> str:
    ipam = f'{{"type": "host-local", "subnet": "10.9.{third}.0/24"}}'
    return f'{{"name": "{name}", "type": "ptp", "ipMasq": {str(masq).lower()}, "ipam": {ipam}}}'


@pytest.mark.behaviour("E22")
@pytest.mark.parametrize(
    ("masqs", "chosen"),
    [
        ((False, True, True), 1),
        ((True, False, True), 0),
        ((False, False, True), 2),
        ((False, False, False), 2),
    ],
    ids=str,
)
@in_own_network
def test_ports_lead_to_the_first_network_with_masquerading_else_to_the_last(
    tmp_path: pathlib.Path, masqs: tuple[bool, ...], chosen: int
) -> None:
    lab = NetLab(tmp_path)
    for number, masq in enumerate(masqs):
        lab.conf(f"{number}0-n{number}.conf", _ptp(f"n{number}", number, masq))
    pod = lab.pod().attach(",".join(f"n{number}" for number in reversed(range(len(masqs)))), TCP)
    addresses = [f"10.9.{number}.2" for number in range(len(masqs))]
    assert [info.ip for info in pod.infos] == addresses
    # one server on each address of the pod: the port leads to the one that answers
    servers = [listen(pod.netns, 80, address) for address in addresses]
    assert source_seen(here(), servers[chosen], "127.0.0.1", 8080) == f"10.9.{chosen}.1"
    for server in servers:
        server.close()


@pytest.mark.behaviour("E10")
@pytest.mark.parametrize(
    ("ipam", "message"),
    [
        ("", 'network "lan" gives no address'),
        (', "ipam": {}', 'network "lan" gives no address'),
        (', "ipam": {"type": "static", "addresses": []}', 'network "lan" gives no address'),
        (', "ipam": {"type": "host-local"}', "expected a subnet or ranges"),
    ],
    ids=["no ipam", "empty ipam", "static without addresses", "host-local without a subnet"],
)
@pytest.mark.parametrize("kind", ["ptp", "bridge"])
@in_own_network
def test_a_network_must_give_an_address(tmp_path: pathlib.Path, kind: str, ipam: str, message: str) -> None:
    lab = NetLab(tmp_path)
    before = lab.snapshot()
    lab.conf("10-lan.conf", f'{{"name": "lan", "type": "{kind}"{ipam}}}')
    pod = lab.pod()
    with pytest.raises(InvalidSpec, match=message):
        pod.attach("lan")
    assert lab.snapshot() == before
    assert not os.path.exists(pod.info_path)


@pytest.mark.behaviour("E10")
@in_own_network
def test_the_address_of_each_network_is_recorded(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    pod = lab.pod().attach("default,default-restricted")
    recorded = json.loads(pathlib.Path(pod.info_path).read_text())
    assert [(net["netName"], net["ifName"], net["ip"], net["mask"]) for net in recorded] == [
        ("default-restricted", "eth0", "172.31.0.2", "255.255.0.0"),
        ("default", "eth1", "172.16.28.2", "255.255.255.0"),
    ]
