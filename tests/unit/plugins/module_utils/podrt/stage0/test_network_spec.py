# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Definitions of networks: which are refused and where, and the configurations that they make."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, PodError
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address, Subnet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import NetConf
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import network_spec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.network_spec import NetworkSpec

SUBNET = "10.78.0.0/24"


def spec(**options: Any) -> NetworkSpec:
    return network_spec.read_network_spec(Fields({"name": "br", "subnets": [SUBNET], **options}, ""))


def conf(**options: Any) -> dict[str, Any]:
    """The configuration that options make, without what all have."""
    wanted = spec(**options)
    raw = network_spec.conf_of(wanted, tuple(each.subnet for each in wanted.subnets if each.subnet))
    NetConf.parse(raw, "it")
    members: dict[str, Any] = json.loads(raw)
    assert (members.pop("name"), members.pop(network_spec.MADE_BY)) == ("br", "pod_network")
    members.pop("cniVersion")
    return members


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"name": "a/b"}, "name"),
        ({"name": "host"}, "name"),
        ({"name": "all"}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"subnets": []}, "subnets"),
        ({"subnets": ["10.78.0.1/24"]}, "subnets[0]"),
        ({"subnets": [SUBNET, "10.78.0/24"]}, "subnets[1]"),
        ({"subnets": ["fd00:78::1/64"]}, "subnets[0]"),
        ({"subnets": ["10.78.0.0/31"]}, "subnets[0]"),
        ({"subnets": ["0.0.0.0/0"]}, "subnets[0]"),
        ({"subnets": ["127.0.0.0/24"]}, "subnets[0]"),
        ({"subnets": ["ff02::/64"]}, "subnets[0]"),
        ({"subnets": [SUBNET, "10.78.0.0/25"]}, "subnets"),
        ({"subnets": [{"short": "later"}]}, "subnets[0]"),
        ({"subnets": [{"subnet": "10.78.0.1/24"}]}, "subnets[0].subnet"),
        ({"subnets": [{"subnet": "auto", "gateway": "10.78.0.1"}]}, "subnets[0].gateway"),
        ({"subnets": [{"subnet": SUBNET, "gateway": "10.79.0.1"}]}, "subnets[0].gateway"),
        ({"subnets": [{"subnet": SUBNET, "gateway": "10.78.0.0"}]}, "subnets[0].gateway"),
        ({"subnets": [{"subnet": SUBNET, "gateway": "fd00::1"}]}, "subnets[0].gateway"),
        ({"subnets": [{"subnet": SUBNET, "range_end": "10.78.0.255"}]}, "subnets[0].range_end"),
        (
            {"subnets": [{"subnet": SUBNET, "range_start": "10.78.0.9", "range_end": "10.78.0.8"}]},
            "subnets[0].range_start",
        ),
        ({"routes": [{"dst": "10.9.0.1/16"}]}, "routes[0].dst"),
        ({"routes": [{"dst": "fd09::/16"}]}, "routes[0].dst"),
        ({"routes": [{"dst": "10.9.0.0/16", "gw": "10.9.0.1"}]}, "routes[0].gw"),
        ({"dns": {"nameservers": ["dns.example.com"]}}, "dns.nameservers[0]"),
        ({"mtu": 67}, "mtu"),
        ({"mtu": 65536}, "mtu"),
        ({"mtu": 1279, "subnets": ["fd00:78::/64"]}, "mtu"),
        ({"bridge": "a/b"}, "bridge"),
        ({"bridge": "sixteen-letters0"}, "bridge"),
        ({"type": "ptp", "bridge": "br0"}, "bridge"),
        ({"type": "ptp", "hairpin": True}, "hairpin"),
        ({"type": "other", "mtu": 1400}, "mtu"),
        ({"type": "ptp", "gateway": False, "device": "eth0"}, "device"),
        ({"type": "ptp", "gateway": True}, "gateway"),
        ({"gateway": False, "ip_masq": True}, "ip_masq"),
        ({"gateway": False, "open_firewalls": True}, "open_firewalls"),
        ({"gateway": False, "default_route": True}, "subnets[0]"),
        ({"gateway": False, "conf": {"isGateway": True}}, "conf.isGateway"),
        ({"gateway": False, "conf": {"isdefaultgateway": True}}, "conf.isdefaultgateway"),
        ({"type": "host-device", "device": "eth0", "subnets": ["auto"]}, "subnets[0]"),
        ({"type": "host-device", "subnets": None}, "device"),
        ({"type": "host-device", "device": "a/b"}, "device"),
        ({"type": "host-device", "device": "eth0", "master": "eth0"}, "master"),
        ({"type": "tap", "owner": -5}, "owner"),
        ({"type": "tap", "subnets": None, "default_route": True}, "default_route"),
        ({"type": "tap", "subnets": None, "routes": [{"dst": "10.9.0.0/16"}]}, "routes"),
        (
            {"type": "other", "conf": {"ipam": {}}, "subnets": None, "routes": [{"dst": "10.9.0.0/16"}]},
            "routes",
        ),
        ({"type": "dummy", "default_route": True}, "default_route"),
        ({"type": "dummy", "ip_masq": True}, "ip_masq"),
        ({"type": "loopback"}, "subnets"),
        ({"type": "loopback", "subnets": None, "mtu": 1400}, "mtu"),
        ({"type": "flannel"}, "subnets"),
        ({"type": "flannel", "subnets": None, "mtu": 1400}, "mtu"),
        ({"type": "macvlan", "internal": True}, "internal"),
        ({"type": "macvlan", "subnets": ["auto"]}, "subnets[0]"),
        ({"type": "macvlan", "subnets": None}, "subnets"),
        ({"type": "ipvlan", "vlan_id": 5}, "vlan_id"),
        ({"type": "vlan", "master": "eth0"}, "vlan_id"),
        ({"type": "vlan", "master": "eth0", "vlan_id": -1}, "vlan_id"),
        ({"internal": True, "ip_masq": True}, "ip_masq"),
        ({"internal": True, "default_route": True}, "default_route"),
        ({"internal": True, "routes": [{"dst": "10.9.0.0/16"}]}, "routes"),
        ({"internal": True, "open_firewalls": True}, "open_firewalls"),
        (
            {"subnets": [{"subnet": SUBNET, "range_start": "10.78.0.1", "range_end": "10.78.0.1"}]},
            "subnets[0].range_end",
        ),
        (
            {
                "subnets": [
                    {
                        "subnet": "fd00::/64",
                        "range_end": "fd00::5",
                        "range_start": "fd00::5",
                        "gateway": "fd00::5",
                    }
                ]
            },
            "subnets[0].range_end",
        ),
        ({"type": "macvlan", "master": "up0", "open_firewalls": True}, "open_firewalls"),
        ({"open_firewalls": True, "plugins": [{"type": "firewall"}]}, "open_firewalls"),
        ({"conf": {"Name": "other"}}, "conf.Name"),
        ({"conf": {"ipmasq": False}}, "conf.ipmasq"),
        ({"conf": {"ipam": {"ranges": []}}}, "conf.ipam.ranges"),
        ({"conf": {"acceptRA": "yes"}}, "conf.acceptRA"),
        ({"conf": {"ipam": {"dataDir": 5}}}, "conf.ipam.dataDir"),
        ({"type": "macvlan", "conf": {"Master": 5}}, "conf.master"),
        (
            {"subnets": [SUBNET, "fd00:78::/64"], "routes": [{"dst": "10.9.0.0/16", "gw": "fd00:78::1"}]},
            "routes[0].gw",
        ),
        ({"plugins": [{}]}, "plugins[0].type"),
        ({"plugins": ["portmap"]}, "plugins[0]"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_option(options: dict[str, Any], where: str) -> None:
    with pytest.raises(PodError) as caught:
        wanted = spec(**options)
        raw = network_spec.conf_of(wanted, tuple(each.subnet for each in wanted.subnets if each.subnet))
        network_spec.check_conf(raw, "50-br.conf", wanted)
    assert caught.value.facts["where"] == where


def test_an_isolated_bridge_says_so() -> None:
    subnets = (Subnet.parse("10.78.0.0/24"),)
    for isolated in (True, False):
        wanted = spec(subnets=["10.78.0.0/24"], isolated=isolated)
        raw = network_spec.conf_of(wanted, subnets)
        assert network_spec.check_conf(raw, "50-br.conf", wanted).main.isolates is isolated


def test_a_range_of_one_address_is_for_one_pod_where_the_gateway_is_another() -> None:
    alone = {"subnet": SUBNET, "range_start": "10.78.0.9", "range_end": "10.78.0.9"}
    assert spec(subnets=[alone]).subnets[0].start == Address.parse("10.78.0.9")


def test_pods_are_let_through_firewalls_by_the_last_plugin_of_the_chain() -> None:
    wanted = spec(subnets=[SUBNET], open_firewalls=True, plugins=[{"type": "sbr"}])
    raw = network_spec.conf_of(wanted, (Subnet.parse(SUBNET),))
    read = network_spec.check_conf(raw, "50-br.conflist", wanted)
    assert [each.type for each in read.plugins] == ["bridge", "sbr", "firewall"]
    assert read.plugins[-1].firewall_zone == "trusted"


def test_a_bridge_leads_out_with_the_address_of_the_host() -> None:
    assert conf(subnets=[SUBNET, "fd00:78::/64"]) == {
        "type": "bridge",
        "bridge": "br-br",
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": SUBNET}], [{"subnet": "fd00:78::/64"}]]},
    }


def test_a_ptp_has_its_default_routes_in_the_families_that_it_has() -> None:
    found = conf(type="ptp", subnets=["fd00:78::/64"], mtu=1400)
    assert found == {
        "type": "ptp",
        "ipMasq": True,
        "mtu": 1400,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "fd00:78::/64"}]],
            "routes": [{"dst": "::/0"}],
        },
    }


@pytest.mark.parametrize("kind", ["bridge", "ptp"])
def test_an_internal_network_has_no_way_out(kind: str) -> None:
    found = conf(type=kind, internal=True)
    assert found["ipMasq"] is False
    assert "isDefaultGateway" not in found and "routes" not in found["ipam"]


def test_a_part_of_the_addresses_and_more_routes() -> None:
    part = {"subnet": SUBNET, "range_start": "10.78.0.10", "range_end": "10.78.0.20", "gateway": "10.78.0.9"}
    found = conf(subnets=[part], routes=[{"dst": "10.9.0.0/16", "gw": "10.78.0.5"}], default_route=False)
    assert found["ipam"] == {
        "type": "host-local",
        "ranges": [
            [
                {
                    "subnet": SUBNET,
                    "rangeStart": "10.78.0.10",
                    "rangeEnd": "10.78.0.20",
                    "gateway": "10.78.0.9",
                }
            ]
        ],
        "routes": [{"dst": "10.9.0.0/16", "gw": "10.78.0.5"}],
    }


def test_raw_members_add_to_those_of_options_at_any_depth() -> None:
    more = {"promiscMode": True, "ipam": {"dataDir": "/leases"}, "DNS": {"domain": "example.com"}}
    found = conf(dns={"nameservers": ["10.78.0.53"]}, conf=more)
    assert found["promiscMode"] is True
    assert found["ipam"]["dataDir"] == "/leases" and found["ipam"]["ranges"]
    assert found["dns"] == {"nameservers": ["10.78.0.53"], "domain": "example.com"}


def test_plugins_follow_in_a_chain() -> None:
    more = [{"type": "portmap"}, {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}]
    wanted = spec(plugins=more)
    document = json.loads(network_spec.conf_of(wanted, (Subnet.parse(SUBNET),)))
    # What a task describes is all of it, whatever is in a directory of its name.
    assert (document["cniVersion"], document["loadOnlyInlinedPlugins"]) == ("1.0.0", True)
    assert (document["plugins"][0]["type"], document["plugins"][1:]) == ("bridge", more)
    assert "type" not in document


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bridge": "a/b"}, 'bridge: "a/b" is not a name for a bridge'),
        ({"conf": {"acceptRA": "yes"}}, "conf.acceptRA: expected true or false, found 'yes'"),
        (
            {"plugins": [{"type": "portmap", "ipMasq": 5}]},
            "plugins[0].ipMasq: expected true or false, found 5",
        ),
        (
            {"plugins": [{"type": "sbr"}, {"type": "tuning", "mtu": "1400"}]},
            "plugins[1].mtu: expected a whole number, found '1400'",
        ),
        (
            {"plugins": [{"type": "tuning", "sysctl": {"net.core.somaxconn": 5}}]},
            "plugins[0].sysctl.net.core.somaxconn: expected a string, found 5",
        ),
        ({"plugins": [{"type": "sbr", "dns": []}]}, "plugins[0].dns: expected an object, found a list"),
    ],
)
def test_what_a_chain_cannot_say_is_refused_at_its_member(options: dict[str, Any], message: str) -> None:
    wanted = spec(**options)
    raw = network_spec.conf_of(wanted, (Subnet.parse(SUBNET),), chain=True)
    with pytest.raises(InvalidSpec) as caught:
        network_spec.check_conf(raw, "50-br.conflist", wanted)
    assert caught.value.message == message and caught.value.where == message.partition(":")[0]


def test_links_below_a_device_of_the_host_have_its_way_out() -> None:
    found = conf(
        type="macvlan", master="eth0", mode="bridge", subnets=[{"subnet": SUBNET, "gateway": "10.78.0.9"}]
    )
    assert found == {
        "type": "macvlan",
        "master": "eth0",
        "mode": "bridge",
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": SUBNET, "gateway": "10.78.0.9"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    for number in (0, 7):
        assert conf(type="vlan", master="eth0", vlan_id=number)["vlanId"] == number


def test_ports_of_a_bridge_have_no_way_out_by_the_host() -> None:
    plain = {
        "type": "bridge",
        "bridge": "br-br",
        "ipMasq": False,
        "isGateway": False,
        "isDefaultGateway": False,
    }
    assert conf(gateway=False) == {
        **plain,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": SUBNET}]]},
    }
    lan = [{"subnet": SUBNET, "gateway": "10.78.0.9"}]
    assert conf(gateway=False, default_route=True, subnets=lan) == {
        **plain,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": SUBNET, "gateway": "10.78.0.9"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }


@pytest.mark.parametrize(
    ("options", "members"),
    [
        ({"type": "host-device", "device": "eth1", "mtu": 1400}, {"device": "eth1", "mtu": 1400}),
        ({"type": "host-device", "conf": {"pciBusID": "0000:00:1f.6"}}, {"pciBusID": "0000:00:1f.6"}),
        ({"type": "tap"}, {}),
        ({"type": "tap", "owner": 0, "group": 7, "mtu": 1400}, {"owner": 0, "group": 7, "mtu": 1400}),
        ({"type": "tap", "multi_queue": True}, {"multiQueue": True}),
        ({"type": "loopback"}, {}),
    ],
)
def test_types_without_subnets_have_addresses_and_routes_only_where_they_are_asked_for(
    options: dict[str, Any], members: dict[str, Any]
) -> None:
    assert conf(**options, subnets=None) == {"type": options["type"], **members}
    if options["type"] != "loopback":
        ipam = {"type": "host-local", "ranges": [[{"subnet": SUBNET}]]}
        assert conf(**options) == {"type": options["type"], **members, "ipam": ipam}
        routes = {"routes": [{"dst": "0.0.0.0/0"}]}
        assert conf(**options, default_route=True)["ipam"] == {**ipam, **routes}


def test_a_dummy_has_addresses_and_no_routes() -> None:
    ipam = {"type": "host-local", "ranges": [[{"subnet": SUBNET}]]}
    assert conf(type="dummy", mtu=1400) == {"type": "dummy", "mtu": 1400, "ipam": ipam}
    assert [each.subnet for each in spec(type="dummy", subnets=None).subnets] == [None]


def test_a_network_of_flannel_says_where_its_subnet_is() -> None:
    more = {"delegate": {"isDefaultGateway": True}}
    assert conf(type="flannel", subnets=None, subnet_file="/run/f.env", conf=more) == {
        "type": "flannel",
        "subnetFile": "/run/f.env",
        **more,
    }


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"type": "other", "mtu": 1400}, "networks of type other do not take mtu", "program takes into conf"),
        (
            {"type": "loopback", "subnets": None, "mtu": 1400},
            "networks of type loopback do not take mtu",
            "dummy",
        ),
    ],
)
def test_an_option_of_other_types_is_refused_with_what_is_true(
    options: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(InvalidSpec, match=message) as caught:
        spec(**options)
    assert hint in caught.value.hint


def test_addresses_may_come_from_something_else() -> None:
    found = conf(type="other", subnets=None, conf={"master": "eth0", "ipam": {"type": "dhcp"}})
    assert found == {"type": "other", "master": "eth0", "ipam": {"type": "dhcp"}}


@pytest.mark.parametrize(
    ("name", "link"),
    [("br", "br-br"), ("twelve-chars", "br-twelve-chars"), ("thirteen-char", "br-3adc6cba4867")],
)
def test_the_name_of_a_bridge_has_room(name: str, link: str) -> None:
    found = spec(name=name).link
    assert found == link and len(found) <= 15


def test_without_subnets_one_of_ipv4_is_chosen() -> None:
    (only,) = spec(subnets=None).subnets
    assert (only.bits, only.subnet) == (32, None)
    assert [each.bits for each in spec(subnets=["auto6", "auto"]).subnets] == [128, 32]


def test_what_a_task_has_made_says_so() -> None:
    wanted = spec()
    subnets = (Subnet.parse(SUBNET),)
    assert network_spec.made_by_task(network_spec.conf_of(wanted, subnets))
    for raw in (network_spec.conf_of(wanted, subnets, marked=False), b"{", b"[]"):
        assert not network_spec.made_by_task(raw)


def test_an_object_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidSpec, match="conf"):
        spec(conf=["promiscMode"])
