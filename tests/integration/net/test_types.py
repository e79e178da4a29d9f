# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of networks beside ptp and bridge, and plugins that change an interface, each by its effect.

What the kernel of this machine cannot make is proved on that of the virtual machine, see systemd/test_kernel.
"""

from __future__ import annotations

import grp
import json
import os
import pathlib
import pwd
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    NotFound,
    Unsupported,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import choose, load_confs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.facts import host_facts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import (
    compare_with_host,
    network_plan,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    NetLab,
    Pod,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    source_seen,
)

# On the link to the outside, as a pod that is a machine of that network.
THERE = {
    "type": "host-local",
    "ranges": [
        [{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.10"}],
        [{"subnet": "2001:db8:2::/64", "rangeStart": "2001:db8:2::10"}],
    ],
}
INNER = {"type": "host-local", "subnet": "10.7.0.0/24"}
BOTH = {"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]}
PTP = {"type": "ptp", "ipam": INNER}


def is_made(lab: NetLab, name: str, kind: str) -> bool:
    """Whether this kernel makes a kind of links. Where it does not, a pod of a network of them is refused, and leaves
    nothing; that of the virtual machine makes all.
    """
    made = subprocess.run(["ip", "link", "add", "probe", "link", "up0", "type", *kind.split()], check=False)
    if not made.returncode:
        ip("link", "del", "probe")
        return True
    before = lab.snapshot()
    lacks = f'error adding network "{name}": the kernel of this host has no links of type "{kind.split(maxsplit=1)[0]}"'
    with pytest.raises(Unsupported, match=lacks):
        lab.pod().attach(name)
    assert lab.snapshot() == before
    return False


def listed(lab: NetLab, *plugins: dict[str, object], name: str = "n", at: int = 10) -> str:
    text = json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": list(plugins)})
    lab.conf(f"{at}-{name}.conflist", text)
    return name


def link_of(pod: Pod, name: str = "eth0") -> dict[str, object]:
    with inside(pod.netns):
        (found,) = json.loads(ip("-d", "-j", "link", "show", name))
    assert isinstance(found, dict)
    return found


def meet(pod: Pod, lab: NetLab) -> None:
    """A pod and the outside reach each other, in both families."""
    for everywhere, there, own in families(pod):
        with listen(lab.outside, 8000, everywhere) as outside:
            assert source_seen(pod.netns, outside, there, 8000) == own
        with listen(pod.netns, 9000, everywhere) as in_pod:
            assert source_seen(lab.outside, in_pod, own, 9000) == there


def tag_outside(lab: NetLab) -> None:
    """Have the outside in VLAN 7 alone."""
    with inside(lab.outside):
        ip("link", "add", "link", "far0", "name", "far7", "type", "vlan", "id", "7")
        ip("addr", "flush", "dev", "far0")
        ip("addr", "add", f"{OUTSIDE_IP}/24", "dev", "far7")
        ip("addr", "add", f"{OUTSIDE_IP6}/64", "dev", "far7", "nodad")
        ip("link", "set", "far7", "up")


def families(pod: Pod) -> tuple[tuple[str, str, str], ...]:
    """Of each family: every address, that of the outside, and that of the pod."""
    return ("0.0.0.0", OUTSIDE_IP, pod.address), ("::", OUTSIDE_IP6, pod.address6)


@pytest.mark.kernel
@pytest.mark.behaviour("E18")
@in_own_network
def test_macvlan_makes_pods_machines_of_the_network_of_the_host(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    before = lab.snapshot()
    name = listed(lab, {"type": "macvlan", "master": "up0", "mtu": 1400, "ipMasq": True, "ipam": THERE})
    if not is_made(lab, name, "macvlan"):
        return
    one, two = lab.pod().attach(name), lab.pod().attach(name)
    meet(one, lab)
    for (everywhere, _there, other), (_every, _outside, own) in zip(families(two), families(one)):
        with listen(two.netns, 9000, everywhere) as in_two:
            assert source_seen(one.netns, in_two, other, 9000) == own
    link = link_of(one)
    assert (link["mtu"], link["linkinfo"]["info_data"]["mode"]) == (1400, "bridge")  # type: ignore[index]
    assert link["address"] == one.infos[0].result.interfaces[-1].mac
    with inside(one.netns):
        assert pathlib.Path("/proc/sys/net/ipv4/conf/eth0/proxy_arp").read_text() == "1\n"
    # The master does not pass on what the host itself sends: that is how such links are.
    for everywhere, _there, own in families(one):
        with listen(one.netns, 9001, everywhere) as in_pod, pytest.raises(OSError):
            source_seen(here(), in_pod, own, 9001)
    for pod in (one, two):
        pod.detach()
        pod.die()
    assert lab.snapshot() == before


@pytest.mark.kernel
@pytest.mark.behaviour("E18")
@pytest.mark.parametrize(
    ("plugin", "mode"),
    [
        ({"type": "macvlan", "mode": "private"}, "private"),
        ({"type": "macvlan", "mode": "vepa"}, "vepa"),
        ({"type": "macvlan", "mode": "passthru"}, "passthru"),
        ({"type": "ipvlan"}, "l2"),
        ({"type": "ipvlan", "mode": "l3"}, "l3"),
        ({"type": "ipvlan", "mode": "l3s"}, "l3s"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value["type"]),
)
@in_own_network
def test_the_modes_of_macvlan_and_ipvlan(
    tmp_path: pathlib.Path, plugin: dict[str, object], mode: str
) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = listed(lab, {**plugin, "master": "up0", "ipam": THERE})
    if not is_made(lab, name, str(plugin["type"])):
        return
    pod = lab.pod().attach(name)
    assert link_of(pod)["linkinfo"]["info_data"]["mode"] == mode  # type: ignore[index]
    if mode not in ("l3", "l3s"):  # there, others need a route to the pod
        meet(pod, lab)
    if mode == "private":
        other = lab.pod().attach(name)
        for everywhere, _there, own in families(other):
            with listen(other.netns, 9000, everywhere) as in_other, pytest.raises(OSError):
                source_seen(pod.netns, in_other, own, 9000)
    pod.detach()


@pytest.mark.kernel
@in_own_network
def test_vlan_carries_the_frames_of_its_number(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = listed(lab, {"type": "vlan", "master": "up0", "vlanId": 7, "ipam": THERE})
    if not is_made(lab, name, "vlan id 9"):
        return
    tag_outside(lab)
    pod = lab.pod().attach(name)
    meet(pod, lab)
    assert link_of(pod)["linkinfo"]["info_data"]["id"] == 7  # type: ignore[index]
    other = lab.pod().attach(
        listed(lab, {"type": "vlan", "master": "up0", "vlanId": 8, "ipam": THERE}, name="other")
    )
    for everywhere, there, _own in families(other):
        with listen(lab.outside, 8000, everywhere) as outside, pytest.raises(OSError):
            source_seen(other.netns, outside, there, 8000)


@pytest.mark.kernel
@in_own_network
def test_dummy_has_addresses_that_lead_nowhere(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = listed(lab, {"type": "dummy", "ipam": BOTH})
    if not is_made(lab, name, "dummy"):
        return
    pod = lab.pod().attach(name)
    for _everywhere, there, own in families(pod):
        with listen(pod.netns, 9000, own) as in_pod:
            assert source_seen(pod.netns, in_pod, own, 9000) == own
        with listen(lab.outside, 8000, there) as outside, pytest.raises(OSError):
            source_seen(pod.netns, outside, there, 8000)
    assert link_of(pod)["linkinfo"]["info_kind"] == "dummy"  # type: ignore[index]


@in_own_network
def test_a_master_that_is_missing_is_told_before_anything_is_touched(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    listed(lab, {"type": "macvlan", "master": "gone0", "ipam": THERE})
    plan = network_plan(choose(load_confs(lab.paths.config_dirs), parse_requests("n")), ())
    with pytest.raises(
        NotFound, match='network "n" needs the interface "gone0", which this host does not have'
    ):
        compare_with_host(plan, host_facts())
    before = lab.snapshot()
    with pytest.raises(NotFound, match='the host has no interface "gone0"'):
        lab.pod().attach("n")
    assert lab.snapshot() == before


@in_own_network
def test_tap_is_there_for_a_program_of_the_pod(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    plugin = {"type": "tap", "owner": 7, "group": 8, "multiQueue": True, "mtu": 1300, "ipam": BOTH}
    pod = lab.pod().attach(listed(lab, plugin))
    link = link_of(pod)
    data = link["linkinfo"]["info_data"]  # type: ignore[index]
    names = pwd.getpwuid(7).pw_name, grp.getgrgid(8).gr_name
    assert (data["type"], data["user"], data["group"], data["multi_queue"]) == ("tap", *names, True)
    assert (link["mtu"], link["address"]) == (1300, pod.infos[0].result.interfaces[-1].mac)
    with inside(pod.netns):
        assert "10.7.0.2/24" in ip("addr", "show", "eth0")
        assert "fd00:7::2/64" in ip("addr", "show", "eth0")


@pytest.mark.parametrize("by", ["device", "hwaddr"])
@pytest.mark.parametrize("end", ["undone", "pod gone"])
@in_own_network
def test_an_interface_of_the_host_comes_back_under_its_name(
    tmp_path: pathlib.Path, by: str, end: str
) -> None:
    lab = NetLab(tmp_path, outside=True)
    ip("link", "set", "up0", "alias", "the way out")
    ip("addr", "flush", "dev", "up0")
    mac = json.loads(ip("-j", "link", "show", "up0"))[0]["address"]
    plugin = {"type": "host-device", by: "up0" if by == "device" else mac, "ipam": THERE}
    pod = lab.pod().attach(listed(lab, plugin))
    meet(pod, lab)
    assert "up0" not in ip("-o", "link")
    with pytest.raises(NotFound, match="the host has no interface"):
        lab.pod().attach("n")
    if end == "pod gone":
        # The kernel removes what is not hardware with the namespace, and moves hardware to that of the machine.
        pod.die()
        pod.detach()
        return
    pod.detach()
    (back,) = json.loads(ip("-j", "link", "show", "up0"))
    assert (back["ifalias"], back["address"]) == ("the way out", mac)
    with inside(pod.netns):
        assert "eth0" not in ip("-o", "link")


@pytest.mark.finding("attack7-F8")
@pytest.mark.parametrize("by", ["device", "hwaddr"])
@in_own_network
def test_an_app_that_writes_aliases_names_no_interface_of_the_host(tmp_path: pathlib.Path, by: str) -> None:
    """As one can with CAP_NET_ADMIN."""
    lab = NetLab(tmp_path, outside=True)
    ip("addr", "flush", "dev", "up0")
    mac = json.loads(ip("-j", "link", "show", "up0"))[0]["address"]
    plugin = {"type": "host-device", by: "up0" if by == "device" else mac, "ipam": THERE}
    pod = lab.pod().attach(listed(lab, plugin))
    before = ip("-o", "link")
    lent = f"lent to pod {pod.uuid}"
    with inside(pod.netns):
        for number, name in enumerate(("..", "a/b", "", "a" * 16, *(["evil"] if by == "device" else []))):
            ip("link", "add", f"own{number}", "type", "veth")
            ip("link", "set", f"own{number}", "alias", f"{lent} {name} lent to pod x eth9")
        ip("link", "set", "eth0", "alias", f"{lent} up0 lent to pod x eth9")
    pod.detach()
    (back,) = json.loads(ip("-j", "link", "show", "up0"))
    assert (back["address"], back.get("ifalias", "")) == (mac, "")
    assert len(ip("-o", "link").splitlines()) == len(before.splitlines()) + 1


@in_own_network
def test_tuning_changes_the_interface_and_the_result(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    tuning = {
        "type": "tuning",
        "mac": "02:11:22:33:44:55",
        "mtu": 1280,
        "promisc": True,
        "allmulti": True,
        "txQLen": 77,
        "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1", "net/core/somaxconn": "99"},
    }
    pod = lab.pod().attach(listed(lab, PTP, tuning))
    link = link_of(pod)
    assert (link["address"], link["mtu"], link["txqlen"]) == ("02:11:22:33:44:55", 1280, 77)
    assert (link["promiscuity"], link["allmulti"]) == (1, 1)
    with inside(pod.netns):
        assert pathlib.Path("/proc/sys/net/ipv4/conf/eth0/arp_filter").read_text() == "1\n"
        assert pathlib.Path("/proc/sys/net/core/somaxconn").read_text() == "99\n"
    last = pod.infos[0].result.interfaces[-1]
    assert (last.mac, last.mtu) == ("02:11:22:33:44:55", 1280)
    with listen(pod.netns, 9000) as in_pod:
        assert source_seen(here(), in_pod, pod.address, 9000) == "10.7.0.1"


@pytest.mark.parametrize("name", ["kernel.core_pattern", "net.ipv4/../../kernel/core_pattern", "net"])
@in_own_network
def test_tuning_sets_no_sysctl_of_the_host(tmp_path: pathlib.Path, name: str) -> None:
    lab = NetLab(tmp_path)
    with pytest.raises(InvalidSpec, match="is not a sysctl of a network"):
        lab.pod().attach(listed(lab, PTP, {"type": "tuning", "sysctl": {name: "x"}}))


@in_own_network
def test_an_answer_leaves_by_the_interface_whose_address_was_asked(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    everywhere = [{"dst": "0.0.0.0/0"}]
    first = listed(lab, {**PTP, "ipam": {**INNER, "routes": everywhere}}, name="first", at=1)
    six = {"type": "host-local", "ranges": [[{"subnet": "10.8.0.0/24"}], [{"subnet": "fd00:8::/64"}]]}
    second = listed(
        lab,
        {"type": "ptp", "ipam": {**six, "routes": [*everywhere, {"dst": "::/0"}]}},
        {"type": "sbr"},
        name="second",
        at=2,
    )
    with inside(lab.outside):
        ip("route", "add", "10.8.0.0/24", "via", "192.0.2.1")
    pod = lab.pod().attach(f"{first},{second}")
    with inside(pod.netns):
        rules, table = ip("rule"), ip("route", "show", "table", "101")
        assert "from 10.8.0.2 lookup 101" in rules
        assert "default via 10.8.0.1 dev eth1" in table
        assert "eth1" not in ip("route")
        assert "default via fd00:8::1 dev eth1" in ip("-6", "route", "show", "table", "101")
        # Who asks by the second interface is answered by it; before, the answer would have left by the first.
        assert "dev eth1" in ip("route", "get", OUTSIDE_IP, "from", "10.8.0.2")
        assert "dev eth0" in ip("route", "get", OUTSIDE_IP)
        assert "dev eth1" in ip("route", "get", OUTSIDE_IP6, "from", "fd00:8::2")
    with inside(lab.outside):
        ip("route", "add", "fd00:8::/64", "via", HOST_IP6)
    for everywhere, there, address in (("0.0.0.0", OUTSIDE_IP, "10.8.0.2"), ("::", OUTSIDE_IP6, "fd00:8::2")):
        with listen(pod.netns, 9000, everywhere) as in_pod:
            assert source_seen(lab.outside, in_pod, address, 9000) == there


@in_own_network
def test_isolated_ports_reach_the_host_and_not_each_other(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    plugin = {"type": "bridge", "bridge": "cni7", "isGateway": True, "portIsolation": True, "ipam": BOTH}
    name = listed(lab, plugin)
    one, two = lab.pod().attach(name), lab.pod().attach(name)
    for (everywhere, _there, own), gateway in zip(families(one), ("10.7.0.1", "fd00:7::1")):
        with listen(here(), 8000, everywhere) as on_host:
            assert source_seen(one.netns, on_host, gateway, 8000) == own
    for everywhere, _there, own in families(two):
        with listen(two.netns, 9000, everywhere) as in_two, pytest.raises(OSError):
            source_seen(one.netns, in_two, own, 9000)


@in_own_network
def test_a_bridge_becomes_promiscuous(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    before = lab.snapshot()
    pod = lab.pod().attach(
        listed(lab, {"type": "bridge", "bridge": "cni7", "promiscMode": True, "ipam": INNER})
    )
    (link,) = json.loads(ip("-j", "-d", "link", "show", "cni7"))
    assert "PROMISC" in link["flags"]
    pod.detach()
    assert lab.snapshot() == before


@in_own_network
def test_routes_have_all_that_their_objects_say(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    routes = [
        {"dst": "10.66.0.0/16", "priority": 7, "mtu": 1111, "advmss": 1000},
        {"dst": "10.67.0.0/16", "gw": "10.7.0.1", "table": 88},
        {"dst": "10.7.0.77/32", "scope": 253},
    ]
    pod = lab.pod().attach(listed(lab, {**PTP, "ipam": {**INNER, "routes": routes}}))
    with inside(pod.netns):
        assert "10.66.0.0/16 via 10.7.0.1 dev eth0 metric 7 mtu 1111 advmss 1000" in ip("route")
        assert "10.7.0.77 dev eth0 scope link" in ip("route")
        assert "10.67.0.0/16 via 10.7.0.1 dev eth0" in ip("route", "show", "table", "88")


@in_own_network
def test_the_loopback_interface_is_a_network_as_well(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    pod = lab.pod().attach(listed(lab, {"type": "loopback"}))
    assert [each.name for each in pod.infos[0].result.interfaces] == ["lo"]
    with listen(pod.netns, 9000) as in_pod:
        assert source_seen(pod.netns, in_pod, "127.0.0.1", 9000) == "127.0.0.1"
    assert os.path.exists(pod.info_path)


@pytest.mark.parametrize("kind", ["ptp", "bridge", "macvlan", "tap"])
@in_own_network
def test_a_pod_asks_for_addresses_a_mac_address_and_a_name(tmp_path: pathlib.Path, kind: str) -> None:
    lab = NetLab(tmp_path, outside=True)
    both = {"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]}
    plugin = {"type": kind, "isGateway": True, "master": "up0", "ipam": both}
    name = listed(lab, plugin)
    pod = lab.pod().attach(f"default,{name}:IP=10.7.0.77;IP6=fd00:7::77;MAC=02:00:00:00:00:77;IFNAME=lan0")
    info = pod.infos[0]
    assert (info.if_name, info.ip, info.ip6) == ("lan0", "10.7.0.77", ("fd00:7::77/64",))
    link = link_of(pod, "lan0")
    assert link["address"] == info.result.interfaces[-1].mac == "02:00:00:00:00:77"
    with inside(pod.netns):
        assert "10.7.0.77/24" in ip("address", "show", "lan0")
        assert "eth1" in ip("-o", "link")
    if kind in ("ptp", "bridge"):
        with listen(pod.netns, 9000) as in_pod:
            assert source_seen(here(), in_pod, "10.7.0.77", 9000) == "10.7.0.1"
    pod.detach()


@in_own_network
def test_a_link_without_a_mac_address_of_its_own_gets_none(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path, outside=True)
    name = listed(lab, {"type": "ipvlan", "master": "up0", "ipam": THERE})
    with pytest.raises(InvalidSpec, match="cannot give a MAC address"):
        lab.pod().attach(f"{name}:MAC=02-00-00-00-00-77")
