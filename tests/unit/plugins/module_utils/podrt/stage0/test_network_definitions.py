# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which file a definition of a network is written to, what it is compared with, and what keeps it from being so."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    HostFailure,
    InvalidSpec,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address, Subnet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.facts import host_facts, host_routes
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import HostFacts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import (
    network_definitions,
    network_spec,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.network_spec import (
    read_network_spec,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.networklab import (
    SUBNET,
    asks,
    define,
    joined,
    net_d,
    told,
    undefine,
    write,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

HAND: dict[str, Any] = {
    "name": "br",
    "type": "ptp",
    "ipMasq": True,
    "ipam": {"type": "host-local", "subnet": SUBNET, "routes": [{"dst": "0.0.0.0/0"}]},
}


def test_it_is_written_once_and_changed_in_place(stage0: Stage0Lab) -> None:
    foretold, _defined = define(stage0, check=True)
    assert not net_d(stage0).exists()
    outcome, defined = define(stage0)
    assert told(outcome) == told(foretold)
    (file,) = net_d(stage0).iterdir()
    assert (file.name, file.stat().st_mode & 0o777, net_d(stage0).stat().st_mode & 0o777) == (
        "50-br.conf",
        0o644,
        0o755,
    )
    assert defined.conf and defined.conf.name == "br" and not defined.affected
    assert not define(stage0)[0].changed
    renamed = file.rename(file.with_name("20-mine.conf"))
    assert not define(stage0)[0].changed
    assert told(define(stage0, mtu=1400)[0]) == {"networks.br.mtu": (None, "1400")}
    assert [*net_d(stage0).iterdir()] == [renamed]
    assert told(define(stage0)[0]) == {"networks.br.mtu": ("1400", None)}


def test_a_change_leaves_no_lock_of_a_bridge_that_is_not_there(stage0: Stage0Lab) -> None:
    define(stage0)
    assert define(stage0, mtu=1400)[0].changed
    places = (stage0.paths.host_locks, stage0.paths.locks)
    assert [found.name for place in places for found in pathlib.Path(place).glob("net-bridge-*")] == []


def test_what_somebody_did_to_the_file_of_a_task_is_undone(stage0: Stage0Lab) -> None:
    define(stage0)
    path = net_d(stage0) / "50-br.conf"
    for damaged in ("{", json.dumps({**HAND, "mtu": "large"}), ""):
        path.write_text(damaged)
        outcome, _defined = define(stage0)
        before, after = told(outcome)["networks.br"]
        assert before and before.startswith("unusable: ") and after == "as described"
        assert outcome.differences[0].reason == "drift"
        assert not define(stage0)[0].changed
    path.chmod(0o666)
    assert define(stage0)[0].changed and path.stat().st_mode & 0o777 == 0o644


def test_a_file_of_the_administrator_is_not_touched(stage0: Stage0Lab) -> None:
    path = write(net_d(stage0), "10-hand.conf", HAND)
    text = path.read_text()
    assert not define(stage0, type="ptp")[0].changed
    assert not define(stage0, type="ptp", subnets=["auto"])[0].changed
    for attempt in (lambda: define(stage0, type="ptp", mtu=1400), lambda: undefine(stage0)):
        with pytest.raises(Conflict, match=r"10-hand\.conf, which no task has made"):
            attempt()
    path.write_text(json.dumps({**HAND, "mtu": "large"}))
    with pytest.raises(Conflict, match=r"10-hand\.conf \(.*mtu"):
        define(stage0, type="ptp")
    path.write_text(text)
    assert [*net_d(stage0).iterdir()] == [path]


def test_a_file_in_the_place_of_another_networks_is_not_touched(stage0: Stage0Lab) -> None:
    path = write(net_d(stage0), "50-br.conf", {**HAND, "name": "lan"})
    for attempt in (define, undefine):
        with pytest.raises(Conflict, match='defines network "lan"'):
            attempt(stage0)
    assert json.loads(path.read_text())["name"] == "lan"


def test_a_file_that_cannot_be_used_is_not_another_networks(stage0: Stage0Lab) -> None:
    write(net_d(stage0), "10-bad.conf", "{")
    write(net_d(stage0), "20-bad.conf", {"name": "other", "type": "ptp", "ipam": {"type": "host-local"}})
    assert define(stage0)[0].changed
    assert not define(stage0)[0].changed


@pytest.mark.parametrize("name", ["default", "of-the-system"])
def test_what_is_defined_elsewhere_is_replaced_and_comes_back(stage0: Stage0Lab, name: str) -> None:
    system = write(
        pathlib.Path(stage0.paths.system_config, "net.d"), "a.conf", {**HAND, "name": "of-the-system"}
    )
    assert define(stage0, name=name, subnets=["10.79.0.0/24"])[0].changed
    asks(stage0, stage0.make("web"), name)  # could join it all the same
    outcome, defined = undefine(stage0, name)
    origin = str(system) if name == "of-the-system" else "built in"
    assert told(outcome) == {f"networks.{name}": ("present", origin)}
    assert defined.conf and origin in defined.warnings[0]
    again, defined = undefine(stage0, name)
    assert not again.changed and defined.conf


@pytest.mark.parametrize("subnet", ["172.16.28.0/24", "auto"])
def test_what_is_built_in_need_not_be_written(stage0: Stage0Lab, subnet: str) -> None:
    outcome, defined = define(stage0, name="default", type="ptp", subnets=[subnet])
    assert not outcome.changed and defined.conf and defined.conf.name == "default"
    assert define(stage0, name="default", type="ptp", subnets=[subnet], mtu=1400)[0].changed
    assert told(define(stage0, name="default", type="ptp", subnets=[subnet])[0]) == {
        "networks.default.mtu": ("1400", None)
    }


def test_one_of_another_file_of_the_same_name_goes_too(stage0: Stage0Lab) -> None:
    define(stage0)
    first = net_d(stage0) / "50-br.conf"
    (net_d(stage0) / "60-br.conf").write_text(first.read_text())
    undefine(stage0)
    assert [*net_d(stage0).iterdir()] == []
    assert not undefine(stage0)[0].changed


@pytest.mark.parametrize(
    ("options", "unread"),
    [
        ({"conf": {"vlna": 5}}, ["conf.vlna"]),
        ({"conf": {"VLAN": 5, "promiscmode": False, "mtu": 0, "disableCheck": True}}, []),
        ({"conf": {"ipam": {"dataDri": "/x", "DataDir": "/y"}}}, ["conf.ipam.dataDri"]),
        ({"conf": {"vlanTrunk": [{"id": 7, "if": 8}]}}, ["conf.vlanTrunk[0].if"]),
        ({"conf": {"capabilities": {"ips": True}, "runtime": {"a": [1]}}}, ["conf.runtime"]),
        ({"plugins": [{"type": "tuning", "sysctl": {}, "mut": 5}]}, ["plugins[0].mut"]),
        ({"plugins": [{"type": "portmap", "masqAll": False}], "conf": {"x": None}}, ["conf.x"]),
        ({"type": "ptp", "conf": {"vlan": 5}}, ["conf.vlan"]),
        ({"type": "far", "conf": {"anything": 5}}, []),
        ({"subnets": [], "conf": {"ipam": {"type": "far", "pool": 5}, "mtv": 1}}, ["conf.mtv"]),
    ],
)
def test_a_member_that_nothing_reads_is_told(
    stage0: Stage0Lab, options: dict[str, Any], unread: list[str]
) -> None:
    program = pathlib.Path(stage0.paths.plugin_dirs[0], "far")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.touch(0o755)
    for _again in range(2):
        _outcome, defined = define(stage0, **options)
        said = [f'nothing reads {each} of network "br", so it has no effect' for each in unread]
        assert [each for each in defined.warnings if each.startswith("nothing reads")] == said


class TestRoom:
    """What a network may not take."""

    @pytest.fixture(autouse=True)
    def _others(self, stage0: Stage0Lab) -> None:
        write(net_d(stage0), "10-lan.conf", {**HAND, "name": "lan", "type": "bridge", "bridge": "lan0"})
        stage0.kernel.answers[host_facts] = HostFacts(
            (("eth0", ""), ("br-own", "bridge"), ("dm0", "dummy")),
            (("eth0", Address.parse("192.0.2.1"), 24), ("br-own", Address.parse("10.80.0.1"), 24)),
        )
        stage0.kernel.answers[host_routes] = (
            ("eth0", Subnet.parse("0.0.0.0/0")),
            ("eth0", Subnet.parse("10.90.0.0/16")),
            ("", Subnet.parse("fd00:90::/32")),
            ("eth0", Subnet.parse("fe80::/64")),
            ("eth0", Subnet.parse("ff00::/8")),
            ("br-own", Subnet.parse("10.80.0.0/24")),
        )

    @pytest.mark.parametrize(
        ("options", "where", "words"),
        [
            ({"subnets": ["10.78.0.128/25"]}, "subnets[0]", 'network "lan"'),
            ({"subnets": ["fd00:1::/64", "172.31.9.0/24"]}, "subnets[1]", 'network "default-restricted"'),
            ({"subnets": ["192.0.2.0/26"]}, "subnets[0]", "whose eth0 has 192.0.2.1/24"),
            ({"subnets": ["10.0.0.0/8"]}, "subnets[0]", "in use by"),
            ({"subnets": ["10.90.1.0/24"]}, "subnets[0]", "a route to 10.90.0.0/16 through eth0"),
            ({"subnets": ["fd00:90:1::/64"]}, "subnets[0]", "a route to fd00:90::/32"),
            ({"subnets": ["10.80.0.0/24"]}, "subnets[0]", "whose br-own has 10.80.0.1/24"),
            ({"subnets": ["10.80.0.0/24"], "bridge": "lan0"}, "subnets[0]", "br-own"),
            ({"subnets": ["10.81.0.0/24"], "bridge": "lan0"}, "bridge", 'that of network "lan"'),
            ({"subnets": ["10.81.0.0/24"], "bridge": "dm0"}, "bridge", "is not a bridge"),
        ],
    )
    def test_what_others_have_is_refused(
        self, stage0: Stage0Lab, options: dict[str, Any], where: str, words: str
    ) -> None:
        foretold, _defined = define(stage0, check=True, **options)
        assert any(words in said for said in foretold.foreseen)
        with pytest.raises(Conflict, match=words) as caught:
            define(stage0, **options)
        assert caught.value.facts["where"] == where
        assert not (net_d(stage0) / "50-br.conf").exists()

    def test_its_own_bridge_and_the_links_of_its_pods_are_no_obstacle(self, stage0: Stage0Lab) -> None:
        define(stage0, name="own", subnets=["10.80.0.0/24"])
        joined(stage0, "web", "own", "10.80.0.2")
        stage0.kernel.answers[host_routes] = (("veth0", Subnet.parse("10.80.0.2/32")),)
        assert define(stage0, name="own", subnets=["10.80.0.0/16"])[0].changed

    def test_a_network_below_a_device_may_have_its_subnet(self, stage0: Stage0Lab) -> None:
        options = {"type": "macvlan", "subnets": ["192.0.2.0/24"]}
        with pytest.raises(Conflict, match="eth0"):
            define(stage0, master="eth1", **options)
        assert define(stage0, master="eth0", **options)[0].changed

    def test_networks_in_vlans_of_their_own_share_a_bridge(self, stage0: Stage0Lab) -> None:
        seven: dict[str, Any] = {"name": "seven", "bridge": "shared0", "subnets": ["10.82.0.0/24"]}
        define(stage0, conf={"vlan": 7}, **seven)
        other: dict[str, Any] = {"name": "eight", "bridge": "shared0", "subnets": ["10.81.0.0/24"]}
        for more in ({}, {"vlan": 7}, {"vlanTrunk": [{"id": 8}]}):
            with pytest.raises(Conflict, match='that of network "seven"') as caught:
                define(stage0, conf=more, **other)
            assert "a VLAN of its own" in caught.value.hint
        assert define(stage0, conf={"vlan": 8}, **other)[0].changed
        assert not define(stage0, conf={"vlan": 7}, **seven)[0].changed

    @pytest.mark.parametrize("kind", ["macvlan", "ipvlan"])
    def test_networks_of_one_lan_share_its_subnet(self, stage0: Stage0Lab, kind: str) -> None:
        half = {"subnet": "192.0.2.0/24", "gateway": "192.0.2.254"}
        low = {**half, "range_start": "192.0.2.10", "range_end": "192.0.2.19"}
        high = {**half, "range_start": "192.0.2.20", "range_end": "192.0.2.29"}
        define(stage0, name="low", type=kind, master="eth0", subnets=[low])
        for options in (
            {"type": kind, "master": "eth0", "subnets": [half]},
            {"type": kind, "master": "eth0", "subnets": [{**high, "range_start": "192.0.2.19"}]},
            {"type": kind, "master": "eth1", "subnets": [high]},
            {"type": "vlan", "vlan_id": 7, "master": "eth0", "subnets": [high]},
        ):
            with pytest.raises(Conflict, match='in use by network "low"') as caught:
                define(stage0, name="high", **options)
            assert "auto" not in caught.value.hint and "same type and master" in caught.value.hint
        assert define(stage0, name="high", type=kind, master="eth0", subnets=[high])[0].changed

    @pytest.mark.parametrize(
        ("options", "where"),
        [
            ({"type": "macvlan"}, "master"),
            ({"type": "ipvlan", "master": "eth0", "mode": "vepa"}, "mode"),
            ({"type": "vlan", "master": "eth0", "vlan_id": 9999}, "vlan_id"),
        ],
    )
    def test_what_a_type_needs_is_told_with_its_option(
        self, stage0: Stage0Lab, options: dict[str, object], where: str
    ) -> None:
        with pytest.raises(InvalidSpec) as caught:
            define(stage0, subnets=["198.18.7.0/24"], **options)
        assert caught.value.where == where

    def test_a_network_that_replaces_another_may_have_its_subnet(self, stage0: Stage0Lab) -> None:
        define(stage0, name="default", type="ptp", subnets=["172.16.28.0/23"])

    def test_a_free_subnet_is_chosen_and_stays(self, stage0: Stage0Lab) -> None:
        stage0.kernel.answers[host_routes] = (("eth0", Subnet.parse("10.192.0.0/23")),)
        wanted = {"subnets": ["auto6", "auto", "auto"]}
        foretold, _defined = define(stage0, check=True, **wanted)
        pathlib.Path(stage0.paths.data).mkdir(exist_ok=True)
        outcome, defined = define(stage0, **wanted)
        assert defined.conf
        chosen = [str(span.subnet) for (span,) in defined.conf.main.ipam.range_sets]
        assert chosen[1:] == ["10.192.2.0/24", "10.192.3.0/24"] and chosen[0].startswith("fd")
        assert told(outcome).keys() == told(foretold).keys()
        stage0.kernel.answers[host_routes] = (("br-br", Subnet.parse("10.192.0.0/16")),)
        assert not define(stage0, **wanted)[0].changed
        one_less = told(define(stage0, subnets=["auto", "auto6"])[0])
        assert ("10.192.2.0/24" in text for text in one_less.values())
        again = define(stage0, subnets=["auto", "auto6", "10.192.2.0/24"])[1].conf
        assert again and str(again.main.ipam.range_sets[0][0].subnet) != "10.192.2.0/24"

    def test_where_all_is_taken_that_is_said(self, stage0: Stage0Lab) -> None:
        stage0.kernel.answers[host_routes] = (("eth0", Subnet.parse("10.0.0.0/8")),)
        with pytest.raises(Conflict, match='no subnet is free for network "br"'):
            define(stage0, subnets=["auto"])

    def test_a_host_that_cannot_be_asked_is_no_host_with_room(self, stage0: Stage0Lab) -> None:
        stage0.kernel.answers[host_routes] = HostFailure("no netlink")
        with pytest.raises(HostFailure, match="no netlink"):
            define(stage0)


def test_a_type_that_is_not_known_is_refused_unless_a_plugin_has_it(stage0: Stage0Lab) -> None:
    with pytest.raises(InvalidSpec, match='unknown type "teleport"') as caught:
        define(stage0, type="teleport", subnets=None)
    assert caught.value.where == "type" and "built in are ptp, bridge, macvlan" in caught.value.hint
    with pytest.raises(InvalidSpec):
        define(stage0, type="portmap")
    program(stage0, "teleport")
    assert define(stage0, type="teleport")[0].changed


def program(lab: Stage0Lab, kind: str) -> None:
    """Put a program of network plugins where they are looked for."""
    plugin = write(pathlib.Path(lab.paths.plugin_dirs[1]), kind, "#!/bin/sh\n")
    os.chmod(plugin, 0o755)


def test_a_chain_of_plugins_is_a_list_and_takes_the_place_of_what_was_not(stage0: Stage0Lab) -> None:
    define(stage0)
    outcome, defined = define(stage0, plugins=[{"type": "portmap"}])
    assert told(outcome)["networks.br.plugins[1].type"] == (None, "portmap")
    assert defined.conf and [plugin.type for plugin in defined.conf.plugins] == ["bridge", "portmap"]
    assert [file.name for file in net_d(stage0).iterdir()] == ["50-br.conflist"]
    assert not define(stage0, plugins=[{"type": "portmap"}])[0].changed
    (net_d(stage0) / "60-br.conf").write_text((net_d(stage0) / "50-br.conflist").read_text())
    (net_d(stage0) / "60-br.conf").write_text(json.dumps({**HAND, network_spec.MADE_BY: "pod_network"}))
    assert told(define(stage0, plugins=[{"type": "portmap"}])[0]) == {
        "networks.br": (str(net_d(stage0) / "60-br.conf"), None)
    }
    define(stage0)
    assert [file.name for file in net_d(stage0).iterdir()] == ["50-br.conf"]


def test_a_chain_of_the_administrator_is_compared_by_what_it_means(stage0: Stage0Lab) -> None:
    main = {name: value for name, value in HAND.items() if name != "name"}
    chain = {"cniVersion": "0.4.0", "name": "br", "plugins": [main, {"type": "portmap"}]}
    path = write(net_d(stage0), "10-hand.conflist", chain)
    assert not define(stage0, type="ptp", plugins=[{"type": "portmap"}])[0].changed
    with pytest.raises(Conflict, match="no task has made"):
        define(stage0, type="ptp")
    path.write_text(json.dumps({**chain, "plugins": [main]}))
    assert not define(stage0, type="ptp")[0].changed


@pytest.mark.parametrize(
    ("plugins", "family"),
    [([{"type": "teleport"}], NotFound), ([{"type": "ptp"}], InvalidSpec)],
    ids=["missing", "a second interface"],
)
def test_a_chain_that_no_pod_could_join_is_refused(
    stage0: Stage0Lab, plugins: list[dict[str, str]], family: type[PodError]
) -> None:
    with pytest.raises(family) as caught:
        define(stage0, plugins=plugins)
    assert caught.value.facts["where"] == "plugins" and not net_d(stage0).exists()
    program(stage0, "teleport")
    if family is NotFound:
        assert define(stage0, plugins=plugins)[0].changed


def test_another_process_that_was_faster_is_told(stage0: Stage0Lab) -> None:
    spec = read_network_spec(Fields({"name": "br", "subnets": [SUBNET]}, ""))
    (change,) = network_definitions.ensure_network(stage0.host, spec)
    define(stage0, mtu=1400)
    with pytest.raises(Conflict, match="has been changed meanwhile"):
        change.apply(stage0.host)


class TestPods:
    """Pods that use a network when its definition changes or goes."""

    @pytest.fixture(autouse=True)
    def _network(self, stage0: Stage0Lab) -> None:
        define(stage0)

    def test_those_that_run_on_another_definition_are_named(self, stage0: Stage0Lab) -> None:
        uuid = joined(stage0, "web")
        joined(stage0, "gone")
        stage0.stage1.finish(stage0.meant("gone") or "")
        asks(stage0, stage0.make("later"), "br")
        assert define(stage0)[1].affected == ()
        outcome, defined = define(stage0, mtu=1400)
        assert [found.impact for found in outcome.differences] == ["restart"]
        again, still = define(stage0, mtu=1400)
        assert not again.changed
        for each in (defined, still):
            assert [(user.name, user.uuid) for user in each.affected] == [("web", uuid)]
        back, defined = define(stage0)
        assert ([found.impact for found in back.differences], defined.affected) == (["none"], ())
        assert stage0.state(uuid) == "running"

    def test_they_are_named_when_what_is_built_in_counts_again(self, stage0: Stage0Lab) -> None:
        define(stage0, name="default", type="ptp", subnets=["172.16.28.0/23"])
        uuid = joined(stage0, "web", "default", "172.16.28.2")
        for check in (True, False):
            outcome, defined = undefine(stage0, "default", check=check)
            assert [(found.path, found.impact) for found in outcome.differences] == [
                ("networks.default", "restart")
            ]
            assert [user.uuid for user in defined.affected] == [uuid]
        define(stage0, name="spare", subnets=["10.79.0.0/24"])
        assert [found.impact for found in undefine(stage0, "spare")[0].differences] == ["none"]

    def test_they_are_moved_on_request(self, stage0: Stage0Lab) -> None:
        uuid = joined(stage0, "web")
        foretold, _defined = define(stage0, check=True, restart=True, mtu=1400)
        assert stage0.meant("web") == uuid
        outcome, defined = define(stage0, restart=True, mtu=1400)
        assert told(outcome) == told(foretold)
        assert told(outcome)["pods.web.networks.br"] == (None, "mtu=1400")
        assert [user.uuid for user in defined.affected] == [uuid]
        assert stage0.meant("web") not in (None, uuid)
        assert stage0.state(stage0.meant("web") or "") == "running"

    @pytest.mark.parametrize(
        ("before", "after", "holder"),
        [(0, 7, "br-br"), (7, 8, "br-br.7"), (7, 0, "br-br.7"), (7, 7, "")],
        ids=["into a VLAN", "into another one", "out of it", "stays"],
    )
    def test_a_gateway_is_taken_from_what_had_it(
        self, stage0: Stage0Lab, before: int, after: int, holder: str
    ) -> None:
        define(stage0, conf={"vlan": before})
        joined(stage0, "web")
        options = {"name": "br", "subnets": [SUBNET], "conf": {"vlan": after}, "mtu": 1400}
        plan = network_definitions.ensure_network(
            stage0.host, read_network_spec(Fields(options, "")), restart=True
        )
        drops = [change for change in plan if isinstance(change, network_definitions.DropGateways)]
        assert [(drop.bridge, drop.holder, str(drop.old[0][0])) for drop in drops] == (
            [("br-br", holder, "10.78.0.1")] if holder else []
        )

    def test_one_without_a_name_is_left_alone_with_a_warning(self, stage0: Stage0Lab) -> None:
        uuid = joined(stage0, "")
        outcome, defined = define(stage0, restart=True, mtu=1400)
        assert list(told(outcome)) == ["networks.br.mtu"]
        assert defined.warnings == (f"pod {uuid} is not restarted: it has no name",)

    @pytest.mark.parametrize("kind", ["running", "prepared", "unread"])
    def test_one_that_needs_it_keeps_it(self, stage0: Stage0Lab, kind: str) -> None:
        if kind == "prepared":
            asks(stage0, stage0.make("web"), "br")
        else:
            uuid = joined(stage0, "web")
        if kind == "unread":
            with lifecycle.open_pod(stage0.paths, uuid) as pod:
                pathlib.Path(pod.dir.runspec).write_text("{")
        refused = "may be in use" if kind == "unread" else "in use by pod web"
        # An earlier task of the play may be to remove the pod.
        (foreseen,) = undefine(stage0, check=True)[0].foreseen
        assert refused in foreseen
        with pytest.raises(PodError, match=refused):
            undefine(stage0, check=False)

    def test_one_that_has_ended_does_not(self, stage0: Stage0Lab) -> None:
        stage0.stage1.finish(joined(stage0, "web"))
        joined(stage0, "other")
        stage0.stage1.finish(stage0.meant("other") or "")
        assert undefine(stage0)[0].changed
