# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What podctl says on standard error about networks that do less than is asked, as tasks do in warnings."""

from __future__ import annotations

import pathlib
import socket

import pytest

from ansible_collections.stagecraft.pods.tests.integration.net.netlab import in_own_network, ip
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import (
    PodHost,
    imported,
    write_image,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_net_selection import define
from ansible_collections.stagecraft.pods.tests.integration.podctl.test_networks import end

SIX = {"type": "host-local", "ranges": [[{"subnet": "10.7.0.0/24"}], [{"subnet": "fd00:7::/64"}]]}
AGAIN = {"type": "host-local", "subnet": "10.7.0.0/24", "rangeStart": "10.7.0.128"}
LAN = {
    "name": "lan",
    "type": "bridge",
    "bridge": "cni7",
    "isDefaultGateway": True,
    "ipMasq": True,
    "ipam": SIX,
}
FAST = {
    "name": "fast",
    "type": "macvlan",
    "master": "up0",
    "ipam": {"type": "host-local", "subnet": "10.8.0.0/24"},
}
CASES = {
    "host and another": (
        ("--net=host,lan",),
        'the pod does not join lan, since its networks have "host" as well',
    ),
    "none and another": (
        ("--net=lan,none",),
        'the pod does not join lan, since its networks have "none" as well',
    ),
    "an absent address": (
        ("--net=lan", "--port=http:192.0.2.99:8080"),
        "192.0.2.99 is not an address of this host: ports published there are out of reach until it is",
    ),
    "itself": (
        ("--net=lan", "--port=http:8080"),
        'a pod of network "lan" does not reach its own ports through the host, which has '
        "net.bridge.bridge-nf-call-iptables and net.bridge.bridge-nf-call-ip6tables on: ",
    ),
    "overlap": (
        ("--net=lan,default", "--net=again"),
        'the networks "lan" and "again" have addresses in common: ',
    ),
    "overlap with the host": (
        ("--net=fast",),
        'the subnet 10.8.0.0/24 of network "fast" holds an address of this host, 10.8.0.77 of up0: ',
    ),
    "limit": (
        ("--net=fast",),
        'the isolator resource/network-bandwidth is not applied on network "fast": ',
    ),
    "limit of the default": ((), ""),
    "plain": (("--net=lan",), ""),
}


def slow(pods: PodHost) -> str:
    """An image with a limit."""
    isolators = [{"name": "resource/network-bandwidth", "value": {"default": True, "limit": "1M"}}]
    app = {"exec": ["/bin/sh"], "user": "0", "group": "0", "isolators": isolators}
    return str(write_image(pods.base / "slow.aci", "example.com/slow", app))


def lab(pods: PodHost) -> None:
    """Networks, and a host on which not all of them do what is asked."""
    define(pods, "10-lan.conf", LAN)
    define(pods, "20-again.conf", {"name": "again", "type": "ptp", "ipam": AGAIN})
    define(pods, "30-fast.conf", FAST)
    ip("tuntap", "add", "up0", "mode", "tap")
    ip("addr", "add", "10.8.0.77/24", "dev", "up0")
    ip("link", "set", "up0", "up")
    for family in ("", "6"):
        switch = pathlib.Path(f"/proc/sys/net/bridge/bridge-nf-call-ip{family}tables")
        if not switch.exists():
            pytest.skip("this kernel has no br_netfilter")
        switch.write_text("1")


@pytest.mark.behaviour("E2", "E22")
@pytest.mark.parametrize("prepared", [False, True], ids=["run", "run-prepared"])
@pytest.mark.parametrize(("flags", "said"), CASES.values(), ids=CASES)
@in_own_network
def test_a_pod_is_made_and_what_its_networks_do_not_do_is_told(
    pods: PodHost, prepared: bool, flags: tuple[str, ...], said: str
) -> None:
    lab(pods)
    image = slow(pods) if "isolator" in said or not flags else pods.image
    nets = [flag for flag in flags if flag.startswith("--net=")]
    ports = [flag for flag in flags if flag.startswith("--port=")]
    if prepared:
        uuid = pods.ok("prepare", "--quiet", *ports, image, "--exec=/bin/true")
        done = pods.podctl("run-prepared", *nets, uuid)
    else:
        done = pods.podctl("run", *nets, *ports, image, "--exec=/bin/true")
    assert done.status == 0, done.err
    assert sum(said in line for line in done.err.splitlines() if said) == bool(said), done.err
    assert said or "network" not in done.err, done.err
    end(pods)


@pytest.mark.behaviour("A8", "E2")
@in_own_network
def test_a_pod_without_apps_is_told_too(pods: PodHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKT_EXPERIMENT_APP", "true")
    lab(pods)
    file = pods.base / "uuid"
    words = ("app", "sandbox", "--detach", f"--uuid-file-save={file}")
    for flags, said in (CASES["host and another"], CASES["overlap with the host"]):
        done = pods.podctl(*words, *flags)
        assert (done.status, said in done.err) == (0, True), done.err
    end(pods)


@in_own_network
def test_networks_that_a_prepared_pod_is_given_are_told_of(pods: PodHost) -> None:
    lab(pods)
    uuid = pods.ok("prepare", pods.image, "--exec=/bin/true")
    flags, said = CASES["host and another"]
    done = pods.podctl("run-prepared", *flags, uuid)
    assert (done.status, said in done.err) == (0, True), done.err
    end(pods)


@pytest.mark.behaviour("E24")
@pytest.mark.parametrize(("six", "taken"), [(True, True), (False, False)], ids=["both", "ipv4"])
@in_own_network
def test_a_port_of_a_process_that_listens_over_ipv6_alone_is_found_where_the_network_has_it(
    pods: PodHost, six: bool, taken: bool
) -> None:
    if six:
        define(pods, "10-own.conf", {**LAN, "name": "default"})
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("::", 8080))
        server.listen()
        done = pods.podctl("prepare", "--port=http:8080", pods.image)
        again = pods.podctl("run", "--port=http:8080", pods.image, "--exec=/bin/true")
    said = "host port tcp [::]:8080 is in use by a process of the host"
    for each in (done, again):
        assert (each.status, said in each.err) == ((254, True) if taken else (0, False)), each.err
    end(pods)


def test_a_pod_in_the_default_network_pays_nothing_for_it(pods: PodHost) -> None:
    key = pods.ok("fetch", pods.image)
    pods.sh("true")
    looks = {"podrt.net.facts", "podrt.net.reach", "podrt.stage0.network_fit"}
    for network in ("none", "default"):
        status, modules = imported(*pods.where, "run", f"--net={network}", key, "--exec=/bin/true")
        assert (status, modules & looks) == (0, set())
