# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The steps that join a pod to a network."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import (
    Address,
    Route,
    Subnet,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import NetConf
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.place import Place, host_if_prefix
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.plan import (
    bridge_of,
    gateway_link,
    steps_of,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import result_of_addresses
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.steps import (
    HOST_SIDE,
    POD_SIDE,
    AddAddress,
    AddRoute,
    BringUp,
    EnsureBridgeAddress,
    IgnoreRouters,
    MakeVeth,
    SetSysctl,
)

UUID = "6733c088-a507-4694-aabf-0123456789ab"
GATEWAY, ADDRESS = Address.parse("10.0.0.1"), Address.parse("10.0.0.2")
PLACE = Place(UUID, 1, result_of_addresses((Assigned(ADDRESS, 24, GATEWAY),)))
DEFAULT = Subnet.parse("0.0.0.0/0")
WITH_ROUTE = PLACE.replace(given=PLACE.given.replace(routes=(Route(DEFAULT),)))


def conf(members: str) -> NetConf:
    return NetConf.parse(f'{{"name": "n", {members}}}'.encode(), "n.conf")


PTP = conf('"type": "ptp", "mtu": 1400, "ipam": {"type": "static", "routes": [{"dst": "0.0.0.0/0"}]}')
BRIDGE = conf('"type": "bridge"')


def test_interfaces_are_named_after_the_pod_and_fit_the_kernel() -> None:
    assert (PLACE.if_name, PLACE.host_if) == ("eth1", "veth6733c088a51")
    assert len(PLACE.host_if) <= 15
    assert PLACE.host_if.startswith(host_if_prefix(UUID))


def test_mac_addresses_differ_by_end_and_by_network_and_are_local() -> None:
    macs = {mac for index in range(36) for mac in Place(UUID, index).macs}
    assert len(macs) == 72
    assert all(len(mac) == 6 and mac[0] & 3 == 2 for mac in macs)


@pytest.mark.behaviour("E16")
def test_ptp_routes_everything_by_the_gateway() -> None:
    assert steps_of(PTP, WITH_ROUTE) == (
        SetSysctl("net/ipv4/ip_forward", "1"),
        MakeVeth(PLACE.host_if, "eth1", PLACE.macs, 1400),
        IgnoreRouters(PLACE.host_if),
        BringUp(HOST_SIDE, PLACE.host_if),
        BringUp(POD_SIDE, "eth1"),
        AddAddress(HOST_SIDE, PLACE.host_if, GATEWAY, 32),
        AddRoute(HOST_SIDE, PLACE.host_if, Subnet.parse("10.0.0.2/32"), None, (("scope", 254),)),
        AddAddress(POD_SIDE, "eth1", ADDRESS, 24, prefix_route=False),
        AddRoute(POD_SIDE, "eth1", Subnet.parse("10.0.0.1/32"), source=ADDRESS),
        AddRoute(POD_SIDE, "eth1", Subnet.parse("10.0.0.0/24"), GATEWAY, source=ADDRESS),
        AddRoute(POD_SIDE, "eth1", DEFAULT, GATEWAY),
    )


@pytest.mark.behaviour("E17")
def test_a_plain_bridge_has_no_address_and_forwards_nothing() -> None:
    steps = steps_of(BRIDGE, PLACE)
    assert steps[0].name == "cni0"
    assert steps[1:] == (
        IgnoreRouters("cni0"),
        BringUp(HOST_SIDE, "cni0"),
        MakeVeth(PLACE.host_if, "eth1", PLACE.macs, 0, "cni0", False),
        IgnoreRouters(PLACE.host_if),
        BringUp(HOST_SIDE, PLACE.host_if),
        BringUp(POD_SIDE, "eth1"),
        AddAddress(POD_SIDE, "eth1", ADDRESS, 24),
    )


@pytest.mark.finding("pods-F4")
@pytest.mark.parametrize(
    ("members", "keys"),
    [
        ('"acceptRA": true', ["net/ipv6/conf/eth1/accept_ra"]),
        (
            '"acceptRedirects": true',
            ["net/ipv6/conf/eth1/accept_redirects", "net/ipv4/conf/eth1/accept_redirects"],
        ),
    ],
)
@pytest.mark.parametrize("kind", ["bridge", "ptp"])
def test_a_definition_can_have_pods_believe_routers_but_not_the_host(
    members: str, keys: list[str], kind: str
) -> None:
    asked = conf(f'"type": "{kind}", {members}')
    steps = steps_of(asked, PLACE)
    switches = [SetSysctl(key, "1", POD_SIDE) for key in keys]
    assert [step for step in steps if isinstance(step, SetSysctl) and step.side == POD_SIDE] == switches
    assert steps.index(switches[-1]) < steps.index(BringUp(POD_SIDE, "eth1"))
    assert IgnoreRouters(PLACE.host_if) in steps
    assert asked.meaning != conf(f'"type": "{kind}"').meaning


@pytest.mark.behaviour("E17")
def test_a_default_gateway_is_a_gateway_and_the_way_out() -> None:
    steps = steps_of(
        conf('"type": "bridge", "bridge": "br1", "isDefaultGateway": true, "hairpinMode": true'), PLACE
    )
    assert EnsureBridgeAddress("br1", GATEWAY, 24) in steps
    assert SetSysctl("net/ipv4/ip_forward", "1") in steps
    assert steps[-1] == AddRoute(POD_SIDE, "eth1", DEFAULT, GATEWAY)
    assert MakeVeth(PLACE.host_if, "eth1", PLACE.macs, 0, "br1", True) in steps


def test_a_default_route_is_not_added_twice() -> None:
    steps = steps_of(conf('"type": "bridge", "isDefaultGateway": true'), WITH_ROUTE)
    assert [step for step in steps if isinstance(step, AddRoute)] == [
        AddRoute(POD_SIDE, "eth1", DEFAULT, GATEWAY)
    ]


@pytest.mark.behaviour("E17")
def test_the_gateway_is_on_the_bridge_or_on_the_pods_own_link() -> None:
    assert bridge_of(BRIDGE) == "cni0"
    assert gateway_link(BRIDGE, PLACE) == "cni0"
    assert gateway_link(PTP, PLACE) == PLACE.host_if


@pytest.mark.parametrize("name", ["", "..", "a/b", "a" * 16])
def test_a_name_that_no_bridge_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidSpec, match=r"n\.conf\.bridge"):
        conf(f'"type": "bridge", "bridge": "{name}"')


def test_ipv6_addresses_take_the_same_road() -> None:
    given = result_of_addresses((Assigned(Address.parse("fd00::2"), 64, Address.parse("fd00::1")),))
    place = Place(UUID, 0, given)
    steps = steps_of(conf('"type": "ptp"'), place)
    assert SetSysctl("net/ipv6/conf/all/forwarding", "1") in steps
    assert AddRoute(HOST_SIDE, place.host_if, Subnet.parse("fd00::2/128")) in steps


@pytest.mark.parametrize("addresses", [(), (Assigned(ADDRESS, 24),)], ids=["no address", "no gateway"])
def test_ptp_without_what_it_needs_is_refused(addresses: tuple[Assigned, ...]) -> None:
    with pytest.raises(InvalidSpec):
        steps_of(PTP, Place(UUID, 0, result_of_addresses(addresses)))
