# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Pods on a network, apart from the machine's own network."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import socket
import subprocess

import pytest

from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    here,
    in_own_network,
    ip,
    listen,
    nft,
)
from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import PodHost, eventually

WAITS = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"


def end(pods: PodHost) -> None:
    """Remove every pod, in the namespace of its network."""
    for uuid in pods.uuids():
        pods.podctl("stop", "--force", uuid)
        pods.podctl("status", "--wait=20s", uuid)
        pods.ok("rm", uuid)


def kernel() -> tuple[str, ...]:
    """The state of this network: links, addresses, routes, rules."""
    return (ip("-o", "link"), ip("addr"), ip("route"), nft("list", "ruleset"))


def holders_of(netns: int) -> list[str]:
    """The processes in a network namespace."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == netns:
                found.append(pid)
        except OSError:
            continue
    return found


def named_namespaces() -> list[str]:
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if " - nsfs " in line] + [
        name
        for place in ("/run/netns", "/var/run/netns")
        if os.path.isdir(place)
        for name in os.listdir(place)
    ]


@pytest.mark.behaviour("E8")
@in_own_network
def test_a_pods_network_namespace_is_its_processes_and_nothing_else(pods: PodHost) -> None:
    before = named_namespaces()
    links = ip("-o", "link")
    uuid = pods.detached(WAITS, net="default")
    top = pods.data / "pods/run" / uuid
    pid = int((top / "pid").read_text())
    netns = os.stat(f"/proc/{pid}/ns/net").st_ino
    assert netns != os.stat("/proc/self/ns/net").st_ino
    assert str(pid) in holders_of(netns)
    assert named_namespaces() == before
    assert (top / "netns").read_text() == f"/proc/{pid}/ns/net"
    assert ip("-o", "link") != links
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: holders_of(netns) == [])
    # The kernel removes the veth pair with the namespace of one end, which nothing kept alive.
    eventually(lambda: ip("-o", "link") == links)
    assert named_namespaces() == before
    end(pods)


@pytest.mark.behaviour("E24")
@pytest.mark.parametrize("net", ["none", "host"])
def test_a_port_needs_a_network(pods: PodHost, net: str) -> None:
    done = pods.podctl("run", f"--net={net}", "--port=http:8080", pods.image)
    assert (done.status, done.err) == (254, f"run: --port flag does not work with '{net}' networking\n")
    assert not (pods.data / "pods").exists()


@pytest.mark.behaviour("E24")
@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
@in_own_network
def test_a_port_of_a_process_is_an_error_before_anything_is_touched(pods: PodHost, address: str) -> None:
    before = kernel()
    with listen(here(), 8080, address):
        done = pods.podctl("run", "--port=http:8080", pods.image, "--exec=/bin/true")
    assert done.status == 254
    assert "host port tcp 0.0.0.0:8080 is in use by a process of the host" in done.err
    assert list((pods.data / "pods").glob("*/*")) == []
    assert kernel() == before
    assert not (pods.data / "net").exists()


@pytest.mark.behaviour("E24")
@in_own_network
def test_a_port_that_was_taken_since_the_pod_was_prepared_is_an_error(pods: PodHost) -> None:
    uuid = pods.ok("prepare", "--port=http:8080", pods.image, "--exec=/bin/true")
    before = kernel()
    with listen(here(), 8080):
        done = pods.podctl("run-prepared", uuid)
        assert done.status == 254
        assert "stage1: failed to setup network: port 8080/tcp of the host is in use by " in done.err
        assert f"pid {os.getpid()}" in done.err
    assert kernel() == before
    assert list((pods.data / "net").glob("*/*.*.*.*")) == []
    end(pods)


@pytest.mark.behaviour("E24")
@in_own_network
def test_a_port_is_chosen_by_the_host_where_none_is_given(pods: PodHost) -> None:
    uuid = pods.ok("prepare", "--port=http:127.0.0.1:auto", pods.image, "--exec=/bin/true")
    (port,) = json.loads(pods.ok("cat-manifest", uuid))["ports"]
    assert port["hostPort"] in range(20000, 30000) and port["hostIP"] == "127.0.0.1"
    assert pods.podctl("run-prepared", uuid).status == 0


@pytest.mark.behaviour("E24")
@in_own_network
def test_a_port_of_another_pod_is_an_error_that_names_it(pods: PodHost) -> None:
    words = ("prepare", "--port=http:8080", pods.image, "--exec=/bin/sh", "--", "-c", WAITS)
    uuid = pods.ok(*words)
    pods.ok("run-prepared", "--detach", uuid)
    before = kernel()
    done = pods.podctl(*words)
    assert (done.status, f'host port tcp 0.0.0.0:8080 is in use by pod "{uuid}"' in done.err) == (254, True)
    assert kernel() == before
    assert pods.uuids() == [uuid]
    end(pods)


@pytest.mark.behaviour("E24")
@in_own_network
def test_a_connection_that_has_just_ended_is_not_in_the_way_of_a_port(pods: PodHost) -> None:
    with listen(here(), 8080) as server, socket.create_connection(("127.0.0.1", 8080)) as client:
        answering = server.accept()[0]
        answering.close()  # the side that closes first is left in TIME_WAIT
        assert client.recv(1) == b""
    # the closed connection holds the port for a minute
    with socket.socket() as probe, pytest.raises(OSError, match="in use"):
        probe.bind(("0.0.0.0", 8080))
    done = pods.podctl("run", "--port=http:8080", pods.image, "--exec=/bin/true")
    assert done.status == 0, done.err
    end(pods)


@pytest.mark.behaviour("E22")
@in_own_network
def test_a_port_leads_to_the_port_of_the_app(pods: PodHost) -> None:
    script = "echo served | nc -l -p 80"
    uuid = pods.ok("prepare", "--port=http:8080", pods.image, "--exec=/bin/sh", "--", "-c", script)
    pods.ok("run-prepared", "--detach", uuid)

    def answer() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", 8080), timeout=2) as client:
                return client.recv(10)
        except OSError:
            return b""

    eventually(lambda: answer() == b"served\n")
    end(pods)


@pytest.mark.behaviour("C43")
@pytest.mark.parametrize("before", [True, False], ids=["of the pod", "of the app"])
@in_own_network
def test_a_flag_limits_the_rates_of_the_interfaces_in_bytes(pods: PodHost, before: bool) -> None:
    flag, app = ("--network-bandwidth=1500k",), (pods.image, "--exec=/bin/sh")
    words = (*flag, *app) if before else (*app, *flag)
    uuid = pods.ok("prepare", "--quiet", *words, "--", "-c", WAITS)
    pods.ok("run-prepared", "--detach", "--net=default", uuid)
    shown = json.loads(subprocess.run(["tc", "-j", "qdisc"], capture_output=True, check=True).stdout)
    rates = {each["dev"][:3]: each["options"]["rate"] for each in shown if each["kind"] == "tbf"}
    assert rates == {"vet": 1_500_000, "ifb": 1_500_000}  # tc says bytes a second
    end(pods)
    assert "tbf" not in subprocess.run(["tc", "qdisc"], capture_output=True, text=True, check=True).stdout
