# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""VLANs of bridges, by what pods reach, and against CNI's own program.

A kernel may be built without them, as that of this machine may be; then a pod is refused. That of the virtual machine
has them, see systemd/test_kernel.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import time
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, Unsupported
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.gateways import (
    drop_gateways,
    widen_gateways,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.mend import mend
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    TIMEOUT,
    NetLab,
    Pod,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    source_seen,
    switch,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_crash import events_of, killed_after
from ansible_collections.stagecraft.pods.tests.integration.net.test_isolation import drift_of
from ansible_collections.stagecraft.pods.tests.integration.net.test_same import (
    Runtime,
    attached,
    begun,
    effect,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_types import listed

SLICES = 10
SEVEN: dict[str, Any] = {
    "type": "bridge",
    "bridge": "cni7",
    "isGateway": True,
    "vlan": 7,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]},
}
# On the same subnet, so that only the VLAN keeps its pods from the others.
EIGHT: dict[str, Any] = {
    "type": "bridge",
    "bridge": "cni7",
    "vlan": 8,
    "ipam": {"type": "host-local", "subnet": "10.7.0.0/24", "rangeStart": "10.7.0.100"},
}
TRUNK: dict[str, Any] = {
    "type": "bridge",
    "bridge": "cni7",
    "vlanTrunk": [{"id": 7}, {"minID": 20, "maxID": 22}],
    "preserveDefaultVlan": False,
    "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"},
}
ACCESS = ["PVID", "Egress Untagged"]


def has_vlans(lab: NetLab, *names: str) -> bool:
    """Whether the bridges of this kernel tell VLANs apart. Where they do not, a pod of such a network is refused, and
    leaves nothing.
    """
    probe = ["ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1"]
    if not subprocess.run(probe, check=False).returncode:
        ip("link", "del", "probe")
        return True
    before = lab.snapshot()
    for name in names:
        lacks = f'error adding network "{name}": the bridges of this host.s kernel have no VLANs: '
        with pytest.raises(Unsupported, match=lacks) as caught:
            lab.pod().attach(name)
        assert "CONFIG_BRIDGE_VLAN_FILTERING" in caught.value.hint
        assert lab.snapshot() == before
    return False


def vlans() -> dict[str, dict[int, list[str]]]:
    """The VLANs of each port of the bridges here, and what they are to it."""
    listed_there = subprocess.run(["bridge", "-j", "vlan"], check=True, capture_output=True, text=True).stdout
    return {
        port["ifname"]: {
            number: sorted(vlan.get("flags", []), reverse=True)
            for vlan in port["vlans"]
            for number in range(vlan["vlan"], vlan.get("vlanEnd", vlan["vlan"]) + 1)
        }
        for port in json.loads(listed_there)
    }


def meets(one: int, other: Pod, address: str = "") -> str:
    with listen(other.netns, 9000, "::" if ":" in address else "0.0.0.0") as in_other:
        return source_seen(one, in_other, address or other.address, 9000)


def meets_not(one: int, other: Pod) -> None:
    with pytest.raises(OSError):
        meets(one, other)


@pytest.mark.kernel
@pytest.mark.behaviour("E17")
@in_own_network
def test_pods_of_one_vlan_meet_and_those_of_two_do_not(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    before = lab.snapshot()
    seven, eight = listed(lab, SEVEN, name="seven"), listed(lab, EIGHT, name="eight", at=20)
    if not has_vlans(lab, seven, eight):
        return
    one, two, other = lab.pod().attach(seven), lab.pod().attach(seven), lab.pod().attach(eight)
    assert meets(one.netns, two) == one.address
    meets_not(one.netns, other)
    meets_not(other.netns, one)
    # The gateway is in the VLAN, and leads to its pods alone.
    assert [meets(here(), each) for each in (one, two)] == ["10.7.0.1"] * 2
    assert meets(here(), one, "fd00:7::2") == "fd00:7::1"
    meets_not(here(), other)
    found = vlans()
    assert found[one.infos[0].host_if] == found["cni7_7"] == {1: ["Egress Untagged"], 7: ACCESS}
    assert found[other.infos[0].host_if] == {1: ["Egress Untagged"], 8: ACCESS}
    assert one.infos[0].gateway_link == "cni7.7"
    # It goes with the last pod of its VLAN, the bridge with the last pod of all.
    one.detach()
    assert "cni7.7" in ip("-o", "link")
    two.detach()
    assert "cni7.7" not in ip("-o", "link") and "cni7" in ip("-o", "link")
    other.detach()
    assert lab.snapshot()[1:] == before[1:] and "cni7" not in lab.snapshot()[0]


@pytest.mark.kernel
@pytest.mark.behaviour("E17")
@in_own_network
def test_a_trunk_carries_the_tags_of_its_vlans_alone(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    seven, eight = listed(lab, SEVEN, name="seven"), listed(lab, EIGHT, name="eight", at=20)
    trunk = listed(lab, TRUNK, name="trunk", at=30)
    if not has_vlans(lab, trunk):
        return
    pod, one, other = lab.pod().attach(trunk), lab.pod().attach(seven), lab.pod().attach(eight)
    assert vlans()[pod.infos[0].host_if] == {7: [], 20: [], 21: [], 22: []}
    with inside(pod.netns):
        for number, address in ((7, "10.7.0.50/32"), (8, "10.7.0.51/32")):
            ip("link", "add", "link", "eth0", "name", f"eth0.{number}", "type", "vlan", "id", str(number))
            ip("addr", "add", address, "dev", f"eth0.{number}")
            ip("link", "set", f"eth0.{number}", "up")
        ip("route", "add", f"{one.address}/32", "dev", "eth0.7", "src", "10.7.0.50")
        ip("route", "add", f"{other.address}/32", "dev", "eth0.8", "src", "10.7.0.51")
    assert meets(pod.netns, one) == "10.7.0.50"
    meets_not(pod.netns, other)


@pytest.mark.kernel
@pytest.mark.parametrize("drops", [True, False], ids=["out of the default VLAN", "in it as well"])
@in_own_network
def test_a_port_leaves_the_default_vlan_where_that_is_asked_for(tmp_path: pathlib.Path, drops: bool) -> None:
    lab = NetLab(tmp_path)
    name = listed(lab, {**SEVEN, "preserveDefaultVlan": not drops})
    if not has_vlans(lab, name):
        return
    pod = lab.pod().attach(name)
    expected = {7: ACCESS} if drops else {1: ["Egress Untagged"], 7: ACCESS}
    assert vlans()[pod.infos[0].host_if] == vlans()["cni7_7"] == expected
    assert meets(here(), pod) == "10.7.0.1"
    assert drift_of(pod).sentences == ()


@pytest.mark.kernel
@pytest.mark.behaviour("E17")
@in_own_network
def test_a_vlan_is_made_as_by_the_program_of_cni(tmp_path: pathlib.Path) -> None:
    chain = [{**SEVEN, "isDefaultGateway": True, "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}]
    lab = begun(tmp_path, chain)
    if not has_vlans(lab, "same"):
        return
    theirs = lab.pod()
    runtime = Runtime(theirs, chain)
    result = runtime.add()
    wanted, does = seen(lab, theirs), effect(lab, theirs, "10.7.0.2")
    runtime.delete()
    ip("link", "delete", "cni7.7")
    ip("link", "delete", "cni7")
    for lease in pathlib.Path(lab.paths.leases).rglob("last_reserved_ip.*"):
        lease.unlink()
    ours = lab.pod()
    ours.uuid = theirs.uuid
    ours.attach("same")
    found = seen(lab, ours)
    for key, value in found.items():
        assert value == wanted[key], key
    assert effect(lab, ours, ours.address) == does
    told = ours.infos[0].result.to_json("0.4.0")
    assert (told["ips"][0]["address"], told["routes"]) == (result["ips"][0]["address"], result["routes"])  # type: ignore[index]
    assert names(told) == names(result)
    # Their CHECK finds ours as it should be, and a pod of ours joins a bridge of theirs.
    check = Runtime(ours, chain)
    check.result = told
    check.check()
    ours.detach()
    theirs = lab.pod()
    added = Runtime(theirs, chain).add()
    joined = lab.pod().attach("same")
    assert meets(joined.netns, theirs, added["ips"][0]["address"].partition("/")[0]) == joined.address


def seen(lab: NetLab, pod: Pod) -> dict[str, Any]:
    """What test_same looks at, in one order, with the VLANs, and without the name of the gateway's port, which CNI's
    program rolls.
    """
    end = time.monotonic() + 10 * TIMEOUT
    # The kernel reports the carrier a little later.
    while time.monotonic() < end and {link["operstate"] for link in links_of_bridge()} != {"UP"}:
        time.sleep(0.01)
    views = {**attached(lab, pod), "vlans": sorted(map(str, vlans().values()))}
    text = json.dumps(views, default=str).replace("cni7_7", "veth")
    return {
        key: sorted(map(str, each)) if isinstance(each, list) else each
        for key, each in json.loads(text).items()
    }


def links_of_bridge() -> list[dict[str, Any]]:
    return [link for link in json.loads(ip("-j", "link")) if link["ifname"] not in ("lo", "up0")]


def names(result: dict[str, Any]) -> list[tuple[str, bool]]:
    return sorted(
        ("veth" if each["name"].startswith("veth") else each["name"], bool(each.get("sandbox")))
        for each in result["interfaces"]
    )


@pytest.mark.kernel
@in_own_network
def test_a_foreign_bridge_has_to_tell_vlans_apart_already(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    name = listed(lab, SEVEN)
    ip("link", "add", "cni7", "type", "bridge")
    ip("link", "set", "cni7", "up")
    before = lab.snapshot()
    with pytest.raises(Conflict, match="the bridge cni7 of this host does not filter VLANs"):
        lab.pod().attach(name)
    assert lab.snapshot() == before
    ip("link", "del", "cni7")
    if not has_vlans(lab, name):
        return
    ip("link", "add", "cni7", "type", "bridge", "vlan_filtering", "1")
    pod = lab.pod().attach(name)
    assert meets(here(), pod) == "10.7.0.1"
    pod.detach()
    assert "cni7.7" not in ip("-o", "link") and "cni7" in ip("-o", "link")


@pytest.mark.kernel
@pytest.mark.parametrize("lost", ["filter", "port", "gateway", "port of the gateway"])
@in_own_network
def test_a_vlan_that_has_gone_is_drift_and_comes_back(tmp_path: pathlib.Path, lost: str) -> None:
    lab = NetLab(tmp_path)
    name = listed(lab, SEVEN)
    if not has_vlans(lab, name):
        return
    pod = lab.pod().attach(name)
    assert drift_of(pod).sentences == ()
    port = pod.infos[0].host_if if lost == "port" else "cni7_7"
    if lost == "filter":
        ip("link", "set", "cni7", "type", "bridge", "vlan_filtering", "0")
    elif lost == "gateway":
        ip("link", "del", "cni7.7")
    else:
        subprocess.run(["bridge", "vlan", "del", "dev", port, "vid", "7"], check=True)
    drift = drift_of(pod)
    ((_index, said),) = drift.sentences
    told = {"filter": "bridge cni7", "port": f"link {port}"}.get(lost, "link cni7.7")
    assert said.split(", ")[0] == f"VLANs of {told}"
    mend(pod.joining, pod.netns, drift, ())
    assert drift_of(pod).sentences == ()
    assert meets(here(), pod) == "10.7.0.1"


@pytest.mark.kernel
@in_own_network
def test_a_port_on_127_0_0_1_leads_into_a_vlan_as_long_as_its_pod_is_there(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    name = listed(lab, SEVEN)
    if not has_vlans(lab, name):
        return
    key = "ipv4/conf/cni7.7/route_localnet"
    stays, pod = lab.pod().attach(name), lab.pod().attach(name, PortForward("tcp", None, 8080, 80))
    with listen(pod.netns, 80) as in_pod:
        assert source_seen(here(), in_pod, "127.0.0.1", 8080) == "10.7.0.1"
    assert switch(key) == "1"
    pod.detach()
    assert switch(key) == "0"
    stays.detach()


@pytest.mark.kernel
@in_own_network
def test_gateways_of_a_vlan_that_has_changed_are_found_there(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    name = listed(lab, SEVEN)
    if not has_vlans(lab, name):
        return
    pod = lab.pod().attach(name)
    gateway = Address.parse("10.7.0.1")
    widen_gateways(lab.paths, "cni7", "cni7.7", [(gateway, 16)])
    assert "10.7.0.1/16" in ip("addr", "show", "cni7.7")
    assert meets(here(), pod) == "10.7.0.1"
    drop_gateways(lab.paths, "cni7", "cni7.7", [(gateway, 16)])
    assert "10.7.0.1" not in ip("addr")
    pod.detach()


@pytest.mark.kernel
@in_own_network
def test_isolated_pods_of_a_vlan_reach_its_gateway_and_not_each_other(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    before = lab.snapshot()
    name = listed(lab, {**SEVEN, "isolated": True})
    if not has_vlans(lab, name):
        return
    one, two = lab.pod().attach(name), lab.pod().attach(name)
    assert [meets(here(), each) for each in (one, two)] == ["10.7.0.1"] * 2
    meets_not(one.netns, two)
    for pod in (one, two):
        pod.detach()
    assert lab.snapshot() == before


@pytest.mark.kernel
@pytest.mark.behaviour("E25")
@in_own_network
def test_nothing_is_left_of_a_start_that_is_killed(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    name = listed(lab, SEVEN)
    if not has_vlans(lab, name):
        return
    lab.pod().attach(name).detach()
    before = lab.snapshot()
    pod = lab.pod()
    events = events_of(lambda: pod.attach(name))
    pod.detach()
    for piece in range(SLICES):
        pod = lab.pod()
        killed_after(events * piece // SLICES, lambda pod=pod: pod.attach(name))  # type: ignore[misc]
        pod.detach()
        assert lab.snapshot() == before, f"killed after {piece}/{SLICES}"
