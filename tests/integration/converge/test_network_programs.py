# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods on networks of programs, and on chains: nothing to do the second time, and drift that a program tells."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.tests.integration.converge.conftest import Host

IPAM = {"type": "host-local", "subnet": "10.77.0.0/24"}
BRIDGE = {"type": "bridge", "bridge": "cni77", "isGateway": True, "ipam": IPAM}
TUNING = {"type": "tuning", "sysctl": {"net.core.somaxconn": "77"}}


def define(host: Host, *plugins: dict[str, Any], programs: tuple[str, ...] = ()) -> None:
    directory = pathlib.Path(host.machine.directories["config_dir"]) / "net.d"
    directory.mkdir(parents=True, exist_ok=True)
    # Else programs would keep leases where those of this machine are.
    leases = {"dataDir": str(directory.parent / "leases")}
    listed = [
        {**each, **({"ipam": {**each["ipam"], **leases}} if "ipam" in each else {})} for each in plugins
    ]
    conf = {"cniVersion": "0.4.0", "name": "red", "plugins": listed}
    (directory / "10-red.conflist").write_text(json.dumps(conf))
    for program in programs:
        (directory / program).symlink_to(f"/usr/lib/cni/{program}")


def inside(host: Host, pod: dict[str, Any], *words: str) -> str:
    done = host.machine.run("nsenter", "--net", "--target", str(pod["pid"]), *words)
    return str(done.stdout)


@pytest.mark.behaviour("E9")
def test_what_a_program_misses_of_its_network_is_drift(host: Host) -> None:
    define(host, BRIDGE, programs=("bridge",))
    made = host.pod(networks=["red"])["pod"]
    assert [(net["name"], net["ip"]) for net in made["networks"]] == [("red", "10.77.0.2")]
    netns = pathlib.Path(host.machine.directories["data_dir"], "pods/run", made["uuid"], "netns").read_text()
    assert netns == f"/proc/{made['pid']}/ns/net"
    again = host.pod(networks=["red"])
    assert (again["changed"], again["warnings"]) == (False, [])
    inside(host, made, "ip", "address", "delete", "10.77.0.2/24", "dev", "eth0")
    foretold = host.pod(check=True, networks=["red"])
    mended = host.pod(networks=["red"])
    for result in (foretold, mended):
        [change] = result["changes"]
        assert (change["path"], change["reason"], change["impact"]) == ("networks[0]", "drift", "restart")
        assert 'plugin "bridge" of network "red": ' in change["before"]
    assert "10.77.0." in inside(host, mended["pod"], "ip", "address", "show", "eth0")
    assert host.pod(networks=["red"])["changed"] is False


def test_a_changed_plugin_of_a_chain_is_a_changed_network(host: Host) -> None:
    define(host, BRIDGE, TUNING)
    made = host.pod(networks=["red"])["pod"]
    assert inside(host, made, "cat", "/proc/sys/net/core/somaxconn") == "77\n"
    assert host.pod(networks=["red"])["changed"] is False
    define(host, BRIDGE, {**TUNING, "sysctl": {"net.core.somaxconn": "78"}})
    changed = host.pod(networks=["red"])
    [change] = changed["changes"]
    assert (change["path"], change["impact"]) == ("networks[0]", "restart")
    assert "somaxconn" in change["after"] and "78" in change["after"]
    assert inside(host, changed["pod"], "cat", "/proc/sys/net/core/somaxconn") == "78\n"


def test_an_interface_that_an_app_has_removed_is_made_again(host: Host) -> None:
    define(host, {"type": "tap", "ipam": IPAM})
    made = host.pod(networks=["red"])["pod"]
    assert host.pod(networks=["red"])["changed"] is False
    inside(host, made, "ip", "link", "delete", "eth0")
    mended = host.pod(networks=["red"])
    assert [(change["path"], change["impact"]) for change in mended["changes"]] == [("networks[0]", "live")]
    assert mended["pod"]["uuid"] == made["uuid"]
    assert "10.77.0.2/24" in inside(host, made, "ip", "address", "show", "eth0")
    assert host.pod(networks=["red"])["changed"] is False
