# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fifty starts that are killed at any moment, of each type of network: nothing of them is left on the host."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from random import Random

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import rarelinks
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    Left,
    NetLab,
    Pod,
    family_of,
    in_own_network,
    ip,
    nft,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_dhcp import dnsmasq
from ansible_collections.stagecraft.pods.tests.integration.net.test_flannel import ENV, define
from ansible_collections.stagecraft.pods.tests.integration.net.test_foreign import PLAIN
from ansible_collections.stagecraft.pods.tests.integration.net.test_programs import by_program, own_path
from ansible_collections.stagecraft.pods.tests.integration.net.test_types import is_made

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
# Every start is another client, which takes an address for an hour.
MORE = "--dhcp-range=192.0.2.130,192.0.2.250,255.255.255.0,1h"
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
    "dummy": ([{"type": "dummy", "ipam": IPAM}], ()),
    "host-device": ([{"type": "host-device", "device": "dev0", "ipam": IPAM}], ()),
    "flannel": ([{"type": "flannel"}], ()),
    "dhcp": ([{"type": "macvlan", "master": "up0", "ipam": {"type": "dhcp"}}], ()),
    # Their default gateway is an error beside a default route.
    "programs": ([{**BRIDGE, "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}, TUNING], PROGRAMS),
}


@pytest.mark.timeout(300)
@pytest.mark.behaviour("E25")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.kernel] * (name == "dummy")) for name in NETWORKS]
)
@in_own_network
def test_nothing_is_left_of_starts_that_are_killed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # Hardware comes back from a namespace that has ended; a link like that of this test never does.
    monkeypatch.setattr(rarelinks, "_BACK_SECONDS", 0.05)
    chain, programs = NETWORKS[name]
    lab = NetLab(tmp_path, outside=True)
    own_path(lab)
    by_program(lab, *programs)
    lab.conf("10-n.conflist", json.dumps({"cniVersion": "0.4.0", "name": "n", "plugins": chain}))
    if name == "flannel":
        (tmp_path / "subnet.env").write_text(ENV)
        (lab.config / "net.d/10-n.conflist").unlink()
        define(lab, tmp_path / "subnet.env", name="n")
    if name == "dummy" and not is_made(lab, "n", name):
        return
    with dnsmasq(lab, tmp_path, MORE) if name == "dhcp" else contextlib.nullcontext():
        killed_starts(lab, name)


def killed_starts(lab: NetLab, name: str) -> None:
    programs = NETWORKS[name][1]
    forwards = () if programs else (PortForward("udp", None, 8080, 80),)
    if programs:
        # Theirs stays, as always; so it is there from the beginning.
        ip("link", "add", "cni7", "address", "02:00:00:00:00:07", "type", "bridge")
        lab.pod().attach("n").detach()
    nft("-f", "-", stdin=PLAIN)
    prepare = have_device if name == "host-device" else bool
    prepare()
    before = left_of(lab)
    random = Random(name)
    took = 0.05
    for _cycle in range(CYCLES):
        pod = lab.pod()
        took = killed_start(pod, forwards, random.uniform(0, took * 1.2)) or took
        if random.random() < 0.5:
            pod.die()  # its processes have ended as well
        pod.detach()
        if pod.netns >= 0:
            pod.die()
        # Links of programs go with the namespace of the pod, a moment later.
        end = time.monotonic() + 5
        while (left := left_of(lab, prepare)) != before and time.monotonic() < end:
            time.sleep(0.01)
        for found, wanted in zip(left, before):
            assert found == wanted


def killed_start(pod: Pod, forwards: Sequence[PortForward], moment: float) -> float:
    """Kill the start of a pod at a moment, in seconds; returns how long it has taken if it had ended, else 0."""
    begun = time.monotonic()
    child = os.fork()
    if not child:
        pod.attach("n,default", *forwards)
        speak(pod)
        os._exit(0)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    return 0.0 if os.waitpid(child, 0)[1] else time.monotonic() - begun


def have_device() -> None:
    """A link of the host that is no hardware, and so ends with the namespace that it is in."""
    if "dev1" not in ip("-o", "link"):
        peer = ("peer", "name", "dev1", "index", "71", "address", "02:00:00:00:00:71")
        ip("link", "add", "dev0", "index", "70", "address", "02:00:00:00:00:70", "type", "veth", *peer)


def speak(pod: Pod) -> None:
    """Have the host track packets to a pod, and from the host's port to it."""
    for address in (*(str(each.address) for info in pod.infos for each in info.result.addresses), HOST_IP):
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
            asking.sendto(b"x", (address, 8080))


def left_of(lab: NetLab, prepare: Callable[[], object] = bool) -> tuple[str, ...]:
    """The state of the host, without what CNI's own plugins leave for the next pod. prepare: for that, before."""
    prepare()
    state = lab.snapshot()
    size = len(Left._fields)
    left, leases = Left(*state[:size]), state[size:]
    kept = (lease for lease in leases if "last_reserved_ip" not in lease)
    own = "\n".join(line for line in left.rules.splitlines() if "stagecraft" in line)
    # Whether a bridge has a carrier follows its ports a little later.
    still = [
        re.sub(r"<[^>]*>|state \S+|inet6 fe80\S+ scope link.*\n.*\n", "", text)
        for text in (left.links, left.addresses)
    ]
    ways = [re.sub(" linkdown|fe80::/64 .*\n", "", text) for text in (left.routes, left.routes6)]
    return (*still, *ways, own, left.queues, left.connections, left.marks, *kept)
