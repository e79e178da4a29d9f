# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A pod on a network of type flannel has an address of the host's subnet, and gives it back without flannel."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import NotFound
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    OUTSIDE_IP,
    NetLab,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    source_seen,
)

ENV = """FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_IPV6_NETWORK=fd00:244::/48
FLANNEL_IPV6_SUBNET=fd00:244:0:1::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
"""


def define(lab: NetLab, path: pathlib.Path, **members: object) -> None:
    plugin = {"name": "f", "cniVersion": "0.4.0", "type": "flannel", "subnetFile": str(path), **members}
    lab.conf("10-f.conf", json.dumps(plugin))


@pytest.mark.kernel
@pytest.mark.behaviour("E19")
@pytest.mark.parametrize("kind", ["bridge", "ptp"])
@in_own_network
def test_a_pod_joins_the_delegate_and_leaves_it_without_the_file(tmp_path: pathlib.Path, kind: str) -> None:
    lab = NetLab(tmp_path, outside=True)
    path = tmp_path / "subnet.env"
    path.write_text(ENV)
    routes = [{"dst": "0.0.0.0/0"}]
    define(lab, path, **({} if kind == "bridge" else {"delegate": {"type": kind, "routes": routes}}))
    before = lab.snapshot()
    pod = lab.pod().attach("f")
    info = pod.infos[0]
    assert (info.plugins, info.ip, info.ip6) == ((kind,), "10.244.1.2", ("fd00:244:0:1::2/64",))
    with inside(pod.netns):
        assert "mtu 1450" in ip("link", "show", "eth0")
        assert "10.244.0.0/16 via 10.244.1.1" in ip("route")
        assert "fd00:244::/48 via fd00:244:0:1::1" in ip("-6", "route")
        ip("route", "add", "default", "via", "10.244.1.1")
    with listen(here(), 8000) as on_host:
        assert source_seen(pod.netns, on_host, "10.244.1.1", 8000) == pod.address
    with listen(lab.outside, 8000) as outside:  # masqueraded, since flannel does not
        assert source_seen(pod.netns, outside, OUTSIDE_IP, 8000) == "192.0.2.1"
    record = json.loads(pathlib.Path(f"{pod.conf_dir}/10-f.conf").read_text())
    assert (record["type"], json.loads(pathlib.Path(pod.info_path).read_text())[0]["pluginPath"]) == (
        kind,
        kind,
    )
    path.unlink()
    pod.detach()
    assert lab.snapshot() == before
    with pytest.raises(NotFound, match="which flannel has not written"):
        lab.pod().attach("f")
    assert lab.snapshot() == before


@pytest.mark.behaviour("E19")
@in_own_network
def test_the_delegate_may_be_a_program(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    path = tmp_path / "subnet.env"
    path.write_text(ENV)
    asked = tmp_path / "asked"
    program = lab.config / "net.d" / "teleport"
    answer = json.dumps({"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.244.1.9/24"}]})
    program.write_text(f"#!/bin/sh\n{{ echo $CNI_COMMAND; cat; echo; }} >>{asked}\necho '{answer}'\n")
    program.chmod(0o755)
    define(lab, path, delegate={"type": "teleport", "mtu": 1400})
    pod = lab.pod().attach("f")
    path.unlink()
    pod.detach()
    lines = asked.read_text().splitlines()
    assert lines[::2] == ["ADD", "DEL"]
    for line in lines[1::2]:
        given = json.loads(line)
        assert (given["type"], given["name"], given["mtu"], given["ipMasq"]) == ("teleport", "f", 1400, True)
        assert given["ipam"]["ranges"][0] == [{"subnet": "10.244.1.0/24"}]
    assert pod.infos[0].plugins == (str(program),)
    assert not os.path.exists(f"{lab.paths.leases}/f")
