# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Host ports that the host chooses."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest, RuntimeApp
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import (
    AUTO_PORTS,
    ExposedPort,
    Port,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields, canonical_json
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.firewall import published_ports
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ports import is_bound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import forwards_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.auto_ports import (
    settled,
    with_kept,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    IMAGE,
    Stage0Lab,
)

HTTP = ACName("http")


def publishing(*ports: ExposedPort) -> PodManifest:
    app = App(("/x",), "0", "0", ports=(Port(HTTP, "tcp", 80), Port(ACName("many"), "udp", 9000, 10)))
    return PodManifest((RuntimeApp(ACName("web"), IMAGE, app),), ports=ports)


def auto(name: str = "http", **members: object) -> ExposedPort:
    return ExposedPort(ACName(name), 0, auto=True).replace(**members)


def chosen(lab: Stage0Lab, manifest: PodManifest, name: str = "web") -> list[int]:
    with settled(lab.host, manifest, name) as complete:
        return [exposed.host_port for exposed in complete.ports]


def test_a_pod_gets_the_same_port_wherever_it_is_free(stage0: Stage0Lab) -> None:
    (first,) = chosen(stage0, publishing(auto()))
    assert first in AUTO_PORTS
    assert chosen(stage0, publishing(auto())) == [first]
    assert chosen(stage0, publishing(auto()), "other") != [first]
    assert chosen(stage0, publishing(ExposedPort(HTTP, 8080), auto())) == [8080, first]
    one, other = chosen(stage0, publishing(auto(), auto()))
    assert (one, other) == (first, first + 1)


def test_what_pods_tables_and_sockets_have_is_not_chosen(stage0: Stage0Lab) -> None:
    (first,) = chosen(stage0, publishing(auto()))
    for state in ("prepared", "run"):
        uuid = stage0.make(f"db-{state}", state)
        place = pathlib.Path(stage0.paths.pod(state, uuid).manifest)
        place.write_bytes(canonical_json(publishing(auto(host_port=first)).to_json()))
        assert chosen(stage0, publishing(auto())) == [first + 1]
        place.write_text("{")
    assert chosen(stage0, publishing(auto())) == [first]
    stage0.kernel.answers[published_ports] = (("tcp", first), ("udp", first + 1))
    assert chosen(stage0, publishing(auto())) == [first + 1]
    stage0.kernel.answers[is_bound] = True
    with pytest.raises(Conflict, match="no port is free on this host between 20000 and 29999"):
        chosen(stage0, publishing(auto()))


def test_a_range_is_in_a_row(stage0: Stage0Lab) -> None:
    (first,) = chosen(stage0, publishing(auto("many")))
    taken = tuple(("udp", first + offset) for offset in (9, 21))
    stage0.kernel.answers[published_ports] = taken
    assert chosen(stage0, publishing(auto("many"))) == [first + 10]
    stage0.kernel.answers[published_ports] = tuple(("udp", number) for number in AUTO_PORTS[::10])
    with pytest.raises(Conflict, match="no 10 ports in a row are free"):
        chosen(stage0, publishing(auto("many")))


def test_the_ports_of_the_pod_that_has_the_name_are_kept() -> None:
    found = publishing(auto(host_port=20007), auto("many", host_port=20100, host_ip="127.0.0.1"))
    wanted = publishing(auto("many", host_ip="127.0.0.1"), auto(), auto(host_ip="::1"), ExposedPort(HTTP, 9))
    assert [each.host_port for each in with_kept(wanted, found).ports] == [20100, 20007, 0, 9]
    numbered = ExposedPort(ACName("x"), 0, None, 80, "tcp", auto=True)
    assert with_kept(publishing(numbered), found).ports[0].host_port == 20007
    named = publishing(ExposedPort(HTTP, 8080))
    assert with_kept(publishing(auto()), named).ports[0].is_open


def test_an_open_port_is_no_forward_but_may_be_supposed() -> None:
    manifest = publishing(auto())
    assert forwards_of(manifest) == ()
    (supposed,) = forwards_of(manifest, supposed=True)
    assert supposed.host_port in AUTO_PORTS


@pytest.mark.parametrize(
    ("written", "port", "chosen"),
    [("auto", 0, True), (8080, 8080, False), ("8080", 8080, False)],
)
def test_a_host_port_is_a_number_or_auto(written: object, port: int, chosen: bool) -> None:
    found = ExposedPort.of(Fields({"name": "http", "hostPort": written}, ""))
    assert (found.host_port, found.auto) == (port, chosen)
    assert ExposedPort.of(Fields(found.to_json(), "")) == found
    settled = auto(host_port=20007)
    assert ExposedPort.of(Fields(settled.to_json(), "")) == settled


@pytest.mark.parametrize("written", ["", "any", "0", 0, "99999", "-1", True, None, 80.5, "\u0668"])
def test_anything_else_is_refused(written: object) -> None:
    with pytest.raises(InvalidSpec):
        ExposedPort.of(Fields({"name": "http", "hostPort": written}, ""))
