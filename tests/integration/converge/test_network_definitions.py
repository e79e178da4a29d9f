# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions of networks by tasks: pods join them, are moved when they change, and keep them from being removed."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host
from ansible_collections.stagecraft.pods.tests.integration.playbooks.machine import UPLINK

BR: dict[str, Any] = {"name": "br", "type": "bridge", "subnets": ["10.78.0.0/24", "fd00:78::/64"]}
UPLINK6 = "2001:db8:2::1"
GATEWAYS = ("10.78.0.1", "fd00:78::1")


def net(host: Host, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return host.task("pod_network", check=check, **{**BR, **options})


def info(host: Host, name: str = "br") -> dict[str, Any]:
    (found,) = host.task("pod_network_info", name=[name])["networks"]
    return dict(found)


def reaches(host: Host, pod: dict[str, Any], address: str) -> bool:
    """Whether the pod gets an answer from an address."""
    ping = ("busybox", "ping", "-c", "1", "-W", "5", address)
    argv = ("nsenter", f"--net=/proc/{pod['pid']}/ns/net", *ping)
    return host.machine.run(*argv, check=False).returncode == 0


def pairs(result: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    return {change["path"]: (change["before"], change["after"]) for change in result["changes"]}


def test_a_network_that_a_task_has_defined_is_joined_in_both_families(host: Host) -> None:
    foretold, place = net(host, check=True), pathlib.Path(host.machine.directories["config_dir"])
    assert foretold["changed"] and not (place / "net.d").exists()
    done = net(host)
    assert done["changes"] == foretold["changes"]
    assert pairs(done)["networks.br"] == (None, "present")
    assert pairs(done)["networks.br.ipam.ranges[0][0].subnet"] == (None, "10.78.0.0/24")
    file = place / "net.d" / "50-br.conf"
    assert done["network"]["file"] == str(file) and file.stat().st_mode & 0o777 == 0o644
    assert net(host)["changed"] is False
    first, second = (host.pod(name=name, networks=["br"])["pod"] for name in ("web", "db"))
    assert [pod["networks"][0]["ip"] for pod in (first, second)] == ["10.78.0.2", "10.78.0.3"]
    for address in (*GATEWAYS, "10.78.0.3", "fd00:78::3", UPLINK):
        assert reaches(host, first, address), address
    again = net(host)
    assert (again["changed"], again["affected_pods"], again["network"]["problem"]) == (False, [], "")
    found = info(host)
    assert found["conf"] == json.loads(file.read_text())
    assert (found["leases"], found["free"], found["gateways"]) == (4, 251, list(GATEWAYS))
    assert [(user["name"], user["addresses"]) for user in found["used_by"]] == [
        ("db", ["10.78.0.3", "fd00:78::3"]),
        ("web", ["10.78.0.2", "fd00:78::2"]),
    ]


@pytest.mark.parametrize(
    ("subnets", "address"),
    [
        (["10.79.0.0/24", "fd00:79::/64"], "10.79.0.2"),
        (["10.78.0.0/16", "fd00:78::/48"], "10.78.0.2"),
        ([{"subnet": "10.78.0.0/24", "gateway": "10.78.0.254"}], "10.78.0.2"),
    ],
    ids=["elsewhere", "larger", "other-gateway"],
)
def test_a_change_names_the_pods_that_run_on_the_old_definition_and_moves_them_on_request(
    host: Host, subnets: list[Any], address: str
) -> None:
    net(host)
    old = host.pod(networks=["br"])["pod"]
    changed = net(host, subnets=subnets)
    assert changed["affected_pods"] == [{"name": "web", "uuid": old["uuid"]}]
    assert {change["impact"] for change in changed["changes"]} == {"restart"}
    assert "web has joined another definition" in changed["network"]["problem"]
    assert reaches(host, old, GATEWAYS[0])
    foretold = net(host, check=True, subnets=subnets, restart_pods=True)
    moved = net(host, subnets=subnets, restart_pods=True)
    assert moved["changes"] == foretold["changes"]
    assert list(pairs(moved)) == ["pods.web.networks.br"]
    assert moved["network"]["problem"] == ""
    (user,) = moved["network"]["used_by"]
    assert user["addresses"][0] == address and user["uuid"] != old["uuid"]
    assert net(host, subnets=subnets, restart_pods=True)["changed"] is False
    pod = host.pod(networks=["br"])
    assert pod["changed"] is False
    for gateway in moved["network"]["gateways"]:
        assert reaches(host, pod["pod"], gateway), gateway


def test_a_larger_network_is_no_obstacle_for_the_tasks_of_its_pods(host: Host) -> None:
    net(host)
    pods = [host.pod(name=name, networks=["br"])["pod"] for name in ("web", "db")]
    larger = ["10.78.0.0/16", "fd00:78::/48"]
    assert [pod["name"] for pod in net(host, subnets=larger)["affected_pods"]] == ["db", "web"]
    for gateway in GATEWAYS:
        assert reaches(host, pods[0], gateway)
    moved = host.pod(name="db", networks=["br"])
    assert moved["changed"] and moved["pod"]["uuid"] != pods[1]["uuid"]
    for pod in (pods[0], moved["pod"]):
        for address in (*GATEWAYS, UPLINK):
            assert reaches(host, pod, address), address
    assert [pod["name"] for pod in net(host, subnets=larger)["affected_pods"]] == ["web"]
    assert host.pod(name="db", networks=["br"])["changed"] is False


def test_a_pod_that_could_not_join_again_is_told_of_before_anything_changes(host: Host) -> None:
    net(host)
    pod = host.pod(networks=["br:IP=10.78.0.77"])["pod"]
    other = ["10.79.0.0/24", "fd00:78::/64"]
    said = "pod web cannot join the changed network: it has IP=10.78.0.77, and 10.78.0.77 not in network"
    for check in (True, False):
        failed = net(host, check=check, subnets=other, restart_pods=True)
        assert failed["failed"] and said in failed["msg"]
    assert host.pod(networks=["br:IP=10.78.0.77"])["changed"] is False
    changed = net(host, subnets=other)
    assert any(said in warning for warning in changed["warnings"])
    assert changed["affected_pods"] == [{"name": "web", "uuid": pod["uuid"]}]


def test_pods_that_have_ipv6_alone_say_their_address(host: Host) -> None:
    net(host, subnets=["fd00:78::/64"])
    (joined,) = host.pod(networks=["br"])["pod"]["networks"]
    assert joined["ip"] == "fd00:78::2"


def test_pods_that_are_moved_keep_the_addresses_that_fit(host: Host) -> None:
    net(host)
    for name in ("first", "web", "db"):
        host.pod(name=name, networks=["br"])
    host.task("pod_run", name="first", state="absent")
    moved = net(host, subnets=["10.78.0.0/28", "fd00:79::/64"], restart_pods=True)["network"]["used_by"]
    assert [(user["name"], user["addresses"]) for user in moved] == [
        ("db", ["10.78.0.4", "fd00:79::2"]),
        ("web", ["10.78.0.3", "fd00:79::3"]),
    ]
    # One whose address another pod could get, and one whose address is the gateway's now.
    fixed = [{"subnet": "10.78.0.0/28", "gateway": "10.78.0.3"}, "fd00:79::/64"]
    moved = net(host, subnets=fixed, restart_pods=True)["network"]["used_by"]
    assert [user["addresses"] for user in moved] == [
        ["10.78.0.4", "fd00:79::2"],
        ["10.78.0.1", "fd00:79::3"],
    ]
    restarted = host.task("pod_run", name="db", state="restarted")["pod"]["networks"][0]["ip"]
    assert restarted == "10.78.0.2"


def test_one_in_use_is_not_removed(host: Host) -> None:
    net(host)
    host.pod(networks=["br"])
    host.pod(name="later", networks=["br"], state="prepared")
    (foreseen,) = host.task("pod_network", check=True, name="br", state="absent")["warnings"]
    assert "in use by pod later, web" in foreseen  # a task before may be to remove them
    refused = host.task("pod_network", name="br", state="absent")
    assert (refused["error"], refused["facts"]["where"]) == ("conflict", "name")
    assert "in use by pod later, web" in refused["msg"]
    for name in ("web", "later"):
        host.task("pod_run", name=name, state="absent")
    foretold = host.task("pod_network", check=True, name="br", state="absent")
    done = host.task("pod_network", name="br", state="absent")
    assert pairs(done) == pairs(foretold) == {"networks.br": ("present", None)}
    assert (done["network"], host.task("pod_network_info", name=["br"])["networks"]) == (None, [])
    assert host.task("pod_network", name="br", state="absent")["changed"] is False


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
def test_from_an_internal_network_no_way_leads_out(host: Host, kind: str) -> None:
    host.machine.run("ip", "address", "add", f"{UPLINK6}/64", "dev", "up0", "nodad")
    net(host, type=kind, internal=True)
    pod = host.pod(networks=["br"])["pod"]
    for gateway in GATEWAYS:
        assert reaches(host, pod, gateway)
    for address in (UPLINK, UPLINK6):
        assert not reaches(host, pod, address), address
    net(host, type=kind, restart_pods=True)
    pod = host.pod(networks=["br"])["pod"]
    for address in (UPLINK, UPLINK6):
        assert reaches(host, pod, address), address


def test_pods_of_an_isolated_network_reach_all_but_each_other(host: Host) -> None:
    assert net(host)["changed"]
    web, db = (host.pod(name=name, networks=["br"])["pod"] for name in ("web", "db"))
    assert reaches(host, web, "10.78.0.3")
    done = net(host, isolated=True, restart_pods=True)
    assert pairs(done)["networks.br.isolated"] == (None, "True")
    assert net(host, isolated=True)["changed"] is False
    web, db = (host.pod(name=name, networks=["br"]) for name in ("web", "db"))
    assert (web["changed"], db["changed"]) == (False, False)
    for address in (*GATEWAYS, UPLINK):
        assert reaches(host, web["pod"], address), address
    for address in ("10.78.0.3", "fd00:78::3"):
        assert not reaches(host, web["pod"], address), address
    host.machine.run("nft", "delete", "table", "bridge", "stagecraft_pods_isolation")
    mended = host.pod(name="web", networks=["br"])
    assert [change["impact"] for change in mended["changes"]] == ["live"]
    assert host.pod(name="web", networks=["br"])["changed"] is False


def test_a_subnet_is_chosen_and_stays(host: Host) -> None:
    automatic = {"subnets": ["auto", "auto6"]}
    foretold, done = net(host, check=True, **automatic), net(host, **automatic)
    assert done["changes"] == foretold["changes"]
    four, six = done["network"]["subnets"]
    assert four == "10.192.0.0/24" and six.startswith("fd") and six.endswith("/64")
    other = net(host, name="other", **automatic)["network"]["subnets"]
    assert other[0] == "10.192.1.0/24" and other[1] != six
    pod = host.pod(networks=["br"])["pod"]
    assert reaches(host, pod, six.replace("/64", "1"))
    assert net(host, **automatic)["changed"] is False
    assert net(host, mtu=1400, **automatic)["network"]["subnets"] == [four, six]


def test_what_the_host_and_other_networks_have_is_refused(host: Host) -> None:
    host.machine.run("ip", "route", "add", "10.80.0.0/16", "via", "192.0.2.254")
    net(host)
    for options, where, words in (
        ({"subnets": ["10.80.3.0/24"]}, "subnets[0]", "a route to 10.80.0.0/16"),
        ({"subnets": ["fd00:7::/64", "192.0.2.128/25"]}, "subnets[1]", f"up0 has {UPLINK}/24"),
        ({"subnets": ["10.78.0.128/25"]}, "subnets[0]", 'network "br"'),
        ({"subnets": ["172.16.28.0/24"]}, "subnets[0]", 'network "default"'),
        ({"subnets": ["10.81.0.0/24"], "bridge": "br-br"}, "bridge", 'that of network "br"'),
        ({"subnets": ["10.81.0.0/24"], "bridge": "up0"}, "bridge", "is not a bridge"),
    ):
        foretold = net(host, check=True, name="new", **options)
        assert any(words in said for said in foretold["warnings"]), foretold
        refused = net(host, name="new", **options)
        assert (refused["error"], refused["facts"]["where"]) == ("conflict", where), refused
        assert words in refused["msg"] and refused["changes"] == []


def test_a_built_in_network_is_replaced_and_comes_back(host: Host) -> None:
    host.pod(networks=["default"])
    own = {"name": "default", "type": "ptp", "subnets": ["172.16.28.0/24", "fd00:28::/64"]}
    assert net(host, **own)["affected_pods"][0]["name"] == "web"
    pod = net(host, **own, restart_pods=True)["network"]["used_by"][0]
    assert len(pod["addresses"]) == 2
    done = host.task("pod_network", name="default", state="absent", restart_pods=True)
    assert pairs(done)["networks.default"] == ("present", "built in")
    assert "still defined: built in" in done["warnings"][0]
    assert (done["network"]["built_in"], len(done["network"]["used_by"][0]["addresses"])) == (True, 1)
    assert host.task("pod_network", name="default", state="absent")["changed"] is False


def test_a_member_that_nothing_reads_is_told(host: Host) -> None:
    for check in (True, False, False):
        (said,) = net(host, check=check, conf={"vlna": 5, "promiscMode": False})["warnings"]
        assert said == 'nothing reads conf.vlna of network "br", so it has no effect'


def test_networks_share_a_bridge_by_vlans_of_their_own(host: Host) -> None:
    net(host, name="seven", bridge="br0", subnets=["10.81.0.0/24"], conf={"vlan": 7})
    same = {"name": "eight", "bridge": "br0", "subnets": ["10.82.0.0/24"]}
    assert net(host, conf={"vlan": 7}, **same)["error"] == "conflict"
    assert net(host, conf={"vlan": 8}, **same)["warnings"] == []
    assert [info(host, name)["problem"] for name in ("seven", "eight")] == ["", ""]


def test_plugins_follow_in_a_chain(host: Host) -> None:
    net(host)
    host.pod(networks=["br"])
    tuned = [{"type": "tuning", "sysctl": {"net.core.somaxconn": "321"}}, {"type": "portmap"}]
    moved = net(host, plugins=tuned, restart_pods=True)
    assert moved["network"]["file"].endswith("/net.d/50-br.conflist")
    assert pairs(moved)["networks.br.plugins[1].sysctl.net.core.somaxconn"] == (None, "321")
    pod = host.pod(networks=["br"])
    assert pod["changed"] is False
    argv = ("nsenter", f"--net=/proc/{pod['pod']['pid']}/ns/net", "cat", "/proc/sys/net/core/somaxconn")
    assert host.machine.run(*argv).stdout.strip() == "321"
    assert reaches(host, pod["pod"], UPLINK)
    assert net(host, plugins=tuned)["changed"] is False
    back = net(host, restart_pods=True)
    assert back["network"]["file"].endswith("/net.d/50-br.conf")
    assert [user["addresses"] for user in back["network"]["used_by"]] == [["10.78.0.2", "fd00:78::2"]]
    refused = net(host, plugins=[{"type": "teleport"}])
    assert (refused["error"], refused["facts"]["where"]) == ("not-found", "plugins")


def test_what_pods_will_miss_is_told_beforehand(host: Host) -> None:
    lan = {"name": "lan", "type": "macvlan", "master": "eth9", "subnets": ["198.51.100.0/24"]}
    missing = 'the host has no interface "eth9" now: pods cannot join network "lan" until it is there'
    for changed in (True, False):
        defined = net(host, **lan)
        assert (defined["changed"], defined["warnings"]) == (changed, [missing])
    net(host)
    host.pod(networks=["br"])
    host.task("pod_run", name="web", state="stopped")
    removed = host.task("pod_network", name="br", state="absent")
    assert removed["warnings"] == [
        'pod web, which has ended, asks for network "br" and cannot be started without it'
    ]
    host.absent()
    asked = host.pod(check=True, networks=["none", "default"])
    assert asked["warnings"] == ['the pod does not join default, since its networks have "none" as well']
    (service,) = host.pod(check=True, mds_register=True)["warnings"]
    assert "could not reach the metadata service" in service and "starts only if it does then" in service


def test_a_directory_that_does_not_count_takes_no_definition(host: Host) -> None:
    config = pathlib.Path(host.machine.directories["config_dir"])
    net(host)
    for place, mode in ((config, 0o1777), (config / "net.d", 0o777)):
        before = place.stat().st_mode & 0o7777
        place.chmod(mode)
        for refused in (
            net(host, name="new"),
            net(host),
            host.task("pod_network", name="br", state="absent"),
        ):
            assert refused["error"] == "invalid-spec" and "others can change it" in refused["msg"], refused
        assert host.task("pod_network", name="other", state="absent")["changed"] is False
        place.chmod(before)
    assert sorted(file.name for file in (config / "net.d").iterdir()) == ["50-br.conf"]
    nowhere = net(host, config_dir="/proc/nowhere")
    assert (nowhere["error"], "bug" in nowhere["msg"]) == ("host-failure", False)


def test_a_play_is_told_of_a_firewall_that_may_cut_its_pod_off(host: Host) -> None:
    wall = "table inet wall { chain forward { type filter hook forward priority 0; policy drop; }; }"
    host.machine.run("nft", wall)
    for check in (False, True):
        (said,) = host.pod(check=check, networks=["default"])["warnings"]
        assert "the nftables chain inet wall forward drops forwarded packets" in said
        assert check or not host.pod(networks=["default"])["warnings"]
        host.absent()


def test_pods_are_let_through_a_firewall_where_the_play_asks_for_it(host: Host) -> None:
    wall = "table inet wall { chain forward { type filter hook forward priority 0; policy drop; }; }"
    net(host, name="other", subnets=["10.79.0.0/24"])
    there = host.pod(name="there", networks=["other"])["pod"]["networks"][0]["ip"]
    host.machine.run("nft", wall)
    assert net(host, open_firewalls=True)["changed"] and not net(host, open_firewalls=True)["changed"]
    pod = host.pod(networks=["br"])
    assert reaches(host, pod["pod"], there) and "firewall" not in str(pod.get("warnings", ""))
    assert host.pod(networks=["br"])["changed"] is False
    # What the firewall forgets comes back, without a restart.
    host.machine.run("nft", "flush", "chain", "inet", "wall", "forward")
    mended = host.pod(networks=["br"])
    assert [change["before"] for change in mended["changes"]] == ["missing: way through firewalls of others"]
    assert mended["pod"]["uuid"] == pod["pod"]["uuid"] and reaches(host, pod["pod"], there)
    host.absent()
    assert "accept" not in host.machine.run("nft", "list", "table", "inet", "wall").stdout


def inside(host: Host, pod: dict[str, Any], *argv: str) -> str:
    """What a program says in the network of a pod."""
    return host.machine.run("nsenter", f"--net=/proc/{pod['pid']}/ns/net", *argv).stdout


def test_pods_are_plain_ports_of_a_bridge(host: Host) -> None:
    plain: dict[str, Any] = {"gateway": False, "subnets": ["10.78.0.0/24"]}
    assert net(host, **plain)["changed"] and not net(host, **plain)["changed"]
    first, second = (host.pod(name=name, networks=["br"])["pod"] for name in ("web", "db"))
    assert reaches(host, first, second["networks"][0]["ip"])
    assert "10.78.0" not in host.machine.run("ip", "addr").stdout
    assert "default" not in inside(host, first, "ip", "route")
    assert info(host)["problem"] == ""
    # What else is on the bridge is in reach as well, and is the way out where the definition says so.
    for words in (
        ("link", "add", "lan0", "type", "veth", "peer", "name", "lan1"),
        ("link", "set", "lan0", "master", "br-br", "up"),
        ("addr", "add", "10.78.0.1/24", "dev", "lan1"),
        ("link", "set", "lan1", "up"),
    ):
        host.machine.run("ip", *words)
    try:
        assert reaches(host, first, "10.78.0.1")
        assert not reaches(host, first, UPLINK)
        lan = {
            **plain,
            "subnets": [{"subnet": "10.78.0.0/24", "gateway": "10.78.0.1"}],
            "default_route": True,
        }
        refused = net(host, **lan)
        assert refused["error"] == "conflict" and "10.78.0.1/24" in refused["msg"]
        host.machine.run("ip", "addr", "del", "10.78.0.1/24", "dev", "lan1")
        assert net(host, **lan, restart_pods=True)["network"]["problem"] == ""
        (moved,) = (user for user in info(host)["used_by"] if user["name"] == "web")
        assert moved["uuid"] != first["uuid"]
        again = host.pod(networks=["br"])
        assert again["changed"] is False
        assert "default via 10.78.0.1" in inside(host, again["pod"], "ip", "route")
    finally:
        host.machine.run("ip", "link", "del", "lan0")
    # The host becomes the gateway of the pods that run, and ends to be it.
    assert net(host, subnets=["10.78.0.0/24"], restart_pods=True)["network"]["gateways"] == ["10.78.0.1"]
    assert reaches(host, host.pod(networks=["br"])["pod"], UPLINK)
    assert net(host, **plain, restart_pods=True)["network"]["problem"] == ""
    assert "10.78.0" not in host.machine.run("ip", "addr").stdout
    assert host.pod(networks=["br"])["changed"] is False


def test_ports_on_a_bridge_without_the_host_are_said_to_be_out_of_reach(host: Host) -> None:
    net(host, gateway=False, subnets=["10.78.0.0/24"])
    ports = [{"host_port": 8080, "port": 80, "host_ip": "127.0.0.1"}]
    done = host.pod(networks=["br"], ports=ports)
    assert any("the host has no way to its pods" in warning for warning in done["warnings"]), done
    # Where the host has an address on the bridge, it has a way.
    host.absent()
    for words in (("link", "add", "hb0", "type", "bridge"), ("addr", "add", "10.78.0.1/24", "dev", "hb0")):
        host.machine.run("ip", *words)
    net(host, gateway=False, subnets=["10.78.0.0/24"], bridge="hb0")
    assert not any(
        "no way to its pods" in said for said in host.pod(networks=["br"], ports=ports)["warnings"]
    )


@pytest.mark.parametrize(
    ("options", "shown", "address"),
    [
        ({"type": "host-device", "device": "dev0"}, "veth", ""),
        (
            {"type": "host-device", "device": "dev0", "mtu": 1400, "subnets": ["10.78.0.0/24"]},
            "mtu 1400",
            "10.78.0.2",
        ),
        ({"type": "tap"}, "tun type tap", ""),
        ({"type": "tap", "owner": 54321, "group": 54322, "mtu": 1400}, "user 54321 group 54322", ""),
        ({"type": "tap", "multi_queue": True, "subnets": ["auto"]}, "multi_queue", "10.192.0.2"),
        ({"type": "dummy", "mtu": 1400, "subnets": ["10.78.0.0/24"]}, "dummy", "10.78.0.2"),
        ({"type": "loopback"}, "", ""),
    ],
    ids=["host-device", "with address", "tap", "of users", "of queues", "dummy", "loopback"],
)
def test_a_pod_keeps_its_way_out_beside_a_network_that_leads_nowhere(
    host: Host, options: dict[str, Any], shown: str, address: str
) -> None:
    own, networks = {"subnets": None, **options}, ["default", "br"]
    if "device" in own:
        host.machine.run("ip", "link", "add", "dev0", "type", "veth", "peer", "name", "dev1")
        host.machine.run("ip", "link", "set", "dev1", "up")
    assert net(host, **own)["changed"] and not net(host, **own)["changed"]
    assert info(host)["problem"] == ""
    started = host.pod(networks=networks)
    if started.get("failed") and own["type"] == "dummy":
        # That of the virtual machine makes it, see test_kernel.
        assert 'the kernel of this host has no links of type "dummy"' in started["msg"]
        return
    pod = started["pod"]
    assert reaches(host, pod, UPLINK)
    (joined,) = (each for each in pod["networks"] if each["name"] == "br")
    assert joined["ip"] == address
    assert inside(host, pod, "ip", "route").count("default") == 1
    if shown:
        # Of the pod's networks it is the first, so its routes would count.
        assert shown in inside(host, pod, "ip", "-d", "link", "show", "eth0")
    assert host.pod(networks=networks)["changed"] is False
    # Nothing of the network but a change of it starts the pod again.
    if own["type"] != "loopback":
        assert [each["name"] for each in net(host, **{**own, "mtu": 1300})["affected_pods"]] == ["web"]
    host.absent()


def test_a_pod_has_the_address_that_it_asks_for_of_fixed_ones(host: Host) -> None:
    fixed = [{"address": "10.78.0.5/24", "gateway": "10.78.0.1"}]
    ipam: dict[str, Any] = {"type": "static", "addresses": fixed, "routes": [{"dst": "0.0.0.0/0"}]}
    more = {"capabilities": {"ips": True}, "ipam": ipam}
    assert net(host, subnets=None, conf=more, default_route=False)["warnings"] == []
    assert host.pod(name="db", networks=["br"])["pod"]["networks"][0]["ip"] == "10.78.0.5"
    asked = ["br:IP=10.78.0.9/24;GATEWAY=10.78.0.1"]
    pod = host.pod(networks=asked)["pod"]
    assert pod["networks"][0]["ip"] == "10.78.0.9" and reaches(host, pod, UPLINK)
    assert host.pod(networks=asked)["changed"] is False
    other = host.pod(networks=["br:IP=10.78.0.10/24;GATEWAY=10.78.0.1"])
    assert other["changed"] and other["pod"]["networks"][0]["ip"] == "10.78.0.10"
    # A network may leave the addresses to its pods.
    host.task("pod_run", name="db", state="absent")
    del ipam["addresses"]
    assert net(host, subnets=None, conf=more, default_route=False)["network"]["problem"] == (
        "pod web has joined another definition of it"
    )
    assert host.pod(networks=asked)["pod"]["networks"][0]["ip"] == "10.78.0.9"
    assert info(host)["problem"] == ""
    refused = host.pod(networks=["br"])
    assert refused["failed"] and "gives no address" in refused["msg"] and "IP=" in refused["hint"]
    refused = host.pod(networks=["br:IP=10.78.0.10"])
    assert (
        refused["failed"] and refused["msg"].startswith("networks[0]: ") and "prefix length" in refused["msg"]
    )


SUBNET_ENV = """FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.{}.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
"""


def test_a_pod_of_flannel_is_on_the_network_that_flannel_has_now(host: Host, tmp_path: pathlib.Path) -> None:
    env, more = tmp_path / "subnet.env", {"delegate": {"isDefaultGateway": True}}
    own = {"type": "flannel", "subnets": None, "subnet_file": str(env), "conf": more}
    early = net(host, **own)
    assert any("flannel has no subnet for this host now" in said for said in early["warnings"])
    assert "which flannel has not written" in early["network"]["problem"]
    env.write_text(SUBNET_ENV.format(1))
    assert net(host, **own)["warnings"] == []
    pod = host.pod(networks=["br"])["pod"]
    assert pod["networks"][0]["ip"] == "10.244.1.2" and reaches(host, pod, UPLINK)
    assert info(host)["problem"] == ""
    for check in (True, False):
        again = net(host, **own, check=check)
        assert (again["changed"], again["affected_pods"], again["network"]["problem"]) == (False, [], "")
    # The same by a file that no task has made.
    (file,) = (pathlib.Path(host.machine.directories["config_dir"]) / "net.d").iterdir()
    members = json.loads(file.read_text())
    del members["stagecraft.pods/made-by"]
    file.unlink()
    file.with_name("10-hand.conf").write_text(json.dumps(members))
    assert info(host)["problem"] == ""
    file.with_name("10-hand.conf").rename(file)
    # Another subnet is another network, and so is another delegate.
    env.write_text(SUBNET_ENV.format(2))
    assert info(host)["problem"] == "pod web has joined another definition of it"
    moved = net(host, **own, restart_pods=True)
    assert [each["uuid"] for each in moved["affected_pods"]] == [pod["uuid"]]
    assert moved["network"]["problem"] == ""
    assert host.pod(networks=["br"])["pod"]["networks"][0]["ip"] == "10.244.2.2"
    other = net(host, **{**own, "conf": {"delegate": {"isDefaultGateway": True, "hairpinMode": True}}})
    assert [each["name"] for each in other["affected_pods"]] == ["web"]
    assert info(host)["problem"] == "pod web has joined another definition of it"
    # Without flannel's file it is not known what pods would join.
    env.unlink()
    assert "another definition" not in info(host)["problem"]


def rates(host: Host) -> dict[str, int]:
    """The limits of interfaces of the host in bytes a second, as tc says them."""
    shown = json.loads(host.machine.run("tc", "-j", "qdisc").stdout)
    return {each["dev"]: each["options"]["rate"] for each in shown if each["kind"] == "tbf"}


def test_a_pod_with_a_bandwidth_has_it_on_its_interfaces_and_loses_it_with_the_option(host: Host) -> None:
    net(host)
    limited = {"networks": ["br"], "network_bandwidth": "10M"}
    pod = host.pod(**limited)["pod"]
    limits = rates(host)
    assert (sorted(link[:3] for link in limits), set(limits.values())) == (["ifb", "vet"], {10_000_000})
    assert host.pod(**limited)["changed"] is False
    # What has gone comes back, to the same pod.
    host.machine.run("tc", "qdisc", "del", "dev", next(iter(limits)), "root")
    assert host.pod(**limited)["pod"]["uuid"] == pod["uuid"]
    assert rates(host) == limits
    assert host.pod(networks=["br"])["changed"] and rates(host) == {}


def test_what_was_written_by_hand_stays(host: Host) -> None:
    place = pathlib.Path(host.machine.directories["config_dir"]) / "net.d"
    place.mkdir(parents=True)
    ipam = {"type": "host-local", "subnet": "10.78.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}
    text = json.dumps({"name": "hand", "type": "ptp", "ipMasq": True, "ipam": ipam}, indent=4)
    (place / "10-mine.conf").write_text(text)
    (place / "20-bad.conf").write_text("{")
    same = {"name": "hand", "type": "ptp", "subnets": ["10.78.0.0/24"]}
    assert net(host, **same)["changed"] is False
    for refused in (
        net(host, **same, mtu=1400),
        host.task("pod_network", name="hand", state="absent"),
    ):
        assert refused["error"] == "conflict" and "10-mine.conf, which no task has made" in refused["msg"]
    assert (place / "10-mine.conf").read_text() == text
    networks = host.task("pod_network_info", check=True)["networks"]
    assert [found["name"] for found in networks] == ["default", "default-restricted", "hand", None]
    assert "not valid JSON" in networks[-1]["problem"] and networks[-1]["conf"] is None
    assert [found["problem"] for found in networks[:-1]] == ["", "", ""]
