# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CNI's result in every version of its format."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import VERSIONS, NetResult

NOW = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "br0"},
        {"name": "eth0", "mac": "0a:5a:00:00:00:01", "mtu": 1400, "sandbox": "/proc/7/ns/net"},
    ],
    "ips": [
        {"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 1},
        {"address": "fd00::2/64", "interface": 1},
        {"address": "10.9.0.1/24", "interface": 0},
    ],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd01::/64", "gw": "fd00::1", "priority": 7, "table": 9}],
    "dns": {"nameservers": ["10.1.0.1"], "search": ["x.org"]},
}
OLD = {
    "cniVersion": "0.2.0",
    "ip4": {"ip": "10.1.0.2/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
    "ip6": {"ip": "fd00::2/64", "routes": [{"dst": "fd01::/64", "gw": "fd00::1"}]},
    "dns": {"nameservers": ["10.1.0.1"]},
}


@pytest.mark.parametrize("version", VERSIONS[2:])
def test_a_result_reads_back_in_every_version_of_its_kind(version: str) -> None:
    result = NetResult.from_json(NOW, "")
    written = result.to_json(version)
    assert written["cniVersion"] == version
    assert [each.get("version") for each in written["ips"]] == (  # type: ignore[attr-defined]
        [None] * 3 if version.startswith("1.") else ["4", "6", "4"]
    )
    assert NetResult.from_json(written, "") == result


@pytest.mark.behaviour("E10")
def test_the_oldest_result_has_an_address_a_family() -> None:
    result = NetResult.from_json(OLD, "")
    assert [str(each.address) for each in result.addresses] == ["10.1.0.2", "fd00::2"]
    assert result.to_json("0.2.0") == OLD
    assert NetResult.from_json(NOW, "").to_json("0.1.0")["ip4"] == OLD["ip4"]


def test_addresses_of_the_pod_are_not_those_of_the_host() -> None:
    result = NetResult.from_json(NOW, "")
    assert [str(each.address) for each in result.addresses] == ["10.1.0.2", "fd00::2"]
    # What names no interface, or none that is there, is the pod's: IPAM names none.
    told = NetResult.from_json(
        {"ips": [{"address": "10.0.0.2/8"}, {"address": "10.0.0.3/8", "interface": 7}]}, ""
    )
    assert [str(each.address) for each in told.addresses] == ["10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ([], "a"),
        ({"ips": {}}, r"a\.ips"),
        ({"ips": [7]}, r"a\.ips\[0\]"),
        ({"ips": [{"address": "10.0.0.2"}]}, r"a\.ips\[0\]\.address"),
        ({"ips": [{"address": "10.0.0.2/24", "interface": "eth0"}]}, r"a\.ips\[0\]\.interface"),
        ({"ips": [{"address": "10.0.0.2/24", "gateway": "fd00::1"}]}, r"a\.ips\[0\]\.gateway"),
        ({"routes": [{"dst": "here"}]}, r"a\.routes\[0\]\.dst"),
        ({"routes": [{"dst": "10.0.0.0/8", "mtu": True}]}, r"a\.routes\[0\]\.mtu"),
        ({"interfaces": [{"name": 7}]}, r"a\.interfaces\[0\]\.name"),
        ({"ip4": {"ip": "x"}}, r"a\.ip4\.ip"),
        ({"dns": {"search": "x.org"}}, r"a\.dns\.search"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(answer: object, place: str) -> None:
    with pytest.raises(InvalidSpec, match=f"^{place}: "):
        NetResult.from_json(answer, "a")
