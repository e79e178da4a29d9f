# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What is told of networks: who is on them, what is left of them, and what is wrong with them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import HostFailure
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.facts import host_facts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import HostFacts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.tasks import networks
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.networklab import (
    SUBNET,
    define,
    joined,
    net_d,
    write,
)
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.stage0.stage0lab import (
    Stage0Lab,
)

THERE = HostFacts((("br-br", "bridge"),), (("br-br", Address.parse("10.78.0.1"), 24),))


@pytest.fixture(name="lab")
def _lab(tmp_path: pathlib.Path) -> Iterator[Stage0Lab]:
    made = Stage0Lab(tmp_path)
    define(made)
    made.kernel.answers[host_facts] = THERE
    yield made
    made.stage1.close()


def info(lab: Stage0Lab, *names: str) -> list[dict[str, Any]]:
    found: Any = networks.pod_network_info(lab.host, Fields({"name": list(names)}, ""))["networks"]
    return list(found)


def lease(lab: Stage0Lab, *files: str) -> None:
    place = pathlib.Path(lab.paths.leases, "br")
    place.mkdir(parents=True)
    for name in files:
        (place / name).write_text("someone\r\neth0")


def test_a_task_tells_what_it_has_defined(lab: Stage0Lab) -> None:
    given: dict[str, Any] = {"name": "lan", "subnets": ["10.79.0.0/24"]}
    foretold = networks.pod_network(lab.host, Fields(given, ""), check=True)
    assert (foretold["changed"], foretold["network"], foretold["affected_pods"]) == (True, None, [])
    done: Any = networks.pod_network(lab.host, Fields(given, ""), check=False)
    assert done["network"] == info(lab, "lan")[0]
    assert done["network"]["conf"]["bridge"] == "br-lan"
    gone = networks.pod_network(lab.host, Fields({"name": "lan", "state": "absent"}, ""), check=False)
    assert (gone["changed"], gone["network"], gone["warnings"]) == (True, None, [])


def test_pods_and_leases_are_counted(lab: Stage0Lab) -> None:
    uuid = joined(lab, "web")
    lease(lab, "10.78.0.2", "10.78.0.77", "lock", "last_reserved_ip.0", "fd00::1", "1.2.3.4.5")
    (found,) = info(lab, "br")
    assert (found["subnets"], found["gateways"], found["leases"], found["free"]) == (
        [SUBNET],
        ["10.78.0.1"],
        3,
        251,
    )
    assert found["used_by"] == [
        {"name": "web", "uuid": uuid, "running": True, "addresses": ["10.78.0.2"], "data_dir": None}
    ]
    assert (found["made_by_task"], found["built_in"], found["problem"]) == (True, False, "")


def test_built_in_ones_are_told_too(lab: Stage0Lab) -> None:
    assert [(found["name"], found["built_in"], found["file"]) for found in info(lab)] == [
        ("br", False, str(net_d(lab) / "50-br.conf")),
        ("default", True, None),
        ("default-restricted", True, None),
    ]


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        (THERE, ""),
        (HostFacts(), "the bridge br-br is missing"),
        (HostFacts((("br-br", "dummy"),)), '"br-br" is not a bridge'),
        (HostFacts((("br-br", "bridge"),)), "the bridge br-br lacks 10.78.0.1/24"),
        (HostFailure("no netlink"), "no netlink"),
    ],
)
def test_what_the_host_has_lost_is_a_problem_where_a_pod_needs_it(
    lab: Stage0Lab, facts: HostFacts | Exception, problem: str
) -> None:
    lab.kernel.answers[host_facts] = facts
    if isinstance(facts, HostFacts) and "not a bridge" not in problem:
        assert info(lab, "br")[0]["problem"] == ""
    joined(lab, "web")
    assert info(lab, "br")[0]["problem"] == problem


def test_a_pod_on_another_definition_is_a_problem(lab: Stage0Lab) -> None:
    joined(lab, "web")
    define(lab, mtu=1400)
    assert info(lab, "br")[0]["problem"] == "pod web has joined another definition of it"


def test_a_file_that_cannot_be_used_says_why_and_is_not_another_networks(lab: Stage0Lab) -> None:
    place = net_d(lab)
    write(place, "10-text.conf", "{")
    write(place, "20-nameless.conf", {"type": "ptp"})
    write(place, "30-flawed.conf", {"name": "flawed", "type": "ptp", "mtu": "large"})
    write(place, "60-again.conf", {"name": "br", "type": "ptp"})
    write(place, "70-open.conf", {"name": "open", "type": "ptp", "ipam": {"type": "static"}}).chmod(0o666)
    (place / "80-latin.conf").write_bytes(b'{"name": "\xe9"}')
    (place / "90-directory.conf").mkdir()
    os.symlink("/nowhere", place / "95-link.conf")
    problems = {os.path.basename(found["file"] or ""): found["problem"] for found in info(lab)}
    for name, words in (
        ("10-text.conf", "not valid JSON"),
        ("20-nameless.conf", "name: missing"),
        ("30-flawed.conf", "mtu: expected a whole number"),
        ("50-br.conf", ""),
        ("60-again.conf", "50-br.conf defines the network"),
        ("70-open.conf", "others can change it"),
        ("80-latin.conf", "80-latin.conf"),
        ("90-directory.conf", "directory"),
        ("95-link.conf", "no such file"),
    ):
        assert words in problems[name] and bool(words) == bool(problems[name]), name
    place.chmod(0o777)
    assert "others can change it" in info(lab)[-1]["problem"]


def test_a_damaged_pod_does_not_keep_a_network_from_being_told(lab: Stage0Lab) -> None:
    for name, file in (("a", "runspec"), ("b", "net_info"), ("c", "copy")):
        with lifecycle.open_pod(lab.paths, joined(lab, name)) as pod:
            path = pathlib.Path(pod.dir.net_confs, "50-br.conf") if file == "copy" else getattr(pod.dir, file)
            pathlib.Path(path).write_text("{")
    (found,) = info(lab, "br")
    assert [(user["name"], user["addresses"]) for user in found["used_by"]] == [
        ("b", []),
        ("c", ["10.78.0.2"]),
    ]


def test_a_network_that_no_pod_can_join_says_why(lab: Stage0Lab) -> None:
    ipam = {"type": "host-local", "subnet": "10.79.0.0/24"}
    for name, members in (
        ("far", {"type": "teleport", "ipam": ipam}),
        ("lease", {"type": "bridge", "bridge": "br7", "ipam": {"type": "whereabouts"}}),
        ("late", {"type": "flannel"}),
        ("lone", {"type": "tuning"}),
    ):
        write(net_d(lab), f"60-{name}.conf", {"name": name, **members})
    far, late, lease, lone = (info(lab, name)[0]["problem"] for name in ("far", "late", "lease", "lone"))
    assert far.startswith('Could not find plugin "teleport" for network "far"; looked in ')
    assert lease.startswith('Could not find plugin "whereabouts"')
    assert "which flannel has not written" in late
    assert lone.endswith("needs one before it that makes an interface")
    assert [each["problem"] for each in info(lab, "br", "default", "default-restricted")] == [""] * 3
