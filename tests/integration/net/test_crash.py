# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Starts that are killed at any moment, or are many at a time, leak nothing and get nothing twice."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import read_net_info
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    NetLab,
    here,
    in_own_network,
    listen,
    source_seen,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_attach import BRIDGE

SLICES = 25
# Kept apart and limited, both ways.
ISOLATED = """{"name": "iso", "cniVersion": "1.0.0", "plugins": [
 {"type": "bridge", "bridge": "br-iso", "isGateway": true, "isolated": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.8.0.0/24"}], [{"subnet": "fd00:8::/64"}]]}},
 {"type": "bandwidth", "ingressRate": 8000000, "ingressBurst": 800000,
  "egressRate": 8000000, "egressBurst": 800000}]}"""
FORWARD = PortForward("tcp", None, 8080, 80)


def events_of(work: Callable[[], object]) -> int:
    """The number of calls of Python and C functions in some work."""
    seen = [0]

    def count(*_args: object) -> None:
        seen[0] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen[0]


def killed_after(events: int, work: Callable[[], object]) -> None:
    """Do some work in a child that gets SIGKILL after a number of calls."""
    pid = os.fork()
    if not pid:
        left = [events]

        def count(*_args: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        work()
        os._exit(0)
    os.waitpid(pid, 0)


def in_parallel(works: Sequence[Callable[[], object]]) -> None:
    pids = []
    for work in works:
        pid = os.fork()
        if not pid:
            try:
                work()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)


@pytest.mark.behaviour("E25")
@pytest.mark.parametrize("net", ["default", "default,br", "iso"])
@in_own_network
def test_attach_killed_anywhere_leaves_nothing_that_detach_does_not_find(
    tmp_path: pathlib.Path, net: str
) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    lab.conf("20-iso.conflist", ISOLATED)
    pod = lab.pod()
    before = lab.snapshot()
    events = events_of(lambda: pod.attach(net, FORWARD))
    pod.detach()
    assert lab.snapshot() == before
    for piece in range(SLICES):
        pod = lab.pod()
        killed_after(events * piece // SLICES, lambda pod=pod: pod.attach(net, FORWARD))  # type: ignore[misc]
        pod.detach()
        assert lab.snapshot() == before, f"killed after {piece}/{SLICES}"


@pytest.mark.behaviour("E25")
@pytest.mark.parametrize("net", ["default,br", "iso"])
@in_own_network
def test_detach_killed_anywhere_is_finished_by_the_next(tmp_path: pathlib.Path, net: str) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    lab.conf("20-iso.conflist", ISOLATED)
    before = lab.snapshot()
    events = events_of(lab.pod().attach(net, FORWARD).detach)
    for piece in range(SLICES):
        pod = lab.pod().attach(net, FORWARD)
        killed_after(events * piece // SLICES, pod.detach)
        pod.detach()
        assert lab.snapshot() == before, f"killed after {piece}/{SLICES}"


@pytest.mark.behaviour("E12", "E13")
@in_own_network
def test_many_pods_at_once_get_addresses_of_their_own(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    lab.conf("10-br.conf", BRIDGE)
    before = lab.snapshot()
    pods = [lab.pod() for _other in range(16)]
    in_parallel([lambda pod=pod: pod.attach("default,br") for pod in pods])  # type: ignore[misc]
    for index in (0, 1):
        assert len({read_net_info(pod.info_path)[index].ip for pod in pods}) == 16
    in_parallel([pod.detach for pod in pods])
    assert lab.snapshot() == before


@in_own_network
def test_pods_that_come_and_go_at_once_do_not_lose_the_table(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    before = lab.snapshot()
    stays = lab.pod()

    def come_and_go() -> None:
        pod = lab.pod()
        for _other in range(4):
            pod.attach().detach()

    def come() -> None:
        stays.attach("", FORWARD)

    lab.pod()
    works = []
    for _other in range(4):
        lab._pods += 10
        works.append(lambda start=lab._pods: (setattr(lab, "_pods", start), come_and_go()))  # type: ignore[misc]
    in_parallel([*works, come])
    with listen(
        stays.netns, 80
    ) as server:  # the port still leads to the pod, whatever the others have removed
        assert source_seen(here(), server, "127.0.0.1", FORWARD.host_port)
    stays.detach()
    assert lab.snapshot() == before
