# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A pod with the address of one that has ended is reached at once by those that have spoken to that one."""

from __future__ import annotations

import json
import pathlib
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.announce import announce
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    NetLab,
    Pod,
    in_own_network,
    inside,
    ip,
)

NET = {
    "name": "red",
    "type": "bridge",
    "bridge": "cni7",
    "isGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]],
    },
}


def answers(pod: Pod, address: str, wait: str = "5") -> bool:
    argv = ["busybox", "ping", "-c", "1", "-W", wait, address]
    with inside(pod.netns):
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def neighbour(pod: Pod, address: str) -> str:
    with inside(pod.netns):
        return ip("neigh", "show", address)


@pytest.mark.parametrize("at", [0, 1], ids=["IPv4", "IPv6"])
@in_own_network
def test_neighbours_send_to_the_new_pod_at_once(tmp_path: pathlib.Path, at: int) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-red.conf", json.dumps(NET))
    client, old = lab.pod().attach("red"), lab.pod().attach("red")
    address = str(old.infos[0].result.addresses[at].address)
    while not answers(client, address):  # an IPv6 address is usable a second later
        pass
    before = neighbour(client, address)
    old.detach()
    old.die()
    new = lab.pod().attach("red")
    assert str(new.infos[0].result.addresses[at].address) == address
    assert neighbour(client, address) == before or at
    announce(new.netns, new.infos)
    mac = next(each.mac for each in new.infos[0].result.interfaces if each.sandbox)
    assert mac in neighbour(client, address)
    assert answers(client, address)
