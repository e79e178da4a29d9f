# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fifty starts that are killed at any moment, of each type of network: nothing of them is left on the host."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import time
from random import Random

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import NetLab, in_own_network, ip, nft
from ansible_collections.stagecraft.pods.tests.integration.net.test_foreign import PLAIN
from ansible_collections.stagecraft.pods.tests.integration.net.test_programs import by_program, own_path

CYCLES = 50
IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}],
}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
TUNING = {"type": "tuning", "mac": "02:11:22:33:44:55", "sysctl": {"net.core.somaxconn": "99"}}
BRIDGE = {"type": "bridge", "bridge": "cni7", "isDefaultGateway": True, "ipMasq": True, "ipam": IPAM}
BANDWIDTH = {
    "type": "bandwidth",
    "ingressRate": 8000000,
    "ingressBurst": 800000,
    "egressRate": 8000000,
    "egressBurst": 800000,
}
PROGRAMS = ("bridge", "host-local", "tuning")
# A chain, and the types of it that are programs.
NETWORKS: dict[str, tuple[list[dict[str, object]], tuple[str, ...]]] = {
    "ptp": ([{"type": "ptp", "ipMasq": True, "ipam": IPAM}], ()),
    "bridge": ([BRIDGE], ()),
    "isolated": ([{**BRIDGE, "isolated": True}, BANDWIDTH], ()),
    "macvlan": ([{"type": "macvlan", "master": "up0", "ipam": IPAM}], ()),
    "tap": ([{"type": "tap", "ipam": IPAM}], ()),
    "chain": ([BRIDGE, TUNING, {"type": "sbr"}, PORTMAP], ()),
    "firewall": ([{"type": "ptp", "ipam": IPAM}, {"type": "firewall"}], ()),
    # Their default gateway is an error beside a default route.
    "programs": ([{**BRIDGE, "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}, TUNING], PROGRAMS),
}


@pytest.mark.timeout(300)
@pytest.mark.behaviour("E25")
@pytest.mark.parametrize("name", NETWORKS)
@in_own_network
def test_nothing_is_left_of_starts_that_are_killed(tmp_path: pathlib.Path, name: str) -> None:
    chain, programs = NETWORKS[name]
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    by_program(lab, *programs)
    lab.conf("10-n.conflist", json.dumps({"cniVersion": "0.4.0", "name": "n", "plugins": chain}))
    forwards = () if programs else (PortForward("tcp", None, 8080, 80),)
    if programs:
        # Theirs stays, as always; so it is there from the beginning.
        ip("link", "add", "cni7", "address", "02:00:00:00:00:07", "type", "bridge")
        lab.pod().attach("n").detach()
    nft("-f", "-", stdin=PLAIN)
    before = left_of(lab)
    random = Random(name)
    took = 0.05
    for _cycle in range(CYCLES):
        pod = lab.pod()
        begun = time.monotonic()
        child = os.fork()
        if not child:
            pod.attach("n,default", *forwards)
            os._exit(0)
        time.sleep(random.uniform(0, took * 1.2))
        os.kill(child, signal.SIGKILL)
        if os.waitpid(child, 0)[1] == 0:
            took = time.monotonic() - begun
        if random.random() < 0.5:
            pod.die()  # its processes have ended as well
        pod.detach()
        if pod.netns >= 0:
            pod.die()
        # Links of programs go with the namespace of the pod, a moment later.
        end = time.monotonic() + 5
        while left_of(lab) != before and time.monotonic() < end:
            time.sleep(0.01)
        for found, wanted in zip(left_of(lab), before):
            assert found == wanted


def left_of(lab: NetLab) -> tuple[str, ...]:
    """The state of the host, without what CNI's own plugins leave for the next pod."""
    links, addresses, routes, rules, *leases = lab.snapshot()
    kept = (lease for lease in leases if "last_reserved_ip" not in lease)
    own = "\n".join(line for line in rules.splitlines() if "stagecraft" in line)
    # Whether a bridge has a carrier follows its ports a little later.
    still = [
        re.sub(r"<[^>]*>|state \S+|inet6 fe80\S+ scope link.*\n.*\n", "", text) for text in (links, addresses)
    ]
    return (*still, re.sub(" linkdown", "", routes), own, *kept)
