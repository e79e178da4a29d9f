# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What limits the rates of a pod's interfaces."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.resources import NetworkBandwidth
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import NetConf, choose
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import (
    HostFacts,
    compare_with_host,
    network_plan,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.place import Place, shaper_name
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.programs import PluginPrograms
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rates import NO_RATE, Rate
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.shaping import shape_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.steps import ShapeLink

UUID = "6733c088-a507-4694-aabf-0123456789ab"
PLACE = Place(UUID, 1)
PTP: dict[str, object] = {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}
LIMITS: dict[str, object] = {
    "type": "bandwidth",
    "ingressRate": 8000,
    "ingressBurst": 800,
    "egressRate": 16000,
    "egressBurst": 1600,
}
PROGRAM: dict[str, object] = {"type": "shaper", "capabilities": {"bandwidth": True}}
PROGRAMS = PluginPrograms((("shaper", "/opt/cni/bin/shaper"),))


def conf(*plugins: dict[str, object]) -> NetConf:
    text = json.dumps({"name": "n", "cniVersion": "1.0.0", "plugins": list(plugins)})
    return PROGRAMS.resolve(NetConf.parse(text.encode(), "n.conflist"))


def manifest(*limits: tuple[int, ...], pod: tuple[int, ...] = ()) -> PodManifest:
    apps = [
        {
            "name": f"a{at}",
            "image": {"id": "sha512-" + "0" * 64},
            "app": {
                "exec": ["/a"],
                "user": "0",
                "group": "0",
                "isolators": [
                    {"name": each.name, "value": each.to_json()} for each in map(NetworkBandwidth, of_app)
                ],
            },
        }
        for at, of_app in enumerate(limits)
    ]
    isolators = [{"name": each.name, "value": each.to_json()} for each in map(NetworkBandwidth, pod)]
    value = {"acVersion": "0.8.11", "acKind": "PodManifest", "apps": apps, "isolators": isolators}
    return PodManifest.from_json(value)


@pytest.mark.behaviour("C43")
@pytest.mark.parametrize(
    ("limits", "pod", "found"),
    [
        (((),), (), 0),
        (((8000,), ()), (), 8000),
        (((8000,), (4000,)), (), 4000),
        (((8000,),), (2000,), 2000),
    ],
    ids=["none", "one app", "the smallest", "the pod"],
)
def test_the_smallest_limit_is_that_of_the_pod(
    limits: tuple[tuple[int, ...], ...], pod: tuple[int, ...], found: int
) -> None:
    assert manifest(*limits, pod=pod).network_limit == found


def test_an_interface_gets_the_strictest_rate_each_way() -> None:
    found = shape_of(conf(PTP, LIMITS), PLACE, "veth1", Rate.of_limit(1500))
    assert found == (ShapeLink("veth1", shaper_name(UUID, 1), Rate(8000, 800), Rate.of_limit(1500)),)
    assert shape_of(conf({**PTP, "mtu": 1400}, LIMITS), PLACE, "veth1", NO_RATE) == (
        ShapeLink("veth1", shaper_name(UUID, 1), Rate(8000, 800), Rate(16000, 1600), 1400),
    )
    assert shape_of(conf(PTP), PLACE, "veth1", NO_RATE) == ()
    assert NO_RATE.with_limit(NO_RATE) == NO_RATE


def test_a_program_with_the_capability_gets_the_limit_and_applies_it() -> None:
    resolved = conf(PTP, PROGRAM)
    assert shape_of(resolved, PLACE, "veth1", Rate.of_limit(1000)) == ()
    (chosen,) = choose([resolved], parse_requests("n"))
    plan = network_plan([chosen], (), PROGRAMS, 1000)
    ((name, text),) = plan.runtime_of(plan.attachments[0])
    rate = Rate.of_limit(1000)
    assert name == "bandwidth"
    assert json.loads(text) == {
        "ingressRate": 8000,
        "ingressBurst": rate.burst,
        "egressRate": 8000,
        "egressBurst": rate.burst,
    }
    assert network_plan([chosen], (), PROGRAMS).runtime_of(plan.attachments[0]) == ()


def test_what_has_no_end_on_the_host_is_said() -> None:
    inner: dict[str, object] = {
        "type": "dummy",
        "ipam": {"type": "static", "addresses": [{"address": "10.0.0.2/24"}]},
    }
    with pytest.raises(InvalidSpec, match='the rates of network "n" cannot be limited'):
        network_plan(choose([conf(inner, LIMITS)], parse_requests("n")), ())
    plan = network_plan(choose([conf(inner)], parse_requests("n")), (), limit=8000)
    assert compare_with_host(plan, HostFacts()) == (
        'the isolator resource/network-bandwidth is not applied on network "n": its pods have no interface of the host',
    )
    assert shape_of(conf(inner), PLACE, "", Rate.of_limit(1000)) == ()


@pytest.mark.parametrize(
    ("members", "where"),
    [
        ({"ingressRate": 8000}, "ingressBurst"),
        ({"egressBurst": 8000}, "egressRate"),
        ({"ingressRate": -1, "ingressBurst": 8}, "ingressRate"),
        ({"ingressRate": "8000", "ingressBurst": 8}, "ingressRate"),
    ],
)
def test_rates_that_are_none_are_refused_at_their_member(members: dict[str, object], where: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        conf(PTP, {"type": "bandwidth", **members})
    assert str(caught.value.facts["where"]).endswith(f"plugins[1].{where}")


def test_names_of_interfaces_where_packets_wait_are_found_by_the_uuid() -> None:
    assert shaper_name(UUID, 1) == "ifb6733c088a51"
    assert len(shaper_name(UUID, 35)) <= 15


def test_a_limit_has_room_for_packets() -> None:
    assert Rate.of_limit(0) == NO_RATE
    assert (Rate.of_limit(1).a_second, Rate.of_limit(1).at_once) == (1, 16384)
    assert Rate.of_limit(10**9).at_once == 10**8
    assert Rate(1, 1).a_second == 1


def test_a_limit_is_in_bytes_and_of_earlier_releases_in_bits() -> None:
    """Appc says "limit": "The limit of read/write bytes"; until 0.11.0 it was taken as bits."""
    assert (Rate.of_limit(10**6).bits, Rate.of_limit(10**6).a_second) == (8 * 10**6, 10**6)
    assert Rate.of_limit(8 * 10**6, in_bits=True) == Rate.of_limit(10**6)
    assert Rate.of_limit(0, in_bits=True) == NO_RATE
