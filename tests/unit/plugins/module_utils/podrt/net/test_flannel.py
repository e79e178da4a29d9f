# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What a network of type flannel stands for."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec, NotFound
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import ChosenNet, NetConf
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.flannel import HostSubnet, delegate_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.programs import find_delegates

ENV = """FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
ENV6 = ENV + 'FLANNEL_IPV6_NETWORK="fd00:244::/48"\nFLANNEL_IPV6_SUBNET=fd00:244:0:1::1/64\n'
IPAM = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.244.1.0/24"}]],
    "routes": [{"dst": "10.244.0.0/16"}],
}


def delegate(text: str = ENV, **members: object) -> dict[str, object]:
    conf = NetConf.parse(
        json.dumps({"name": "f", "type": "flannel", **members}).encode(), "f.conf", "/etc/net.d"
    )
    made = delegate_of(conf, HostSubnet.parse(text, "subnet.env"))
    assert (made.name, made.file_name, made.directory) == ("f", "f.conf", "/etc/net.d")
    found = json.loads(made.raw)
    assert (found.pop("name"), found.pop("cniVersion")) == ("f", "0.1.0")
    return dict(found)


@pytest.mark.behaviour("E19")
def test_a_delegate_gets_what_it_lacks() -> None:
    assert delegate() == {"type": "bridge", "isGateway": True, "ipMasq": False, "mtu": 1450, "ipam": IPAM}
    assert delegate(delegate={"type": "ptp"}) == {"type": "ptp", "ipMasq": False, "mtu": 1450, "ipam": IPAM}
    assert delegate(ENV.replace("true", "false"), delegate={})["ipMasq"] is True


@pytest.mark.behaviour("E19")
def test_what_a_delegate_says_stays() -> None:
    ipam = {"type": "host-local", "subnet": "10.9.0.0/24"}
    given = {"bridge": "br9", "ISGATEWAY": False, "ipMasq": True, "mtu": 1400, "ipam": ipam}
    assert delegate(delegate=given) == {"type": "bridge", **given}


def test_a_host_may_have_a_subnet_of_each_family() -> None:
    found = delegate(ENV6)["ipam"]
    assert found == {
        "type": "host-local",
        "ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:244:0:1::/64"}]],
        "routes": [{"dst": "10.244.0.0/16"}, {"dst": "fd00:244::/48"}],
    }


def test_the_plugins_after_it_and_other_members_stay() -> None:
    text = json.dumps(
        {
            "name": "f",
            "cniVersion": "1.0.0",
            "disableCheck": True,
            "Plugins": [{"type": "flannel", "delegate": {"type": "ptp"}}, {"type": "tuning", "mtu": 1300}],
        }
    )
    conf = NetConf.parse(text.encode(), "f.conflist", "/etc/net.d")
    made = delegate_of(conf, HostSubnet.parse(ENV, "subnet.env"))
    assert [plugin.type for plugin in made.plugins] == ["ptp", "tuning"]
    assert (made.cni_version, made.checked, made.main.link.mtu) == ("1.0.0", False, 1450)


def test_capabilities_are_those_of_the_delegate() -> None:
    assert delegate(capabilities={"portMappings": True})["capabilities"] == {"portMappings": True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "says no FLANNEL_SUBNET and FLANNEL_NETWORK"),
        (ENV.replace("FLANNEL_NETWORK", "OTHER"), "says no FLANNEL_SUBNET and FLANNEL_NETWORK"),
        (ENV.replace("1450", "many"), "says no FLANNEL_MTU"),
        (ENV.replace("true", "maybe"), "says no FLANNEL_IPMASQ"),
        (ENV.replace("10.244.1.1/24", "10.244.1.1"), "10.244.1.1"),
        (ENV.replace("10.244.1.1/24", "10.244.1.1/99"), "10.244.1.1/99"),
    ],
)
def test_a_file_that_is_incomplete_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        HostSubnet.parse(text, "subnet.env")


@pytest.mark.parametrize("given", [{"type": "flannel"}, "bridge", {"type": 7}])
def test_a_delegate_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(InvalidSpec):
        delegate(delegate=given)


def chosen(path: pathlib.Path) -> ChosenNet:
    text = json.dumps({"name": "f", "type": "flannel", "subnetFile": str(path)})
    return ChosenNet(NetConf.parse(text.encode(), "f.conf"), where="networks[0]")


def test_the_file_is_read_before_anything_is_planned(tmp_path: pathlib.Path) -> None:
    paths = Paths(str(tmp_path / "data"), str(tmp_path / "etc"), str(tmp_path / "usr"))
    other = ChosenNet(NetConf.parse(b'{"name": "p", "type": "ptp"}', "p.conf"))
    path = tmp_path / "subnet.env"
    with pytest.raises(
        NotFound, match=r'network "f" needs .*subnet.env, which flannel has not written'
    ) as caught:
        find_delegates([other, chosen(path)], paths)
    assert caught.value.facts["where"] == "networks[0]"
    path.write_text("FLANNEL_MTU=1")
    with pytest.raises(InvalidSpec) as refused:
        find_delegates([chosen(path)], paths)
    assert refused.value.facts["where"] == "networks[0]"
    path.write_text(ENV)
    first, second = find_delegates([other, chosen(path)], paths)
    assert (first, second.conf.type, second.where) == (other, "bridge", "networks[0]")


def test_a_program_of_the_administrator_goes_before(tmp_path: pathlib.Path) -> None:
    paths = Paths(str(tmp_path / "data"), str(tmp_path / "etc"), str(tmp_path / "usr"))
    net = chosen(tmp_path / "missing")
    program = pathlib.Path(paths.plugin_dirs[0]) / "flannel"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_delegates([net], paths) == (net,)
