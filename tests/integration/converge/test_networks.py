# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of a pod that converges: errors are found before a start, and changes after it."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host

OUT = [{"dst": "0.0.0.0/0"}]
NET: dict[str, Any] = {
    "name": "red",
    "type": "ptp",
    "ipam": {"type": "host-local", "subnet": "10.77.0.0/24", "routes": OUT},
}
FILES = {
    "20-bad.conf": {**NET, "name": "bad", "type": "bridge", "bridge": "a/b"},
    "30-far.conf": {**NET, "name": "far", "type": "teleport"},
    "40-lo.conf": {**NET, "name": "onlo", "type": "bridge", "bridge": "lo"},
    "50-six.conf": {**NET, "name": "six", "ipam": {"type": "host-local", "subnet": "fd00:77::/64"}},
}
HTTP = {"name": "http", "host_port": 8093}


def define(host: Host, file_name: str, conf: dict[str, Any], **dump: Any) -> None:
    directory = pathlib.Path(host.machine.directories["config_dir"]) / "net.d"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / file_name).write_text(json.dumps(conf, **dump))


@pytest.fixture
def nets(host: Host) -> Host:
    define(host, "10-red.conf", NET)
    for name, conf in FILES.items():
        define(host, name, conf)
    return host


@pytest.mark.finding("review-B7", "use-N7", "use-N13")
def test_what_keeps_a_pod_from_its_networks_is_known_before_the_old_one_is_touched(nets: Host) -> None:
    old = nets.pod(networks=["red"])["pod"]
    for options, kind, where in (
        ({"networks": ["bad"]}, "invalid-spec", "bridge"),
        ({"networks": ["red:IP=10.9.9.9"]}, "invalid-spec", "networks[0]"),
        ({"networks": ["default", "red:IP=10.77.0.1"]}, "invalid-spec", "networks[1]"),
        ({"networks": ["red:color=blue"]}, "invalid-spec", "networks[0]"),
        ({"networks": ["six"], "ports": [{**HTTP, "host_ip": "127.0.0.1"}]}, "invalid-spec", "ports"),
        ({"networks": ["red"], "ports": [{**HTTP, "host_ip": "::1"}]}, "invalid-spec", "ports"),
        ({"networks": ["far"]}, "not-found", "networks[0]"),
        ({"networks": ["red", "unknown"]}, "not-found", "networks[1]"),
        ({"networks": ["onlo"]}, "conflict", ""),
    ):
        foretold, done = nets.pod(check=True, **options), nets.pod(**options)
        assert done["failed"] and done["error"] == kind, done
        assert where in str(done["facts"].get("where", "")), done
        assert not done.get("changes"), done
        if kind == "invalid-spec":
            assert (foretold["failed"], foretold["msg"]) == (True, done["msg"])
        else:  # another task may fix it first
            assert any(done["msg"].partition(" (")[0] in said for said in foretold["warnings"]), foretold
        again = nets.pod(networks=["red"])
        assert (again["changed"], again["pod"]["pid"]) == (False, old["pid"])


@pytest.mark.finding("use-N7")
def test_an_address_that_another_pod_has_is_known_before_the_old_one_is_touched(nets: Host) -> None:
    subnet = {"type": "host-local", "subnet": "10.79.0.0/30"}
    define(nets, "60-small.conf", {**NET, "name": "small", "ipam": subnet})
    asked = {"networks": ["small:IP=10.79.0.2"]}
    other = nets.pod(name="other", **asked)["pod"]
    old = nets.pod(networks=["red"])["pod"]
    for options, word in (
        (asked, 'requested IP address "10.79.0.2" is not available in network: small: pod "other" has it'),
        ({"networks": ["small"]}, "no IP addresses available in network: small"),
    ):
        before = {**nets.machine.snapshot(), "processes": ""}  # which change at any time
        foretold = nets.pod(check=True, **options)
        assert {**nets.machine.snapshot(), "processes": ""} == before
        done = nets.pod(**options)
        assert any(word in said for said in foretold["warnings"]), foretold
        assert (done["error"], done["facts"]["where"], done["changes"]) == ("conflict", "networks[0]", [])
        assert word in done["msg"]
        again = nets.pod(networks=["red"])
        assert (again["changed"], again["pod"]["pid"]) == (False, old["pid"])
    # The addresses of the replaced pod are free by then, and so are those of a dead one.
    renewed = {**asked, "hostname": "new", "name": "other"}
    assert nets.pod(check=True, **renewed)["warnings"] == []
    assert nets.pod(**renewed)["pod"]["networks"][0]["ip"] == "10.79.0.2"
    nets.task("pod_run", name="other", state="stopped")
    assert nets.pod(check=True, **asked)["warnings"] == []
    assert nets.pod(**asked)["pod"]["uuid"] not in (old["uuid"], other["uuid"])


@pytest.mark.finding("review-B7")
def test_what_is_odd_about_networks_is_told_when_a_pod_is_made(nets: Host) -> None:
    options = {"networks": ["red"], "ports": [{**HTTP, "host_ip": "192.0.2.77"}]}
    nets.task("pod_image", name=nets.image, insecure_options=["image"])
    for check in (True, False):
        (said,) = nets.pod(check=check, **options)["warnings"]
        assert said.startswith("192.0.2.77 is not an address of this host")
    six = {"networks": ["six"], "ports": [{**HTTP, "host_ip": "::1"}]}
    for check in (True, False):
        (said,) = nets.pod(check=check, **six)["warnings"]
        assert said.startswith("ports published on ::1 are out of reach")


@pytest.mark.behaviour("E22")
def test_ports_that_lead_where_no_client_gets_an_answer_are_told(nets: Host) -> None:
    define(nets, "60-lan.conf", {**NET, "name": "lan", "type": "macvlan", "master": "up0"})
    nets.task("pod_network", name="inside", type="ptp", subnets=["10.80.0.0/24"], internal=True)
    nets.task("pod_image", name=nets.image, insecure_options=["image"])
    (said,) = nets.pod(check=True, networks=["lan"], ports=[HTTP])["warnings"]
    assert '"lan" of type macvlan and are out of reach' in said
    for check in (True, False):
        (said,) = nets.pod(check=check, networks=["inside"], ports=[HTTP])["warnings"]
        assert '"inside"' in said and "these get no answer;" in said
    assert nets.pod(networks=["red"], ports=[HTTP])["warnings"] == []


@pytest.mark.finding("use-N6")
def test_a_network_that_is_defined_otherwise_is_a_difference(nets: Host) -> None:
    old = nets.pod(networks=["red"])["pod"]
    define(nets, "10-red.conf", dict(reversed(NET.items())), indent=3)
    assert nets.pod(networks=["red"])["changed"] is False
    define(nets, "10-red.conf", {**NET, "ipMasq": True, "mtu": 1400})
    foretold = nets.pod(check=True, networks=["red"])
    done = nets.pod(networks=["red"])
    (change,) = done["changes"]
    assert foretold["changes"] == done["changes"]
    assert change == {
        "path": "networks[0]",
        "before": None,
        "after": "ipMasq=True, mtu=1400",
        "reason": "playbook",
        "impact": "restart",
    }
    assert done["pod"]["uuid"] != old["uuid"]
    assert nets.pod(networks=["red"])["changed"] is False
    define(nets, "10-red.conf", {**NET, "ipam": {**NET["ipam"], "subnet": "10.78.0.0/24"}})
    (change,) = nets.pod(networks=["red"])["changes"]
    assert "subnet=10.77.0.0/24" in change["before"] and "ipam.subnet=10.78.0.0/24" in change["after"]


@pytest.mark.finding("use-N6")
def test_a_network_of_others_that_changes_is_none(nets: Host) -> None:
    nets.pod(networks=["red"])
    define(nets, "20-bad.conf", {**NET, "name": "bad"})
    assert nets.pod(networks=["red"])["changed"] is False


@pytest.mark.behaviour("E24")
@pytest.mark.parametrize("network", ["red", "both"])
@pytest.mark.parametrize("holder", ["a pod", "a process", "a process over IPv6 alone"])
def test_check_mode_finds_a_port_that_is_taken(nets: Host, holder: str, network: str) -> None:
    """Another task may free it first, so that it is a warning there; nothing is touched in either case."""
    ranges = [[{"subnet": "10.79.0.0/24"}], [{"subnet": "fd00:79::/64"}]]
    define(nets, "60-both.conf", {**NET, "name": "both", "ipam": {"type": "host-local", "ranges": ranges}})
    wanted = {"networks": [network], "ports": [HTTP]}
    with contextlib.ExitStack() as held:
        if holder == "a pod":
            nets.pod(name="other", **wanted)
        else:
            held.enter_context(listening(nets, 8093, "::" if "IPv6" in holder else "0.0.0.0"))
        old = nets.pod(networks=[network])["pod"]
        foretold, done = nets.pod(check=True, **wanted), nets.pod(**wanted)
        if "IPv6" in holder and network == "red":
            assert not foretold.get("failed") and not done.get("failed"), (foretold, done)
            assert not any("is in use by" in said for said in foretold["warnings"])
            return
        asked = "[::]" if "IPv6" in holder else "0.0.0.0"
        by = 'pod "other"' if holder == "a pod" else "a process of the host"
        said = f"host port tcp {asked}:8093 is in use by {by}"
        assert (done["error"], said in done["msg"]) == ("conflict", True), done
        assert any(said in warning for warning in foretold["warnings"]), foretold
        assert not foretold.get("failed")
        again = nets.pod(networks=[network])
        assert (again["changed"], again["pod"]["pid"]) == (False, old["pid"])


@contextlib.contextmanager
def listening(host: Host, port: int, address: str) -> Iterator[None]:
    """A process of the host that listens to a port, over one family alone."""
    program = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
with socket.socket(family) as server:
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((sys.argv[2], int(sys.argv[1])))
    server.listen()
    print("ready", flush=True)
    sys.stdin.read()
"""
    argv = host.machine.inside(sys.executable, "-I", "-S", "-c", program, str(port), address)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()
