# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Firewalls of others that drop forwarded packets are reported with a cure, which cures."""

from __future__ import annotations

import pathlib
import socket
import subprocess

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward
from ansible_collections.stagecraft.pods.tests.integration.net.netlab import (
    HOST_IP,
    HOST_IP6,
    OUTSIDE_IP,
    OUTSIDE_IP6,
    NetLab,
    in_own_network,
    listen,
    nft,
    source_seen,
)
from ansible_collections.stagecraft.pods.tests.integration.net.test_ports6 import NETS

HTTP = PortForward("tcp", None, 8080, 80)
# As these make their chains, with what matters here.
PLAIN = "table inet wall { chain forward { type filter hook forward priority 0; policy drop; }; }\n"
DOCKER = (
    "iptables -P FORWARD DROP",
    "iptables -N DOCKER-USER",
    "iptables -A DOCKER-USER -j RETURN",
    "iptables -I FORWARD -j DOCKER-USER",
    "ip6tables -P FORWARD DROP",
    "ip6tables -N DOCKER-USER",
    "ip6tables -A DOCKER-USER -j RETURN",
    "ip6tables -I FORWARD -j DOCKER-USER",
)
CHAINS = ("iptables -P FORWARD DROP", "ip6tables -P FORWARD DROP")


def shell(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True, capture_output=True)


def commands_in(sentence: str) -> str:
    return sentence.partition("for example by: ")[2]


@pytest.mark.parametrize("firewall", [CHAINS, DOCKER, PLAIN], ids=["iptables", "docker", "nftables"])
@in_own_network
def test_the_commands_that_are_told_let_pods_through(
    tmp_path: pathlib.Path, firewall: tuple[str, ...] | str
) -> None:
    lab = NetLab(tmp_path, outside=True)
    lab.conf("10-line.conf", NETS["line"])
    if isinstance(firewall, str):
        nft("-f", "-", stdin=firewall)
    else:
        for command in firewall:
            shell(command)
    before = nft("-s", "list", "ruleset")
    said: list[str] = []
    pod = lab.pod().attach("line", HTTP, report=said.append)
    assert len(said) == (1 if isinstance(firewall, str) else 2)
    assert ("DOCKER-USER" in said[0]) is (firewall is DOCKER)
    ways = ((HOST_IP, OUTSIDE_IP, "0.0.0.0"), (HOST_IP6, OUTSIDE_IP6, "::"))
    for host, outside, everywhere in ways:
        with listen(pod.netns, 80, everywhere) as server, pytest.raises(socket.timeout):
            source_seen(lab.outside, server, host, 8080)
        with listen(lab.outside, 8000, everywhere) as server, pytest.raises(socket.timeout):
            source_seen(pod.netns, server, outside, 8000)
    for sentence in said:
        shell(commands_in(sentence))
    for host, outside, everywhere in ways:
        with listen(pod.netns, 80, everywhere) as server:
            assert source_seen(lab.outside, server, host, 8080) == outside
        with listen(lab.outside, 8000, everywhere) as server:
            assert source_seen(pod.netns, server, outside, 8000) == host
    pod.detach()
    # What is not ours stays, and the warning has served its purpose.
    assert set(before.splitlines()) <= set(nft("-s", "list", "ruleset").splitlines())
    lab.pod().attach("line", HTTP, report=said.append).detach()
    assert len(said) == (1 if isinstance(firewall, str) else 2)


@in_own_network
def test_a_foreign_drop_policy_is_left_as_it_is(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    nft("-f", "-", stdin=PLAIN)
    before = nft("list", "ruleset")
    said: list[str] = []
    lab.pod().attach(report=said.append).detach()
    (sentence,) = said
    assert sentence.startswith("the nftables chain inet wall forward drops forwarded packets")
    assert "pods of 172.16.28.0/24 may be cut off" in sentence
    assert nft("list", "ruleset") == before


@in_own_network
def test_a_firewall_for_the_other_family_cuts_off_no_pod(tmp_path: pathlib.Path) -> None:
    lab = NetLab(tmp_path)
    shell("ip6tables -P FORWARD DROP")
    said: list[str] = []
    lab.pod().attach(report=said.append).detach()
    assert said == []
