# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""A pod is attached once the kernel passes on what it sends: a moment after both ends of its interface are up."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import attach, links
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drivers import builtin
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.links import (
    apply_step,
    await_connected,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtmsg import set_up
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rtsocket import Link, RouteSocket
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.steps import (
    POD_SIDE,
    AddRoute,
    BringUp,
)
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    NetLab,
    in_own_network,
    inside,
    ip,
)

if TYPE_CHECKING:
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.linksockets import LinkSockets
    from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.steps import NetStep

_IPAM = {"type": "host-local", "subnet": "10.7.0.0/24"}
_LATER = 0.15
# Longer than anything here takes on a busy machine.
SECONDS = 30.0


class _Counting(RouteSocket):
    looks = 0

    def find(self, name: str) -> Link | None:
        self.looks += 1
        return super().find(name)


def _state_of(link: str) -> str:
    """What ip says about the end of a veth on the host, and about the port of a bridge that it may be."""
    found = json.loads(ip("-d", "-j", "link", "show", link))[0]
    port = found["linkinfo"].get("info_slave_data", {})
    return f"{found['operstate']} {port.get('state', 'forwarding')}"


@pytest.mark.parametrize("kind", ["ptp", "bridge"])
@in_own_network
def test_attached_means_connected(tmp_path: pathlib.Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = NetLab(tmp_path)
    pod = lab.pod()
    lab.conf("10-red.conf", json.dumps({"name": "red", "type": kind, "ipam": _IPAM}))
    there = f"nsenter --net=/proc/{os.getpid()}/fd/{pod.netns}"

    def up_later(step: NetStep, wires: LinkSockets) -> None:
        if step == BringUp(POD_SIDE, "eth0"):
            subprocess.Popen(["sh", "-c", f"sleep {_LATER}; {there} ip link set eth0 up"])
        elif not isinstance(step, AddRoute):
            apply_step(step, wires)

    monkeypatch.setattr(links, "_CONNECTING_SECONDS", SECONDS)
    monkeypatch.setattr(attach, "apply_step", up_later)
    monkeypatch.setattr(builtin, "apply_step", up_later)
    assert _state_of(pod.attach("red").infos[0].host_if) == "UP forwarding"


@in_own_network
def test_a_port_is_waited_for(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_CONNECTING_SECONDS", SECONDS)
    pod = NetLab(tmp_path).pod()
    ip("link", "add", "br0", "up", "type", "bridge")
    subprocess.run(
        f"ip link add here0 up master br0 type veth peer name there0 netns /proc/{os.getpid()}/fd/{pod.netns}".split(),
        check=True,
    )
    assert _state_of("here0").endswith("DOWN disabled")
    with RouteSocket() as host, inside(pod.netns), RouteSocket() as there:
        timer = threading.Timer(_LATER, there.send, [[set_up(there.index("there0"))]])
        begun = time.monotonic()
        timer.start()
        await_connected("here0", host)
        assert time.monotonic() - begun >= _LATER
        timer.join()
    assert _state_of("here0") == "UP forwarding"


@pytest.mark.parametrize("link", ["none0", "lo", "down0", "what-no-link-can-be-called"])
@in_own_network
def test_only_what_will_be_connected_is_waited_for(link: str) -> None:
    ip("link", "add", "down0", "type", "veth", "peer", "name", "other0")
    with _Counting() as host:
        await_connected(link, host)
        assert host.looks == 1


@in_own_network
def test_one_that_is_never_connected_is_no_failure() -> None:
    ip("link", "add", "here0", "up", "type", "veth", "peer", "name", "there0")
    with RouteSocket() as host:
        await_connected("here0", host)
    assert _state_of("here0").endswith("DOWN forwarding")
