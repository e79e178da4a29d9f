# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each type of network reads of its configuration, and the steps that it takes."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import NetConf, choose
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.kinds import LINK_TYPES, TYPES
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import network_plan
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.place import Place
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.plan import result_of, steps_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import result_of_addresses
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.steps import (
    HOST_SIDE,
    MAKING,
    POD_SIDE,
    BringUp,
    EnsureBridgeAddress,
    FilterVlans,
    IsolatePort,
    MakeLink,
    MakeTap,
    MoveLink,
    MoveRoutes,
    PortVlans,
    SetSysctl,
    TuneLink,
    VlanGateway,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.steps import NetStep

GIVEN = (Assigned(Address.parse("10.0.0.2"), 24, Address.parse("10.0.0.1")),)
PLACE = Place("6733c088-a507-4694-aabf-0123456789ab", 1, result_of_addresses(GIVEN))
MAC = PLACE.macs[1]
# The least that each type needs.
LEAST: dict[str, dict[str, object]] = {
    "macvlan": {"master": "up0"},
    "ipvlan": {"master": "up0"},
    "vlan": {"master": "up0", "vlanId": 7},
    "host-device": {"device": "up1"},
}


def conf(*plugins: dict[str, object]) -> NetConf:
    text = json.dumps({"name": "n", "cniVersion": "1.0.0", "plugins": list(plugins)})
    return NetConf.parse(text.encode(), "n.conflist")


def steps(kind: str, **members: object) -> list[NetStep]:
    return list(steps_of(conf({"type": kind, **LEAST.get(kind, {}), **members}), PLACE))


@pytest.mark.parametrize("kind", LINK_TYPES)
def test_a_type_makes_one_interface_and_says_so(kind: str) -> None:
    made = steps(kind)
    assert len([step for step in made if isinstance(step, MAKING)]) == (0 if kind == "loopback" else 1)
    assert BringUp(POD_SIDE, "lo" if kind == "loopback" else "eth1") in made
    plugin = conf({"type": kind, **LEAST.get(kind, {})}).main
    result = result_of(plugin, PLACE, "/proc/7/ns/net")
    assert [each.sandbox for each in result.interfaces[:-1]] == [""] * (len(result.interfaces) - 1)
    assert result.interfaces[-1].sandbox == "/proc/7/ns/net"
    assert result.addresses == GIVEN


@pytest.mark.behaviour("E18")
@pytest.mark.parametrize(
    ("kind", "members", "made"),
    [
        ("macvlan", {}, MakeLink("macvlan", "eth1", "up0", HOST_SIDE, 4, MAC)),
        (
            "macvlan",
            {"mode": "vepa", "mtu": 1400},
            MakeLink("macvlan", "eth1", "up0", HOST_SIDE, 2, MAC, 1400),
        ),
        ("macvlan", {"mode": "passthru"}, MakeLink("macvlan", "eth1", "up0", HOST_SIDE, 8)),
        ("macvlan", {"linkInContainer": True}, MakeLink("macvlan", "eth1", "up0", POD_SIDE, 4, MAC)),
        ("ipvlan", {}, MakeLink("ipvlan", "eth1", "up0", HOST_SIDE, 0)),
        ("ipvlan", {"mode": "l3s"}, MakeLink("ipvlan", "eth1", "up0", HOST_SIDE, 2)),
        ("vlan", {}, MakeLink("vlan", "eth1", "up0", HOST_SIDE, 7)),
        ("dummy", {}, MakeLink("dummy", "eth1", mac=MAC)),
        ("tap", {"owner": 5, "multiQueue": True}, MakeTap("eth1", 5, -1, True, MAC)),
        ("host-device", {"mtu": 1400}, MoveLink("device", "up1", "eth1", PLACE.uuid, 1400)),
        (
            "host-device",
            {"device": "", "pciBusID": "0000:01:00.0"},
            MoveLink("pciBusID", "0000:01:00.0", "eth1", PLACE.uuid),
        ),
    ],
)
def test_members_of_a_type_reach_its_step(kind: str, members: dict[str, object], made: NetStep) -> None:
    assert [step for step in steps(kind, **members) if isinstance(step, MAKING)] == [made]


@pytest.mark.parametrize(
    ("members", "only"),
    [
        ({"portIsolation": True}, b""),
        ({"isolated": True}, MAC),
        ({"isolated": True, "portIsolation": True}, MAC),
    ],
)
def test_an_isolated_port_is_kept_apart_before_it_is_up(members: dict[str, object], only: bytes) -> None:
    found = steps("bridge", **members)
    assert found.index(IsolatePort(PLACE.host_if, only)) < found.index(BringUp(HOST_SIDE, PLACE.host_if))
    assert not any(isinstance(step, IsolatePort) for step in steps("bridge"))


def test_a_bridge_is_promiscuous_where_that_is_asked_for() -> None:
    step = TuneLink("cni0", promiscuous=True, side=HOST_SIDE)
    assert step in steps("bridge", promiscMode=True)
    assert not any(isinstance(each, TuneLink) for each in steps("bridge"))


GATEWAY_MACS = bytes.fromhex("0a5900010007"), bytes.fromhex("0a580a000001")


def test_a_port_is_in_its_vlan_before_it_is_kept_apart_or_up() -> None:
    found = steps("bridge", vlan=7, isGateway=True, isolated=True, mtu=1400)
    port, of_host = PortVlans(PLACE.host_if, 7), PortVlans("cni0_7", 7)
    order = [
        FilterVlans("cni0"),
        VlanGateway("cni0.7", "cni0", of_host, GATEWAY_MACS, 1400),
        BringUp(HOST_SIDE, "cni0.7"),
        EnsureBridgeAddress("cni0.7", Address.parse("10.0.0.1"), 24),
        port,
        IsolatePort(PLACE.host_if, MAC),
        BringUp(HOST_SIDE, PLACE.host_if),
    ]
    assert [step for step in found if step in order] == order
    result = result_of(conf({"type": "bridge", "vlan": 7, "isGateway": True}).main, PLACE, "/ns")
    assert [each.name for each in result.interfaces] == ["cni0.7", "cni0", PLACE.host_if, "eth1"]


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"vlan": 4094, "preserveDefaultVlan": False}, PortVlans(PLACE.host_if, 4094, (), False)),
        ({"vlanTrunk": [{"id": 1}]}, PortVlans(PLACE.host_if, 0, ((1, 1),))),
        (
            {"vlan": 0, "vlanTrunk": [{"minID": 2, "maxID": 2}, {"ID": 9, "MINID": 3, "maxid": 5}]},
            PortVlans(PLACE.host_if, 0, ((2, 2), (9, 9), (3, 5))),
        ),
    ],
)
def test_vlans_reach_the_port_and_without_a_gateway_not_the_host(
    members: dict[str, object], wanted: PortVlans
) -> None:
    found = steps("bridge", **members)
    assert wanted in found and FilterVlans("cni0") in found
    assert not any(isinstance(step, (VlanGateway, EnsureBridgeAddress)) for step in found)


@pytest.mark.parametrize(
    "members", [{}, {"vlan": 0}, {"vlanTrunk": []}, {"vlan": None, "preserveDefaultVlan": False}]
)
def test_a_bridge_without_vlans_stays_as_it_is(members: dict[str, object]) -> None:
    assert not any(isinstance(step, (FilterVlans, PortVlans)) for step in steps("bridge", **members))


def test_the_gateway_of_a_trunk_is_on_the_bridge() -> None:
    found = steps("bridge", vlanTrunk=[{"id": 7}], isGateway=True)
    assert EnsureBridgeAddress("cni0", Address.parse("10.0.0.1"), 24) in found
    assert not any(isinstance(step, VlanGateway) for step in found)


@pytest.mark.behaviour("E18")
def test_macvlan_answers_for_others() -> None:
    assert SetSysctl("net/ipv4/conf/eth1/proxy_arp", "1", POD_SIDE) in steps("macvlan")
    assert not any(isinstance(step, SetSysctl) for step in steps("ipvlan"))


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"type": "macvlan"}, "master"),
        ({"type": "macvlan", "master": "a/b"}, "master"),
        ({"type": "macvlan", "master": "up0", "mode": "l2"}, "mode"),
        ({"type": "ipvlan", "master": "up0", "mode": "bridge"}, "mode"),
        ({"type": "vlan", "master": "up0"}, "vlanId"),
        ({"type": "vlan", "master": "up0", "vlanId": 4095}, "vlanId"),
        ({"type": "tap", "owner": "root"}, "owner"),
        ({"type": "host-device"}, "device"),
        ({"type": "host-device", "device": "a" * 16}, "device"),
        ({"type": "bridge", "vlan": 4095}, "vlan"),
        ({"type": "bridge", "vlan": -1}, "vlan"),
        ({"type": "bridge", "vlan": "7"}, "vlan"),
        ({"type": "bridge", "vlan": 7, "vlanTrunk": [{"id": 8}]}, "vlanTrunk"),
        ({"type": "bridge", "vlanTrunk": {"id": 8}}, "vlanTrunk"),
        ({"type": "bridge", "vlanTrunk": [7]}, r"vlanTrunk\[0\]"),
        ({"type": "bridge", "vlanTrunk": [{"id": 7}, {}]}, r"vlanTrunk\[1\]"),
        ({"type": "bridge", "vlanTrunk": [{"id": 0}]}, r"vlanTrunk\[0\]\.id"),
        ({"type": "bridge", "vlanTrunk": [{"minID": 5, "maxID": 4}]}, r"vlanTrunk\[0\]\.minID"),
        ({"type": "bridge", "vlanTrunk": [{"minID": 5}]}, r"vlanTrunk\[0\]\.maxID"),
        ({"type": "bridge", "vlanTrunk": [{"minID": 1, "maxID": 4095}]}, r"vlanTrunk\[0\]\.maxID"),
        ({"type": "bridge", "vlan": 7, "preserveDefaultVlan": 1}, "preserveDefaultVlan"),
        ({"type": "bridge", "bridge": "a" * 11, "vlan": 4094, "isGateway": True}, "bridge"),
    ],
)
def test_what_a_type_cannot_use_is_told_with_its_place(members: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"n\.conflist\.plugins\[0\]\.{place}: "):
        conf(members)


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"mac": "02:00:00:00:00"}, "mac"),
        ({"mac": "01:00:5e:00:00:01"}, "mac"),
        ({"mac": "02:00:00:00:00:zz"}, "mac"),
        ({"promisc": "yes"}, "promisc"),
        ({"sysctl": []}, "sysctl"),
        ({"sysctl": {"vm.overcommit_memory": "1"}}, r"sysctl\.vm\.overcommit_memory"),
        ({"sysctl": {"net.core.somaxconn": 9}}, r"sysctl\.net\.core\.somaxconn"),
    ],
)
def test_what_tuning_cannot_do_is_told_with_its_place(members: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"n\.conflist\.plugins\[1\]\.{place}: "):
        conf({"type": "ptp"}, {"type": "tuning", **members})


def test_plugins_that_follow_add_their_steps_after_the_interface() -> None:
    tuning = {"type": "tuning", "mac": "2:0:0:0:0:1", "sysctl": {"net.ipv4.conf.IFNAME.rp_filter": "0"}}
    chain = conf({"type": "ptp"}, tuning, {"type": "sbr"}, {"type": "portmap"})
    assert steps_of(chain, PLACE)[-3:] == (
        SetSysctl("net/ipv4/conf/eth1/rp_filter", "0", POD_SIDE),
        TuneLink("eth1", bytes((2, 0, 0, 0, 0, 1))),
        MoveRoutes("eth1", 101, GIVEN),
    )
    first = result_of(chain.plugins[0], PLACE, "/ns")
    changed = result_of(chain.plugins[1], PLACE, "/ns", first)
    assert [each.mac for each in changed.interfaces] == [first.interfaces[0].mac, "02:00:00:00:00:01"]
    assert result_of(chain.plugins[2], PLACE, "/ns", changed) == changed


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"markMasqBit": 32}, "markMasqBit"),
        ({"markMasqBit": -1}, "markMasqBit"),
        ({"markMasqBit": "13"}, "markMasqBit"),
        ({"markMasqBit": 13, "externalSetMarkChain": "MARK"}, "markMasqBit"),
        ({"masqAll": "yes"}, "masqAll"),
    ],
)
def test_what_portmap_cannot_do_is_told_with_its_place(members: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"n\.conflist\.plugins\[1\]\.{place}: "):
        conf({"type": "ptp"}, {"type": "portmap", **members})


def test_a_mark_bit_changes_nothing() -> None:
    marked = conf({"type": "ptp"}, {"type": "portmap", "markMasqBit": 0}).plugins[1]
    assert (marked.is_built_in, marked.beyond, marked.masks_clients) == (True, (), False)
    assert conf({"type": "ptp"}, {"type": "portmap", "masqAll": True}).plugins[1].masks_clients


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("tuning",), "needs one before it that makes an interface"),
        (("ptp", "bridge"), "makes a second interface"),
        (("ptp", "tuning", "dummy"), "makes a second interface"),
    ],
)
def test_a_chain_begins_with_an_interface_and_has_one(kinds: tuple[str, ...], said: str) -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.0.0.2/24", "gateway": "10.0.0.1"}]}
    chain = conf(*({"type": kind, "ipam": ipam} for kind in kinds))
    with pytest.raises(InvalidSpec, match=said):
        network_plan(choose([chain], (("n", ()),)), ())


def test_every_type_is_known_here() -> None:
    assert {kind for kind in TYPES if kind not in LINK_TYPES} == {
        *("portmap", "tuning", "sbr", "bandwidth", "firewall"),
    }
