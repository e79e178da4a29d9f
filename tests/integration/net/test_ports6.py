# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Published ports and masquerading over IPv6, and over both families at once."""

from __future__ import annotations

import json
import os
import pathlib
import socket

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import choose, load_confs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import (
    Drift,
    find_drift,
    read_joined,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.facts import host_facts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import read_net_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.mend import mend
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.neighbours import Neighbours
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import (
    network_plan,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ports import sockets_in_use
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.reach import unreached_here
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import (
    PortForward,
    rules_of_record,
)
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    HOST_IP6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    NetLab,
    Pod,
    family_of,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    nft,
    source_seen,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_conntrack import (
    answered,
    answered_soon,
    client,
    tracked,
)

RANGES = '"ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]'
DEFAULTS = '"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]'
IPAM = f'"ipam": {{"type": "host-local", {RANGES}, {DEFAULTS}}}'
NETS = {
    "line": f'{{"name": "line", "type": "ptp", "ipMasq": true, {IPAM}}}',
    "br": f"""{{"name": "br", "type": "bridge", "bridge": "cni7", "isGateway": true, "ipMasq": true,
        "hairpinMode": true, {IPAM}}}""",
    "open": f'{{"name": "open", "type": "ptp", {IPAM.replace("10.7", "10.8").replace("fd00:7", "fd00:8")}}}',
    "six": """{"name": "six", "type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "subnet": "fd00:9::/64",
        "routes": [{"dst": "::/0"}]}}""",
}
HTTP = PortForward("tcp", None, 8080, 80)
SAME_PORT = 80
FAMILIES = [("0.0.0.0", HOST_IP, OUTSIDE_IP, "127.0.0.1"), ("::", HOST_IP6, OUTSIDE_IP6, "")]
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def lab_of(tmp_path: pathlib.Path, *, outside: bool = True) -> NetLab:
    lab = NetLab(tmp_path, outside=outside)
    for name, text in NETS.items():
        lab.conf(f"10-{name}.conf", text)
    return lab


def gateway_of(pod: Pod, *, six: bool) -> str:
    (found,) = [each for each in pod.infos[0].result.addresses if each.is_v4 is not six]
    return str(found.gateway)


def own_of(pod: Pod, *, six: bool) -> str:
    (found,) = [each for each in pod.infos[0].result.addresses if each.is_v4 is not six]
    return str(found.address)


def drift_of(pod: Pod, *forwards: PortForward) -> Drift:
    """The drift as seen from the namespaces of this process, which has those of the pod in no /proc."""
    infos, joined = read_joined(pod.uuid, pod.info_path, pod.conf_dir)
    child = os.fork()
    if not child:
        with inside(pod.netns):
            os.kill(os.getpid(), 19)
        os._exit(0)
    try:
        os.waitpid(child, os.WUNTRACED)
        return find_drift(child, joined, infos, forwards)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.kernel
@pytest.mark.behaviour("E20", "E22", "E23")
@pytest.mark.parametrize("net", ["line", "br"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
@in_own_network
def test_a_port_on_every_address_is_reached_from_everywhere_over_both_families(
    tmp_path: pathlib.Path, net: str, protocol: str, six: bool
) -> None:
    lab = lab_of(tmp_path)
    before = lab.snapshot()
    pod = lab.pod().attach(net, PortForward(protocol, None, 8080, SAME_PORT))
    neighbour, stranger = lab.pod().attach(net), lab.pod().attach("open")
    everywhere, host, outside, loopback = FAMILIES[six]
    gateway = gateway_of(pod, six=six)
    with listen(pod.netns, SAME_PORT, everywhere, KINDS[protocol]) as server:
        assert source_seen(lab.outside, server, host, 8080) == outside
        assert source_seen(here(), server, host, 8080) == host
        if loopback:
            assert source_seen(here(), server, loopback, 8080) == gateway
        # By the address of the host: from a pod of the same network, of another one, and from the pod itself.
        assert source_seen(neighbour.netns, server, host, 8080) in (gateway, own_of(neighbour, six=six))
        assert source_seen(stranger.netns, server, host, 8080) == own_of(stranger, six=six)
        assert source_seen(pod.netns, server, host, 8080) == gateway
        # By the gateway of its own network.
        assert source_seen(neighbour.netns, server, gateway, 8080) in (gateway, own_of(neighbour, six=six))
    for each in (stranger, neighbour, pod):
        each.detach()
    assert lab.snapshot() == before


@pytest.mark.parametrize("filters", [False, True], ids=["routed", "filtered bridges"])
@pytest.mark.parametrize("hairpin", [False, True], ids=["plain", "hairpin"])
@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
@in_own_network
def test_a_pod_on_a_bridge_reaches_itself_unless_it_is_told_that_it_does_not(
    tmp_path: pathlib.Path, filters: bool, hairpin: bool, six: bool
) -> None:
    lab = lab_of(tmp_path)
    if not hairpin:
        lab.conf("10-br.conf", NETS["br"].replace('"hairpinMode": true,', ""))
    keys = [pathlib.Path(f"/proc/sys/net/bridge/bridge-nf-call-ip{each}tables") for each in ("", "6")]
    if filters and not keys[six].exists():
        pytest.skip("this kernel has no br_netfilter")
    for at, key in enumerate(keys):
        if key.exists():
            key.write_text(str(int(filters and at == six)))
    everywhere, host, _outside, _loopback = FAMILIES[six]
    published = HTTP.replace(host_ip=everywhere)
    pod = lab.pod().attach("br", published)
    confs = choose(load_confs(lab.paths.config_dirs), parse_requests("br"))
    told = unreached_here(network_plan(confs, [published]), host_facts())
    with listen(pod.netns, SAME_PORT, everywhere) as server:
        try:
            reached = source_seen(pod.netns, server, host, 8080)
        except OSError:
            reached = ""
    assert bool(reached) is not bool(told)


@pytest.mark.behaviour("E23")
@pytest.mark.parametrize("address", ["::1", "link-local"])
@in_own_network
def test_what_ipv6_does_not_route_is_refused_at_once(tmp_path: pathlib.Path, address: str) -> None:
    lab = lab_of(tmp_path)
    pod = lab.pod().attach("line", HTTP)
    with listen(pod.netns, SAME_PORT, "::") as server, pytest.raises(ConnectionRefusedError):
        if address == "::1":
            source_seen(here(), server, "::1", 8080)
        with inside(pod.netns), socket.socket(socket.AF_INET6) as out:
            out.settimeout(2)
            out.connect(("fe80::1", 8080, 0, socket.if_nametoindex("eth0")))


@pytest.mark.behaviour("E23")
@pytest.mark.parametrize(
    ("host_ip", "reached", "refused"),
    [
        (HOST_IP6, (HOST_IP6,), (HOST_IP, "127.0.0.1")),
        ("::", (HOST_IP6,), (HOST_IP, "127.0.0.1")),
        ("0.0.0.0", (HOST_IP, "127.0.0.1"), (HOST_IP6,)),
        (HOST_IP, (HOST_IP,), (HOST_IP6, "127.0.0.1")),
    ],
)
@in_own_network
def test_a_port_on_an_address_or_a_family_is_on_no_other(
    tmp_path: pathlib.Path, host_ip: str, reached: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    lab = lab_of(tmp_path)
    pod = lab.pod().attach("line", PortForward("tcp", host_ip, 8080, SAME_PORT))
    servers = {socket.AF_INET: listen(pod.netns, SAME_PORT)}
    with inside(pod.netns):
        six = socket.socket(socket.AF_INET6)
    six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    six.settimeout(2)
    six.bind(("::", SAME_PORT))
    six.listen()
    servers[socket.AF_INET6] = six
    for address in reached:
        assert source_seen(here(), servers[family_of(address)], address, 8080)
    for address in refused:
        with pytest.raises(ConnectionRefusedError):
            source_seen(here(), servers[family_of(address)], address, 8080)
    for server in servers.values():
        server.close()


@pytest.mark.behaviour("E20", "E26")
@pytest.mark.parametrize("net", ["line", "br"])
@in_own_network
def test_ipv6_is_masqueraded_where_the_network_says_so(tmp_path: pathlib.Path, net: str) -> None:
    lab = lab_of(tmp_path)
    pod = lab.pod().attach(net)
    with listen(lab.outside, 8000, "::") as server:
        assert source_seen(pod.netns, server, OUTSIDE_IP6, 8000) == HOST_IP6
    with listen(here(), 8000, "::") as server:
        assert source_seen(pod.netns, server, gateway_of(pod, six=True), 8000) == own_of(pod, six=True)


@in_own_network
def test_a_pod_with_ipv6_alone_publishes_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    lab = lab_of(tmp_path)
    before = lab.snapshot()
    pod = lab.pod().attach("six", HTTP)
    assert pod.infos[0].ip == ""
    with listen(pod.netns, SAME_PORT, "::") as server:
        assert source_seen(lab.outside, server, HOST_IP6, 8080) == OUTSIDE_IP6
    assert not drift_of(pod, HTTP).sentences
    pod.detach()
    assert lab.snapshot() == before


@in_own_network
def test_the_table_for_ipv6_comes_and_goes_with_its_pods(tmp_path: pathlib.Path) -> None:
    lab = lab_of(tmp_path, outside=False)
    four = lab.pod().attach("default", HTTP)
    alone = nft("list", "ruleset")
    assert "table ip6 " not in alone
    both = lab.pod().attach("line", PortForward("tcp", None, 8081, SAME_PORT))
    assert "table ip6 stagecraft_pods {" in nft("list", "ruleset")
    both.detach()
    assert nft("list", "ruleset") == alone
    four.detach()
    assert nft("list", "ruleset") == ""


@pytest.mark.behaviour("E24")
@pytest.mark.parametrize(
    ("held", "asked", "refused"),
    [
        (None, "::", True),
        (None, HOST_IP6, True),
        ("::", None, True),
        ("::", HOST_IP6, True),
        (HOST_IP6, "::", True),
        ("::", "0.0.0.0", False),
        ("::", HOST_IP, False),
        (HOST_IP6, "::1", False),
        ("0.0.0.0", None, True),
    ],
    ids=str,
)
@in_own_network
def test_a_port_of_another_pod_is_refused_where_the_addresses_meet(
    tmp_path: pathlib.Path, held: str | None, asked: str | None, refused: bool
) -> None:
    lab = lab_of(tmp_path)
    pod = lab.pod().attach("line", PortForward("tcp", held, 8080, 80))
    wanted = PortForward("tcp", asked, 8080, 80)
    if not refused:
        lab.pod().attach("line", wanted)
        return
    before = lab.snapshot()
    with pytest.raises(Conflict, match=f"in use by pod {pod.uuid}"):
        lab.pod().attach("line", wanted)
    assert lab.snapshot() == before
    dead = Neighbours(is_live=lambda uuid: uuid != pod.uuid)
    lab.pod().attach("line", wanted, neighbours=dead)


@pytest.mark.behaviour("E24")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@in_own_network
def test_a_port_of_a_process_is_refused_over_the_families_that_are_published(
    tmp_path: pathlib.Path, kind: int
) -> None:
    protocol = "tcp" if kind == socket.SOCK_STREAM else "udp"
    forward, both = PortForward(protocol, None, 8080, 80), (32, 128)
    with socket.socket(socket.AF_INET6, kind) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("::1", 8080))
        if kind == socket.SOCK_STREAM:
            server.listen()
        sockets_in_use([forward])
        sockets_in_use([forward.replace(host_ip="0.0.0.0")], both)
        with pytest.raises(
            Conflict, match=f"port 8080/{protocol} of the host is in use by .*pid {os.getpid()}"
        ):
            sockets_in_use([forward], both)
        with pytest.raises(Conflict, match=r"port \[::\]:8080"):
            sockets_in_use([forward.replace(host_ip="::")], both)
    with listen(here(), 8080, "0.0.0.0", kind):
        sockets_in_use([forward.replace(host_ip="::")], both)


@pytest.mark.finding("case-05")
@in_own_network
def test_connections_of_ipv6_end_with_the_pod_that_they_led_to(tmp_path: pathlib.Path) -> None:
    lab = lab_of(tmp_path)
    udp = PortForward("udp", None, 1053, 53)
    stays = lab.pod().attach("line", PortForward("udp", None, 1054, 53))
    asking, other = client(lab.outside, socket.AF_INET6), other_client(lab.outside)
    with listen(stays.netns, 53, "::", socket.SOCK_DGRAM) as server:
        assert answered_soon(other, server, HOST_IP6, 1054)
        kept = {found.key for found in tracked() if found.there.target_port == 1054}
        first = lab.pod().attach("line", udp)
        with listen(first.netns, 53, "::", socket.SOCK_DGRAM) as old:
            assert answered_soon(asking, old, HOST_IP6, 1053)
        first.detach()
        assert {found.key for found in tracked() if found.there.target_port in (1053, 1054)} == kept
        # It keeps sending while no pod has the port, which makes an entry that leads to the host.
        assert not answered(asking, server, HOST_IP6, 1053)
        second = lab.pod().attach("line", udp)
        with listen(second.netns, 53, "::", socket.SOCK_DGRAM) as new:
            assert answered_soon(asking, new, HOST_IP6, 1053)
        assert answered(other, server, HOST_IP6, 1054)
        assert kept <= {found.key for found in tracked()}


def other_client(netns: int) -> socket.socket:
    with inside(netns):
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.settimeout(0.3)
    return made


@pytest.mark.parametrize(
    "lost",
    [
        "delete table ip6 stagecraft_pods",
        "flush map ip6 stagecraft_pods forwards",
        "flush map ip6 stagecraft_pods sources",
        "flush ruleset",
    ],
)
@in_own_network
def test_rules_of_ipv6_that_have_gone_are_drift_and_come_back(tmp_path: pathlib.Path, lost: str) -> None:
    lab = lab_of(tmp_path)
    pod, other = lab.pod().attach("line", HTTP), lab.pod().attach("br")
    whole = sorted(nft("list", "ruleset").split())
    assert not drift_of(pod, HTTP).sentences
    nft(*lost.split())
    drift = drift_of(pod, HTTP)
    assert [words for _index, words in drift.sentences] == ["nftables rules"]

    def records() -> list[object]:
        pairs = ((pod, (HTTP,)), (other, ()))
        return [rules_of_record(each.uuid, read_net_info(each.info_path), ports) for each, ports in pairs]

    mend(pod.joining.replace(neighbours=Neighbours(rules=records)), pod.netns, drift, [HTTP])  # type: ignore[arg-type]
    assert not drift_of(pod, HTTP).sentences
    if lost != "flush map ip6 stagecraft_pods sources":  # of the other pod, this takes its elements alone
        assert sorted(nft("list", "ruleset").split()) == whole
    with listen(pod.netns, SAME_PORT, "::") as server:
        assert source_seen(lab.outside, server, HOST_IP6, 8080) == OUTSIDE_IP6


def masking(lab: NetLab, **members: object) -> str:
    """A network whose ports have these members of portmap."""
    ranges = [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    ptp = {"type": "ptp", "ipam": {"type": "host-local", "ranges": ranges, "routes": routes}}
    plugins = [ptp, {"type": "portmap", "capabilities": {"portMappings": True}, **members}]
    lab.conf("10-n.conflist", json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": plugins}))
    return "n"


def clients(lab: NetLab, pod: Pod) -> tuple[str, str]:
    """The clients that a pod sees at its port, from outside, by each family."""
    found = []
    for any_address, address in (("0.0.0.0", HOST_IP), ("::", HOST_IP6)):
        with listen(pod.netns, SAME_PORT, any_address) as server:
            found.append(source_seen(lab.outside, server, address, 8080))
    return found[0], found[1]


@pytest.mark.kernel
@pytest.mark.behaviour("E23")
@in_own_network
def test_with_masqall_a_pod_sees_the_host_in_place_of_any_client(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    before = lab.snapshot()
    pod = lab.pod().attach(masking(lab, markMasqBit=14), HTTP)
    assert clients(lab, pod) == (OUTSIDE_IP, OUTSIDE_IP6)
    pod.detach()
    other = lab.pod().attach("default")  # which makes the table
    pod = lab.pod().attach(masking(lab, masqAll=True), HTTP)
    assert clients(lab, pod) == ("10.7.0.1", "fd00:7::1")
    with listen(pod.netns, 9000, "0.0.0.0") as server:  # which is no host port
        with inside(lab.outside):
            ip("route", "add", "10.7.0.0/24", "via", HOST_IP)
        assert source_seen(lab.outside, server, pod.address, 9000) == OUTSIDE_IP
    assert not drift_of(pod, HTTP).sentences
    nft("flush", "set", "ip", "stagecraft_pods", "masked")
    drift = drift_of(pod, HTTP)
    assert [words for _index, words in drift.sentences] == ["nftables rules"]
    mend(pod.joining, pod.netns, drift, [HTTP])
    assert clients(lab, pod) == ("10.7.0.1", "fd00:7::1")
    for each in (pod, other):
        each.detach()
    assert lab.snapshot() == before


@pytest.mark.kernel
@in_own_network
def test_a_table_of_an_earlier_release_gets_what_masqall_needs(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    other = lab.pod().attach("default", HTTP.replace(host_port=8081))
    handle = nft("-a", "list", "chain", "ip", "stagecraft_pods", "postrouting").partition(
        "@masked masquerade # handle "
    )[2]
    nft("delete", "rule", "ip", "stagecraft_pods", "postrouting", "handle", handle.split()[0])
    nft("delete", "set", "ip", "stagecraft_pods", "masked")

    def records() -> list[object]:
        return [rules_of_record(other.uuid, read_net_info(other.info_path), ())]

    pod = lab.pod().attach(masking(lab, masqAll=True), HTTP, neighbours=Neighbours(rules=records))  # type: ignore[arg-type]
    assert clients(lab, pod) == ("10.7.0.1", "fd00:7::1")
    assert not drift_of(other).sentences


@in_own_network
def test_a_pod_of_an_earlier_release_lacks_no_rules_of_ipv6(tmp_path: pathlib.Path) -> None:
    lab = lab_of(tmp_path)
    pod = lab.pod().attach("line", HTTP)
    path = pathlib.Path(pod.info_path)
    records = json.loads(path.read_text())
    for record in records:
        del record["rules"]
    path.write_text(json.dumps(records))
    nft("delete", "table", "ip6", "stagecraft_pods")
    assert not drift_of(pod, HTTP).sentences
    nft("flush", "ruleset")
    mend(pod.joining, pod.netns, drift_of(pod, HTTP), [HTTP])
    assert "table ip6 " not in nft("list", "ruleset")
    assert not drift_of(pod, HTTP).sentences
    newer = lab.pod().attach("line", HTTP.replace(host_port=8081))
    pod.detach()
    with listen(newer.netns, SAME_PORT, "::") as server:
        assert source_seen(lab.outside, server, HOST_IP6, 8081) == OUTSIDE_IP6
    newer.detach()
    assert nft("list", "ruleset") == ""
