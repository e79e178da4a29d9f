# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Which chains of others cut pods off, and what lets these through."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Subnet
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.foreign import drops_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.nfsocket import Chain

FOUR, SIX = Subnet.parse("10.7.0.0/24"), Subnet.parse("fd00:7::/64")
FORWARD = Chain("ip", "filter", "FORWARD", True)
FORWARD6 = Chain("ip6", "filter", "FORWARD", True)
FIREWALLD = Chain("inet", "firewalld", "filter_FORWARD", False)


def cures(*chains: Chain, rules: str = "") -> list[str]:
    found = drops_of(chains, [FOUR, SIX, FOUR], lambda _family, _table: rules)
    return [drop.cure(subnet) for drop, cut in found for subnet in cut]


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ((FORWARD,), ["iptables -I FORWARD -s 10.7.0.0/24 -j ACCEPT && iptables -I FORWARD -d 10.7.0.0/24 "]),
        ((FORWARD, Chain("ip", "filter", "DOCKER-USER", False)), ["iptables -I DOCKER-USER -s 10.7.0.0/24"]),
        ((FORWARD, Chain("ip6", "filter", "DOCKER-USER", False)), ["iptables -I FORWARD -s 10.7.0.0/24"]),
        ((FORWARD6,), ["ip6tables -I FORWARD -s fd00:7::/64 -j ACCEPT"]),
        (
            (FORWARD, Chain("ip", "filter", "ufw-user-forward", False)),
            ["ufw route allow from 10.7.0.0/24 && ufw route allow to 10.7.0.0/24"],
        ),
        (
            (FORWARD6, Chain("ip6", "filter", "ufw6-user-forward", False)),
            ["ufw route allow from fd00:7::/64 && ufw route allow to fd00:7::/64"],
        ),
        (
            (FIREWALLD,),
            [
                "firewall-cmd --permanent --zone=trusted --add-source=10.7.0.0/24 && firewall-cmd --zone=trusted",
                "firewall-cmd --permanent --zone=trusted --add-source=fd00:7::/64",
            ],
        ),
        (
            (Chain("inet", "wall", "f", True),),
            [
                "nft insert rule inet wall f ip saddr 10.7.0.0/24 accept && nft insert rule inet wall f ip daddr",
                "nft insert rule inet wall f ip6 saddr fd00:7::/64 accept",
            ],
        ),
        ((FORWARD.replace(drops_forwarded=False),), []),
        ((Chain("ip", "stagecraft_pods", "x", True), Chain("bridge", "b", "f", True)), []),
    ],
)
def test_the_cure_is_by_the_means_of_the_firewall(chains: tuple[Chain, ...], expected: list[str]) -> None:
    found = cures(*chains)
    assert len(found) == len(expected)
    assert all(cure.startswith(start) for cure, start in zip(found, expected))


def test_a_subnet_that_the_firewall_names_has_been_thought_of() -> None:
    assert cures(FIREWALLD, rules="ip saddr 10.7.0.0/24 goto trusted") == cures(FIREWALLD)[1:]
