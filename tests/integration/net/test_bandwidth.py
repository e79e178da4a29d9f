# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The rates of a pod's interface are limited both ways, at the host's end of it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import choose, load_confs
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.drift import (
    Drift,
    find_drift,
    read_joined,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.facts import host_facts
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.mend import mend
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import (
    compare_with_host,
    network_plan,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    TIMEOUT,
    NetLab,
    Pod,
    here,
    in_own_network,
    inside,
    ip,
    listen,
    source_seen,
)

MEGA = 1_000_000
IPAM = {"type": "host-local", "subnet": "10.7.0.0/24"}
PTP = {"type": "ptp", "ipam": IPAM}
BRIDGE = {"type": "bridge", "bridge": "cni7", "isGateway": True, "ipam": IPAM}
BURST = 400_000
SECONDS = 1.0


def limits(ingress: int = 0, egress: int = 0) -> dict[str, object]:
    """The plugin with rates in bits a second."""
    members: dict[str, object] = {"type": "bandwidth"}
    for way, rate in (("ingress", ingress), ("egress", egress)):
        if rate:
            members.update({f"{way}Rate": rate, f"{way}Burst": BURST})
    return members


def lab_with(tmp_path: pathlib.Path, *plugins: dict[str, object]) -> NetLab:
    lab = NetLab(tmp_path)
    lab.conf("10-n.conflist", json.dumps({"name": "n", "cniVersion": "1.0.0", "plugins": plugins}))
    return lab


def received(sender: int, receiver: int, address: str) -> int:
    """The bytes that come through in a time, of what is sent as fast as the network takes it."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listen(receiver, 9000, address))
        with inside(sender):
            out = stack.enter_context(socket.create_connection((address, 9000), TIMEOUT))
        answering = stack.enter_context(server.accept()[0])
        writer = threading.Thread(target=flood, args=(out,))
        writer.start()
        total, end = 0, time.monotonic() + SECONDS
        answering.settimeout(TIMEOUT)
        while time.monotonic() < end:
            total += len(answering.recv(1 << 18))
        answering.shutdown(socket.SHUT_RDWR)
        answering.close()
        writer.join()
        return total


def flood(out: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            out.sendall(bytes(1 << 16))


def qdiscs(link: str) -> dict[str, dict[str, object]]:
    """What tc shows of an interface, by kind."""
    shown = subprocess.run(["tc", "-j", "qdisc", "show", "dev", link], check=True, capture_output=True).stdout
    return {str(each["kind"]): each for each in json.loads(shown)}


def shaper_of(pod: Pod) -> str:
    return f"ifb{pod.infos[0].host_if.removeprefix('veth')}"


def drift_of(pod: Pod, limit: int = 0) -> Drift:
    """What is missing of a pod, as from a process that is in it."""
    infos, joined = read_joined(pod.uuid, pod.info_path, pod.conf_dir)
    with inside(pod.netns):
        within = subprocess.Popen(["sleep", "60"])
    try:
        return find_drift(within.pid, joined, infos, (), limit=limit)
    finally:
        within.kill()
        within.wait()


def bound(rate: int) -> int:
    """The most bytes that a rate lets through meanwhile, with what waits, twice."""
    return 2 * int(rate * SECONDS + BURST) // 8


@pytest.mark.kernel
@pytest.mark.behaviour("C43")
@pytest.mark.parametrize("main", [PTP, BRIDGE], ids=["ptp", "bridge"])
@in_own_network
def test_each_way_has_its_rate(tmp_path: pathlib.Path, main: dict[str, object]) -> None:
    lab = lab_with(tmp_path, main, limits(8 * MEGA, 24 * MEGA))
    lab.conf("20-free.conf", json.dumps({**PTP, "name": "free", "ipam": {**IPAM, "subnet": "10.8.0.0/24"}}))
    free, pod = lab.pod().attach("free"), lab.pod().attach("n")
    host = here()
    to_pod, from_pod = received(host, pod.netns, pod.address), received(pod.netns, host, "10.7.0.1")
    assert 0 < to_pod <= bound(8 * MEGA)
    assert 0 < from_pod <= bound(24 * MEGA)
    for sender, receiver, address in ((host, free.netns, free.address), (free.netns, host, "10.8.0.1")):
        assert received(sender, receiver, address) > bound(24 * MEGA)


@pytest.mark.kernel
@pytest.mark.behaviour("C43")
@in_own_network
def test_the_limit_of_isolators_is_that_of_each_interface(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path, PTP)
    lab.conf("20-br.conf", json.dumps({**BRIDGE, "name": "br", "ipam": {**IPAM, "subnet": "10.8.0.0/24"}}))
    before = lab.snapshot()
    pod = lab.pod()
    pod.limit = 2 * MEGA  # bytes, of which appc speaks; the plugin's are bits
    pod.attach("n,br")
    for info, gateway in zip(pod.infos, ("10.7.0.1", "10.8.0.1")):
        assert 0 < received(here(), pod.netns, info.ip) <= bound(16 * MEGA)
        assert 0 < received(pod.netns, here(), gateway) <= bound(16 * MEGA)
    pod.detach()
    assert lab.snapshot() == before


@pytest.mark.kernel
@in_own_network
def test_tc_shows_what_was_made(tmp_path: pathlib.Path) -> None:
    pod = lab_with(tmp_path, {**PTP, "mtu": 1400}, limits(8 * MEGA, 24 * MEGA)).pod().attach("n")
    link = pod.infos[0].host_if
    of_link, of_shaper = qdiscs(link), qdiscs(shaper_of(pod))
    assert set(of_link) == {"tbf", "ingress"}
    for shown, rate in ((of_link, MEGA), (of_shaper, 3 * MEGA)):
        options = shown["tbf"]["options"]
        assert isinstance(options, dict)
        assert (options["rate"], shown["tbf"]["root"]) == (rate, True)
        assert abs(options["burst"] - BURST // 8) < 1000
    (ifb,) = json.loads(ip("-j", "-d", "link", "show", shaper_of(pod)))
    assert (ifb["linkinfo"]["info_kind"], ifb["mtu"], "UP" in ifb["flags"]) == ("ifb", 1400, True)
    filters = json.loads(
        subprocess.run(
            ["tc", "-j", "filter", "show", "dev", link, "ingress"], check=True, capture_output=True
        ).stdout
    )
    (action,) = next(each["options"]["actions"] for each in filters if "actions" in each.get("options", {}))
    assert (action["kind"], action["mirred_action"], action["direction"], action["to_dev"]) == (
        "mirred",
        "redirect",
        "egress",
        shaper_of(pod),
    )


@pytest.mark.kernel
@pytest.mark.parametrize(("ingress", "egress"), [(8 * MEGA, 0), (0, 8 * MEGA)], ids=["to the pod", "from it"])
@in_own_network
def test_one_way_alone_may_be_limited(tmp_path: pathlib.Path, ingress: int, egress: int) -> None:
    lab = lab_with(tmp_path, PTP, limits(ingress, egress))
    before = lab.snapshot()
    pod = lab.pod().attach("n")
    assert ("tbf" in qdiscs(pod.infos[0].host_if), shaper_of(pod) in ip("link")) == (
        bool(ingress),
        bool(egress),
    )
    assert drift_of(pod).sentences == ()
    pod.detach()
    assert lab.snapshot() == before


@pytest.mark.kernel
@pytest.mark.parametrize("limit", [MEGA // 2, 8 * MEGA])
@in_own_network
def test_the_strictest_limit_counts(tmp_path: pathlib.Path, limit: int) -> None:
    pod = lab_with(tmp_path, PTP, limits(8 * MEGA, 24 * MEGA), limits(0, 16 * MEGA)).pod()
    pod.limit = limit
    pod.attach("n")
    rates = [qdiscs(link)["tbf"]["options"]["rate"] for link in (pod.infos[0].host_if, shaper_of(pod))]  # type: ignore[index]
    # The limit of an isolator is in bytes, as appc has it; those of the plugin are in bits.
    assert rates == [min(limit, MEGA), min(limit, 2 * MEGA)]


@pytest.mark.kernel
@in_own_network
def test_a_burst_below_a_packet_stops_nothing_and_a_fast_rate_is_one(tmp_path: pathlib.Path) -> None:
    low = {"type": "bandwidth", "ingressRate": 8 * MEGA, "ingressBurst": 8}
    lab = lab_with(tmp_path, PTP, low)
    pod = lab.pod().attach("n")
    assert received(here(), pod.netns, pod.address) > 0
    fast = lab.pod()
    fast.limit = 10**11 // 8
    lab.conf("20-f.conf", json.dumps({**PTP, "name": "f", "ipam": {**IPAM, "subnet": "10.8.0.0/24"}}))
    fast.attach("f")
    assert qdiscs(fast.infos[0].host_if)["tbf"]["options"]["rate"] == 10**11 // 8  # type: ignore[index]
    assert drift_of(fast, 10**11 // 8).sentences == ()


def take_queue(pod: Pod) -> None:
    subprocess.run(["tc", "qdisc", "del", "dev", pod.infos[0].host_if, "root"], check=True)


def take_way(pod: Pod) -> None:
    subprocess.run(["tc", "qdisc", "del", "dev", pod.infos[0].host_if, "ingress"], check=True)


def take_filter(pod: Pod) -> None:
    subprocess.run(["tc", "filter", "del", "dev", pod.infos[0].host_if, "ingress"], check=True)


def take_shaper(pod: Pod) -> None:
    ip("link", "del", shaper_of(pod))


def stop_shaper(pod: Pod) -> None:
    ip("link", "set", shaper_of(pod), "down")


def raise_rate(pod: Pod) -> None:
    rate = ("tbf", "rate", "1gbit", "burst", "1mb", "latency", "25ms")
    subprocess.run(["tc", "qdisc", "replace", "dev", shaper_of(pod), "root", *rate], check=True)


@pytest.mark.kernel
@pytest.mark.parametrize(
    "take",
    [take_queue, take_way, take_filter, take_shaper, stop_shaper, raise_rate],
    ids=lambda take: take.__name__,
)
@in_own_network
def test_a_limit_that_has_gone_is_drift_and_comes_back(tmp_path: pathlib.Path, take) -> None:  # type: ignore[no-untyped-def]
    pod = lab_with(tmp_path, BRIDGE, limits(8 * MEGA, 24 * MEGA)).pod().attach("n")
    assert drift_of(pod).sentences == ()
    take(pod)
    drift = drift_of(pod)
    assert drift.sentences == ((0, f"limits of link {pod.infos[0].host_if}"),)
    mend(pod.joining, pod.netns, drift, ())
    assert drift_of(pod).sentences == ()
    assert 0 < received(here(), pod.netns, pod.address) <= bound(8 * MEGA)
    assert 0 < received(pod.netns, here(), "10.7.0.1") <= bound(24 * MEGA)


@pytest.mark.kernel
@in_own_network
def test_a_link_that_has_gone_comes_back_with_its_limits(tmp_path: pathlib.Path) -> None:
    pod = lab_with(tmp_path, PTP, limits(8 * MEGA, 24 * MEGA)).pod().attach("n")
    ip("link", "del", pod.infos[0].host_if)
    mend(pod.joining, pod.netns, drift_of(pod), ())
    assert drift_of(pod).sentences == ()
    assert 0 < received(pod.netns, here(), "10.7.0.1") <= bound(24 * MEGA)


@pytest.mark.kernel
@in_own_network
def test_a_limit_follows_the_apps_of_a_pod_and_not_of_an_earlier_release(tmp_path: pathlib.Path) -> None:
    pod = lab_with(tmp_path, PTP).pod().attach("n")
    drift = drift_of(pod, MEGA)
    assert drift.sentences == ((0, f"limits of link {pod.infos[0].host_if}"),)
    mend(pod.joining, pod.netns, drift, ())
    assert drift_of(pod, MEGA).sentences == ()
    # Of releases that limited no rates.
    record = json.loads(pathlib.Path(pod.info_path).read_text())
    del record[0]["byteLimit"]
    pathlib.Path(pod.info_path).write_text(json.dumps(record))
    assert drift_of(pod, MEGA // 2).sentences == ()


@pytest.mark.kernel
@in_own_network
def test_a_pod_of_a_release_that_took_limits_as_bits_stays_as_it_runs(tmp_path: pathlib.Path) -> None:
    pod = lab_with(tmp_path, PTP).pod()
    pod.limit = MEGA
    pod.attach("n")
    record = json.loads(pathlib.Path(pod.info_path).read_text())
    # What 0.11.0 records of a pod whose manifest has 8M, and does for it.
    assert record[0].pop("byteLimit") == MEGA
    record[0]["limit"] = 8 * MEGA
    pathlib.Path(pod.info_path).write_text(json.dumps(record))
    assert drift_of(pod, 8 * MEGA).sentences == ()
    # So it is mended to, and so follows its apps.
    take_queue(pod)
    mend(pod.joining, pod.netns, drift_of(pod, 8 * MEGA), ())
    assert qdiscs(pod.infos[0].host_if)["tbf"]["options"]["rate"] == MEGA  # type: ignore[index]
    mend(pod.joining, pod.netns, drift_of(pod, 4 * MEGA), ())
    assert qdiscs(pod.infos[0].host_if)["tbf"]["options"]["rate"] == MEGA // 2  # type: ignore[index]


@pytest.mark.kernel
@in_own_network
def test_a_limit_of_an_isolator_is_so_many_bytes_a_second(tmp_path: pathlib.Path) -> None:
    pod = lab_with(tmp_path, BRIDGE).pod()
    pod.limit = MEGA
    pod.attach("n")
    for found in (received(here(), pod.netns, pod.address), received(pod.netns, here(), "10.7.0.1")):
        assert MEGA * SECONDS / 2 < found <= bound(8 * MEGA)


@pytest.mark.kernel
@pytest.mark.parametrize("end", ["record gone", "dead", "dying"])
@in_own_network
def test_nothing_is_left_of_a_limited_pod(tmp_path: pathlib.Path, end: str) -> None:
    lab = lab_with(tmp_path, BRIDGE, limits(8 * MEGA, 24 * MEGA))
    before = lab.snapshot()
    pod = lab.pod().attach("n")
    if end == "record gone":
        os.unlink(pod.info_path)
        for name in os.listdir(pod.conf_dir):
            os.unlink(f"{pod.conf_dir}/{name}")
    else:
        pod.die()
    pod.detach(links=end != "dying")
    assert lab.snapshot() == before


@in_own_network
def test_a_network_without_an_end_on_the_host_cannot_be_limited(tmp_path: pathlib.Path) -> None:
    lab = lab_with(tmp_path, {"type": "tap", "ipam": IPAM}, limits(8 * MEGA))
    with pytest.raises(InvalidSpec, match='the rates of network "n" cannot be limited'):
        lab.pod().attach("n")
    lab.conf("10-n.conflist", json.dumps({"name": "n", "plugins": [{"type": "tap", "ipam": IPAM}]}))
    plan = network_plan(choose(load_confs(lab.paths.config_dirs), parse_requests("n")), (), limit=8 * MEGA)
    (said,) = compare_with_host(plan, host_facts())
    assert said.startswith('the isolator resource/network-bandwidth is not applied on network "n"')
    pod = lab.pod()
    pod.limit = 8 * MEGA
    with listen(pod.attach("n").netns, 9000) as in_pod:
        assert source_seen(pod.netns, in_pod, pod.address, 9000) == pod.address
