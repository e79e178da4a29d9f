# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What would keep a pod from its networks is found before anything running is touched."""

from __future__ import annotations

import json
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
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.facts import host_facts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import HostFacts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import holders
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod.runspec import NetworkRequest, RunSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0 import networks
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
    manifest,
)

LAN = {"name": "lan", "type": "bridge", "bridge": "lan0", "isGateway": True}
IPAM = {"type": "host-local", "subnet": "198.18.0.0/30", "gateway": "198.18.0.1"}


def define(lab: Stage0Lab, **members: Any) -> None:
    place = pathlib.Path(lab.paths.local_config, "net.d", "lan.conf")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({**LAN, "ipam": IPAM, **members}))


def check(lab: Stage0Lab, request: str = "lan", *, replaced: str = "") -> None:
    asked = tuple(NetworkRequest(name, args) for name, args in parse_requests(request))
    networks.check_networks(lab.host, manifest(), RunSpec("web", asked), replaced)


def lease(lab: Stage0Lab, address: str, uuid: str) -> None:
    place = pathlib.Path(lab.paths.leases, "lan", address)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"{uuid}\r\neth0")


def test_networks_that_a_pod_can_join_are_no_matter(stage0: Stage0Lab) -> None:
    define(stage0)
    check(stage0)
    assert (
        networks.warnings_of_networks(stage0.host, manifest(), RunSpec("web", (NetworkRequest("lan"),))) == ()
    )


@pytest.mark.parametrize("name", ["host", "none"])
def test_a_pod_without_networks_asks_nothing(stage0: Stage0Lab, name: str) -> None:
    stage0.kernel.answers[host_facts] = HostFailure("no netlink")
    check(stage0, name)
    assert stage0.kernel.asked == []


@pytest.mark.parametrize(
    ("members", "family", "where"),
    [
        ({"name": "wan"}, NotFound, "networks[0]"),
        ({"type": "teleport"}, NotFound, "networks[0]"),
        ({"bridge": "a/b"}, InvalidSpec, None),
        ({"ipam": {"type": "astrology"}}, PodError, None),
    ],
)
def test_what_cannot_be_joined_is_refused(
    stage0: Stage0Lab, members: dict[str, Any], family: type[PodError], where: str | None
) -> None:
    define(stage0, **members)
    with pytest.raises(family) as caught:
        check(stage0)
    assert where in (None, caught.value.facts.get("where"))


def test_a_bridge_that_is_none_is_a_conflict_with_the_host(stage0: Stage0Lab) -> None:
    define(stage0)
    stage0.kernel.answers[host_facts] = HostFacts(links=(("lan0", "dummy"),))
    with pytest.raises(Conflict, match="lan0"):
        check(stage0)


def test_a_bridge_of_another_address_is_a_conflict_with_the_host(stage0: Stage0Lab) -> None:
    define(stage0)
    other = ("lan0", Address.parse("198.18.0.9"), 24)
    stage0.kernel.answers[host_facts] = HostFacts((("lan0", "bridge"),), (other,))
    with pytest.raises(Conflict):
        check(stage0)


def test_an_address_of_the_host_in_a_network_is_a_caution(stage0: Stage0Lab) -> None:
    define(stage0)
    other = ("eth0", Address.parse("198.18.0.2"), 24)
    stage0.kernel.answers[host_facts] = HostFacts((("eth0", ""),), (other,))
    spec = RunSpec("web", (NetworkRequest("lan"),))
    [caution] = networks.warnings_of_networks(stage0.host, manifest(), spec)
    assert "eth0" in caution
    check(stage0)


def test_what_cannot_be_asked_is_told_where_it_matters(stage0: Stage0Lab) -> None:
    define(stage0)
    stage0.kernel.answers[host_facts] = HostFailure("no netlink")
    assert (
        networks.warnings_of_networks(stage0.host, manifest(), RunSpec("web", (NetworkRequest("lan"),))) == ()
    )
    with pytest.raises(HostFailure, match="no netlink"):
        check(stage0)


class TestLeases:
    """The one address that this network has for pods."""

    @pytest.fixture(autouse=True)
    def _network(self, stage0: Stage0Lab) -> None:
        define(stage0)

    @pytest.mark.parametrize("request_", ["lan", "lan:IP=198.18.0.2"])
    def test_one_of_a_pod_that_runs_is_taken(self, stage0: Stage0Lab, request_: str) -> None:
        uuid = stage0.running("db")
        lease(stage0, "198.18.0.2", uuid)
        with pytest.raises(Conflict) as caught:
            check(stage0, request_)
        assert caught.value.facts["where"] == "networks[0]"
        check(stage0, request_, replaced=uuid)
        stage0.stage1.finish(uuid)
        check(stage0, request_)

    def test_one_of_another_data_directory_is_taken_as_long_as_its_pod_runs(self, stage0: Stage0Lab) -> None:
        other = Stage0Lab(stage0.base / "other")
        other.paths = other.paths.replace(run=stage0.paths.run, leases=stage0.paths.leases)
        uuid = other.running("db")
        holders.record(other.paths, uuid)
        lease(stage0, "198.18.0.2", uuid)
        with pytest.raises(Conflict):
            check(stage0)
        other.stage1.finish(uuid)
        check(stage0)

    def test_one_of_another_engine_is_taken(self, stage0: Stage0Lab) -> None:
        lease(stage0, "198.18.0.2", "0123456789ab")
        with pytest.raises(Conflict):
            check(stage0)
