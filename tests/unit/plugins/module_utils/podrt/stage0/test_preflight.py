# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Taken host ports are detected before anything is touched; ports that will be free by then do not count."""

from __future__ import annotations

import pathlib
import socket
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest, RuntimeApp
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import ExposedPort, Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Conflict
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import canonical_json
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ports import is_bound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage0.preflight import (
    check_ports,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    IMAGE,
    Stage0Lab,
)


def publishing(*ports: tuple[str, str, int]) -> PodManifest:
    """A pod of these ports: protocol, address of the host ("" for all), number there."""
    names = [ACName(f"p{at}") for at in range(len(ports))]
    declared = tuple(
        Port(name, protocol, 80 + at) for at, (name, (protocol, _a, _n)) in enumerate(zip(names, ports))
    )
    exposed = tuple(
        ExposedPort(name, number, address or None) for name, (_protocol, address, number) in zip(names, ports)
    )
    app = RuntimeApp(ACName("web"), IMAGE, App(("/x",), "0", "0", ports=declared))
    return PodManifest((app,), ports=exposed)


def running(lab: Stage0Lab, manifest: PodManifest, *, runs: bool = True) -> str:
    uuid = lab.running("db") if runs else lab.make("db", "run")
    pathlib.Path(lab.paths.pod("run", uuid).manifest).write_bytes(canonical_json(manifest.to_json()))
    return uuid


@pytest.mark.parametrize(
    ("wanted", "taken", "clash"),
    [
        (("tcp", "", 80), ("tcp", "", 80), True),
        (("tcp", "", 80), ("udp", "", 80), False),
        (("tcp", "", 80), ("tcp", "", 81), False),
        (("tcp", "198.18.0.1", 80), ("tcp", "198.18.0.2", 80), False),
        (("tcp", "198.18.0.1", 80), ("tcp", "198.18.0.1", 80), True),
        (("tcp", "198.18.0.1", 80), ("tcp", "", 80), True),
        (("tcp", "", 80), ("tcp", "198.18.0.1", 80), True),
    ],
)
def test_a_port_of_another_pod_is_taken_as_long_as_that_runs(
    stage0: Stage0Lab, wanted: tuple[str, str, int], taken: tuple[str, str, int], clash: bool
) -> None:
    uuid = running(stage0, publishing(taken))
    if not clash:
        return check_ports(stage0.host, publishing(wanted))
    with pytest.raises(Conflict, match='in use by pod "db"') as caught:
        check_ports(stage0.host, publishing(wanted))
    assert (caught.value.facts["where"], caught.value.facts["port"]) == ("ports", 80)
    check_ports(stage0.host, publishing(wanted), replaced=uuid)
    stage0.stage1.finish(uuid)
    return check_ports(stage0.host, publishing(wanted))


def test_long_ranges_are_looked_up_and_the_lowest_port_is_named(stage0: Stage0Lab) -> None:
    def ranged(first: int) -> PodManifest:
        port = ExposedPort(ACName("many"), first, None, 1, "tcp", 20_000)
        return publishing().replace(ports=(port,))

    running(stage0, ranged(10_000))
    before = time.process_time()
    with pytest.raises(Conflict, match=r"host port tcp 0\.0\.0\.0:29998 is in use by pod"):
        check_ports(stage0.host, ranged(29_998))
    assert time.process_time() - before < 5  # comparing each with each took half a minute


def test_a_port_of_a_process_of_the_host_is_taken(stage0: Stage0Lab) -> None:
    stage0.kernel.answers[is_bound] = True
    with pytest.raises(Conflict, match="a process of the host"):
        check_ports(stage0.host, publishing(("tcp", "", 80)))


def test_what_holds_a_port_of_the_replaced_pod_is_that_pod(stage0: Stage0Lab) -> None:
    uuid = running(stage0, publishing(("tcp", "", 80)))
    stage0.kernel.answers[is_bound] = True
    check_ports(stage0.host, publishing(("tcp", "", 80)), replaced=uuid)
    with pytest.raises(Conflict, match=r"tcp 0\.0\.0\.0:81 is in use by a process"):
        check_ports(stage0.host, publishing(("tcp", "", 80), ("tcp", "", 81)), replaced=uuid)


def test_a_pod_that_cannot_be_read_is_asked_of_the_kernel(stage0: Stage0Lab) -> None:
    uuid = running(stage0, publishing())
    pathlib.Path(stage0.paths.pod("run", uuid).manifest).write_text("{")
    check_ports(stage0.host, publishing(("tcp", "", 80)))
    assert stage0.kernel.asked == [is_bound]


def test_without_ports_nothing_is_asked(stage0: Stage0Lab) -> None:
    check_ports(stage0.host, publishing())
    assert stage0.kernel.asked == []


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_the_kernel_knows_what_is_bound(protocol: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if protocol == "tcp":
            taken.listen()
        number = taken.getsockname()[1]
        assert is_bound(protocol, "127.0.0.1", number)
    assert not is_bound(protocol, "127.0.0.1", number)
