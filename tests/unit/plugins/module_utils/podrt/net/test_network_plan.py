# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors in the networks of a pod are found before anything is touched."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Conflict,
    InvalidSpec,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import Address
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import (
    NetConf,
    choose,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.network_plan import (
    HostFacts,
    NetworkPlan,
    compare_with_host,
    network_plan,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.programs import PluginPrograms
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.reach import unreached_here
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import PortForward, forwards_of

LOCAL = '"ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}'
STATIC = '"ipam": {"type": "static", "addresses": [{"address": "10.5.0.2/24", "gateway": "10.5.0.1"}]}'
NETS = {
    "ptp": f'"type": "ptp", {LOCAL}',
    "br": f'"type": "bridge", "bridge": "br7", "isGateway": true, {LOCAL.replace("10.1", "10.2")}',
    "plain": f'"type": "bridge", "bridge": "br8", {LOCAL.replace("10.1", "10.3")}',
    "masq": f'"type": "ptp", "ipMasq": true, {LOCAL.replace("10.1", "10.4")}',
    "again": f'"type": "ptp", {LOCAL}',
    "six": '"type": "ptp", "ipam": {"type": "host-local", "subnet": "fd00::/64"}',
    "fix": f'"type": "ptp", {STATIC}',
    "nogw": f'"type": "ptp", {STATIC}'.replace(', "gateway": "10.5.0.1"', ""),
    "empty": '"type": "ptp", "ipam": {"type": "static"}',
    "none6": '"type": "ptp"',
    "far": f'"type": "teleport", {LOCAL}',
    "lease": '"type": "ptp", "ipam": {"type": "whereabouts"}',
    "dhcp": '"type": "ptp", "ipam": {"type": "dhcp"}',
    "lan": f'"type": "macvlan", "master": "up0", {LOCAL.replace("10.1", "10.7")}',
    "tag": f'"type": "vlan", "master": "up0", "vlanId": 7, {LOCAL.replace("10.1", "10.8")}',
    "dev": f'"type": "host-device", "device": "up0", {STATIC}',
    "out": f'"type": "bridge", "bridge": "br7", "isDefaultGateway": true, {LOCAL}',
    "both": '"type": "ptp", "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": '
    '[[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}',
    "some": f'"type": "ptp", {LOCAL[:-1]}, "routes": [{{"dst": "192.0.2.0/24"}}]}}',
    "ra": '"type": "ptp", "acceptRA": true, "ipam": {"type": "host-local", "subnet": "fd00::/64"}',
    "args": f'"type": "bridge", "args": {{"cni": {{"ips": ["10.5.0.7/24"]}}}}, {STATIC}',
    "br6": '"type": "bridge", "bridge": "br7", "ipam": {"type": "host-local", "subnet": "fd00::/64"}',
    "br46": '"type": "bridge", "bridge": "br7", "ipam": {"type": "host-local", "ranges": '
    '[[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}',
    "hair": f'"type": "bridge", "bridge": "br7", "hairpinMode": true, {LOCAL.replace("10.1", "10.6")}',
}
CONFS = tuple(
    NetConf.parse(f'{{"name": "{name}", {members}}}'.encode(), f"{index:02}-{name}.conf", "/etc/pods/net.d")
    for index, (name, members) in enumerate(NETS.items())
)
HTTP = PortForward("tcp", None, 8080, 80)


def plan(text: str, *forwards: PortForward) -> NetworkPlan:
    programs = PluginPrograms((("dialup", "/opt/cni/bin/dialup"),), ("/etc/pods/net.d",))
    return network_plan(choose(CONFS, parse_requests(text), "networks"), forwards, programs)


def warned(wanted: NetworkPlan, facts: HostFacts) -> tuple[str, ...]:
    return (*compare_with_host(wanted, facts), *unreached_here(wanted, facts))


def at(host_ip: str) -> PortForward:
    return PortForward("tcp", host_ip, 8080, 80)


@pytest.mark.finding("pods-F4")
@pytest.mark.parametrize(
    ("text", "believing", "said"), [("br", "br7", 1), ("br", "br8", 0), ("ptp", "br7", 0)]
)
def test_a_bridge_of_the_host_that_believes_routers_is_told_of(text: str, believing: str, said: int) -> None:
    facts = HostFacts((("br7", "bridge"), ("br8", "bridge")), (), (believing,))
    found = warned(plan(text), facts)
    assert len(found) == said
    assert all(f"net.ipv6.conf.{believing}.accept_ra" in sentence for sentence in found)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("fix", [("10.5.0.2/24", "10.5.0.1")]),
        ("fix:IP=10.5.0.9/24;GATEWAY=10.5.0.1", [("10.5.0.2/24", "10.5.0.1"), ("10.5.0.9/24", "10.5.0.1")]),
        ("fix:IP=10.5.0.2/24", [("10.5.0.2/24", "10.5.0.1")]),
        ("args", [("10.5.0.7/24", "None")]),
    ],
)
def test_static_addresses_are_those_that_are_fixed_and_those_that_are_asked_for(
    text: str, addresses: list[tuple[str, str]]
) -> None:
    (attachment,) = plan(text).attachments
    found = attachment.likely.ips
    assert [(f"{each.address}/{each.prefix}", str(each.gateway)) for each in found] == addresses


@pytest.mark.finding("review-B7", "use-N13")
@pytest.mark.parametrize(
    ("text", "forwards", "family", "where", "message"),
    [
        ("far", (), NotFound, "networks[0]", 'Could not find plugin "teleport"'),
        ("ptp,lease", (), NotFound, "networks[1]", 'Could not find plugin "whereabouts"'),
        ("ptp:IP=10.9.0.4", (), InvalidSpec, "networks[0]", "10.9.0.4 not in network: 10.1.0.0/24"),
        ("br,ptp:IP=10.1.0.1", (), InvalidSpec, "networks[1]", "requested IP must differ gateway IP"),
        ("ptp:IP=x", (), InvalidSpec, "networks[0]", '"x" is not an IP address'),
        ("ptp:color=red", (), InvalidSpec, "networks[0]", r"unknown args \[color=red\]"),
        ("ptp:color=red;IgnoreUnknown=no", (), InvalidSpec, "networks[0]", "unknown args"),
        ("fix:IP=10.5.0.9", (), InvalidSpec, "networks[0]", "its addresses are fixed"),
        ("fix:IP=10.5.0.9", (), InvalidSpec, "networks[0]", "needs its prefix length"),
        ("fix:IP=10.5.0.9/33", (), InvalidSpec, "networks[0]", "not an address with a prefix length"),
        ("fix:IP=10.6.0.9/24", (), InvalidSpec, "networks[0]", "needs a gateway"),
        ("fix:GATEWAY=10.6.0.1", (), InvalidSpec, "networks[0]", "it is in the subnet of no address"),
        ("fix:GATEWAY=x", (), InvalidSpec, "networks[0]", '"x" is not an IP address'),
        ("args:IP=10.5.0.9/24", (), InvalidSpec, "networks[0]", "args.cni.ips of .* has its addresses"),
        ("ptp:GATEWAY=10.1.0.9", (), InvalidSpec, "networks[0]", "those of its addresses are known"),
        ("ptp:IP=10.1.0.9/16", (), InvalidSpec, "networks[0]", "its subnet is 10.1.0.0/24"),
        ("nogw", (), InvalidSpec, "networks[0]", "needs a gateway"),
        ("empty", (), InvalidSpec, "networks[0]", "gives no address"),
        ("none6", (), InvalidSpec, "networks[0]", "gives no address"),
        ("dhcp", (), InvalidSpec, "networks[0]", "cannot have addresses from DHCP"),
        ("ptp:IP6=10.1.0.7", (), InvalidSpec, "networks[0]", "is not an IPv6 address"),
        ("ptp:IP6=fd00::7", (), InvalidSpec, "networks[0]", "fd00::7 not in network"),
        ("six:IP=fd00::7;IP6=fd00::8", (), InvalidSpec, "networks[0]", "are both IPv6 addresses"),
        ("ptp:MAC=01-00-00-00-00-01", (), InvalidSpec, "networks[0]", "is not the MAC address"),
        ("ptp:IFNAME=lo", (), InvalidSpec, "networks[0]", '"lo" is not a name for an interface'),
        ("ptp:IFNAME=a/b", (), InvalidSpec, "networks[0]", '"a/b" is not a name for an interface'),
        ("ptp,br:IFNAME=eth0", (), InvalidSpec, "networks[1]", 'two interfaces of the pod are named "eth0"'),
        (
            "six",
            (at("192.0.2.1"),),
            InvalidSpec,
            "ports",
            'needs an IPv4 address of the pod, and network "six"',
        ),
    ],
)
def test_what_cannot_be_joined_is_told_with_its_option(
    text: str, forwards: tuple[PortForward, ...], family: type[PodError], where: str, message: str
) -> None:
    with pytest.raises(family, match=message) as caught:
        plan(text, *forwards)
    assert caught.value.facts["where"] == where


def forwarded(*ports: dict[str, object]) -> tuple[str, ...]:
    """The host ports of a pod whose app has http, a range, and one whose socket is passed to it."""
    named = [
        {"name": "http", "protocol": "tcp", "port": 80},
        {"name": "many", "protocol": "udp", "port": 9000, "count": 3},
        {"name": "passed", "protocol": "tcp", "port": 70, "socketActivated": True},
    ]
    app = {"exec": ["/bin/true"], "user": "0", "group": "0", "ports": named}
    manifest = PodManifest.from_json(
        {
            "acKind": "PodManifest",
            "acVersion": "0.8.11",
            "apps": [{"name": "a", "image": {"id": "sha512-" + "0" * 64}, "app": app}],
            "ports": list(ports),
        }
    )
    return tuple(f"{forward} {forward.pod_port}" for forward in forwards_of(manifest))


@pytest.mark.parametrize(
    ("port", "forwards"),
    [
        ({"name": "http", "hostPort": 8080}, ("8080/tcp 80",)),
        ({"name": "many", "hostPort": 8000}, ("8000/udp 9000", "8001/udp 9001", "8002/udp 9002")),
        ({"name": "passed", "hostPort": 8070}, ()),
        ({"name": "53-udp", "hostPort": 5353, "port": 53, "protocol": "udp"}, ("5353/udp 53",)),
        (
            {"name": "x", "hostPort": 80, "hostIP": "192.0.2.1", "port": 90, "count": 2},
            ("192.0.2.1:80/tcp 90", "192.0.2.1:81/tcp 91"),
        ),
    ],
)
def test_ports_of_the_host_lead_to_ports_by_name_or_number(
    port: dict[str, object], forwards: tuple[str, ...]
) -> None:
    assert forwarded(port) == forwards


@pytest.mark.finding("review-B7")
def test_a_port_on_an_address_of_a_family_that_the_pod_has_not_is_refused() -> None:
    with pytest.raises(
        InvalidSpec, match=r"port \[::\]:8080/tcp needs an IPv6 address .*\"ptp\" gives none"
    ) as caught:
        plan("ptp", at("::"))
    assert caught.value.where == "ports"


@pytest.mark.parametrize(
    ("text", "forwards", "filters", "said"),
    [
        ("br", (HTTP,), (32,), "net.bridge.bridge-nf-call-iptables on"),
        ("br", (HTTP,), (32, 128), "net.bridge.bridge-nf-call-iptables on"),
        ("br", (HTTP,), (128,), ""),
        ("br", (HTTP,), (), ""),
        ("br", (), (32,), ""),
        ("ptp", (HTTP,), (32,), ""),
        ("hair", (HTTP,), (32,), ""),
        ("br6", (HTTP,), (32, 128), "net.bridge.bridge-nf-call-ip6tables on"),
        ("br46", (HTTP,), (128,), "net.bridge.bridge-nf-call-ip6tables on"),
        (
            "br46",
            (HTTP,),
            (32, 128),
            "net.bridge.bridge-nf-call-iptables and net.bridge.bridge-nf-call-ip6tables on",
        ),
        ("br46", (at("10.9.9.9"),), (32, 128), "net.bridge.bridge-nf-call-iptables on"),
        ("br46", (at("0.0.0.0"),), (128,), ""),
    ],
)
def test_a_pod_on_a_bridge_that_does_not_reach_itself_is_told(
    text: str, forwards: tuple[PortForward, ...], filters: tuple[int, ...], said: str
) -> None:
    facts = HostFacts((("br7", "bridge"),), filters_bridges=filters)
    found = [
        each
        for each in warned(plan(text, *forwards), facts)
        if "does not reach its own ports through the host" in each
    ]
    assert len(found) == bool(said)
    assert all(f", which has {said}: " in each for each in found)


@pytest.mark.parametrize(
    ("host_ip", "said"),
    [(None, 0), ("::", 0), ("fd01::9", 0), ("::1", 1), ("0::1", 1), ("fe80::1", 1)],
    ids=str,
)
def test_a_port_on_an_address_that_ipv6_does_not_route_is_told(host_ip: str | None, said: int) -> None:
    facts = HostFacts((("lan", ""),), (("lan", Address.parse("fd01::9"), 64),))
    forward = PortForward("tcp", host_ip and str(Address.parse(host_ip)), 8080, 80)
    found = warned(plan("six", forward), facts)
    assert sum("are out of reach: IPv6 routes no packet" in each for each in found) == said


@pytest.mark.behaviour("E22")
@pytest.mark.parametrize(
    ("text", "host_ip", "said"),
    [
        ("lan", None, '"lan" of type macvlan and are out of reach'),
        ("lan", "127.0.0.1", '"lan" of type macvlan and are out of reach'),
        ("masq,lan", None, '"masq", whose pods have no route to other hosts: these get no answer; '),
        ("lan,out", None, ""),
        ("tag", None, '"tag" of type vlan and are out of reach'),
        ("dev", None, '"dev" of type host-device and are out of reach'),
        ("br", None, '"br", whose pods have no route to other hosts: these get no answer; '),
        ("br", "127.0.0.1", ""),
        ("ptp", "192.0.2.1", '"ptp", whose pods have no route to other hosts'),
        ("some", "192.0.2.1", ""),
        ("both", None, '"both", whose pods have no route to other hosts: these get no answer over IPv6'),
        ("both", "0.0.0.0", ""),
        ("both", "::", '"both", whose pods have no route to other hosts: these get no answer; '),
        ("ra", None, ""),
    ],
)
def test_ports_that_lead_where_no_client_gets_an_answer_are_told(
    text: str, host_ip: str | None, said: str
) -> None:
    wanted = plan(text, PortForward("tcp", host_ip, 8080, 80))
    facts = HostFacts((("up0", ""),), (("up0", Address.parse("192.0.2.1"), 24),))
    found = [each for each in warned(wanted, facts) if each.startswith("ports lead to")]
    assert len(found) == bool(said) and all(said in each for each in found), found
    assert not [each for each in warned(plan(text), facts) if "ports" in each]


@pytest.mark.finding("use-N13")
def test_an_unknown_network_is_not_found_at_its_place() -> None:
    with pytest.raises(NotFound, match="networks not found: x, y") as caught:
        plan("ptp,x,y")
    assert caught.value.facts["where"] == "networks[1]"
    assert "define them with pod_network" in caught.value.hint and "known are " in caught.value.hint
    assert "ptp" in caught.value.hint.partition("known are ")[2]


def test_a_file_that_is_wrong_is_named_beside_the_option() -> None:
    with pytest.raises(InvalidSpec, match=r"^networks\[0\]: 08-empty\.conf: network"):
        plan("empty")


@pytest.mark.behaviour("E9")
@pytest.mark.parametrize("name", ["far", "lease"])
def test_an_unknown_type_is_named_with_the_places_looked_in(name: str) -> None:
    with pytest.raises(NotFound, match=r"^Could not find plugin .*/etc/pods/net\.d"):
        plan(name)


BEYOND = (
    ({"type": "bridge", "vlan": 100, "disableContainerInterface": True}, "disableContainerInterface"),
    ({"type": "bridge", "macspoofchk": True, "vlan": 0}, "macspoofchk"),
    ({"type": "portmap", "conditionsV4": ["!", "-d", "192.0.2.0/24"]}, "conditionsV4"),
    ({"type": "portmap", "snat": False}, "snat"),
    ({"type": "portmap", "masqAll": True, "externalSetMarkChain": "MARK"}, "externalSetMarkChain"),
    ({"type": "bandwidth", "unshapedSubnets": ["10.0.0.0/8"]}, "unshapedSubnets"),
    ({"type": "firewall", "ingressPolicy": "same-bridge"}, "ingressPolicy"),
    ({"type": "firewall", "ingressPolicy": "open", "iptablesAdminChainName": "X"}, "iptablesAdminChainName"),
)


def plan_of(programs: PluginPrograms, *plugins: dict[str, object]) -> NetworkPlan:
    first = plugins if plugins[0]["type"] == "bridge" else ({"type": "bridge"}, *plugins)
    addressed = [{"ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}, **first[0]}, *first[1:]]
    text = json.dumps({"name": "n", "cniVersion": "1.0.0", "plugins": addressed})
    conf = NetConf.parse(text.encode(), "n.conflist", "/etc/pods/net.d")
    return network_plan(choose((conf,), parse_requests("n"), "networks"), (), programs)


@pytest.mark.behaviour("E9", "E11")
@pytest.mark.parametrize(("plugin", "member"), BEYOND, ids=[member for _plugin, member in BEYOND])
def test_members_that_are_not_built_in_need_the_program_of_their_type(
    plugin: dict[str, object], member: str
) -> None:
    kind = str(plugin["type"])
    with pytest.raises(NotFound, match=f'plugin "{kind}"') as caught:
        plan_of(PluginPrograms(), plugin)
    assert f"what is built in of {kind} has no {member}: take it out" in caught.value.hint
    found = plan_of(PluginPrograms(fuller=((kind, f"/opt/cni/bin/{kind}"),)), plugin)
    assert found.attachments[0].conf.plugins[-1].program == f"/opt/cni/bin/{kind}"
    # What asks for nothing more stays built in, although the program is there.
    plain = plan_of(PluginPrograms(fuller=((kind, f"/opt/cni/bin/{kind}"),)), {**plugin, member: None})
    assert plain.attachments[0].conf.plugins[-1].is_built_in


@pytest.mark.behaviour("E11")
def test_name_servers_of_a_file_need_the_program_of_host_local() -> None:
    ipam = {"type": "host-local", "subnet": "10.1.0.0/24", "resolvConf": "/etc/resolv.conf"}
    bridge = {"type": "bridge", "ipam": ipam}
    with pytest.raises(NotFound, match='plugin "host-local"') as caught:
        plan_of(PluginPrograms(), bridge)
    assert "has no resolvConf" in caught.value.hint
    found = plan_of(PluginPrograms(fuller=(("host-local", "/opt/cni/bin/host-local"),)), bridge)
    (plugin,) = found.attachments[0].conf.plugins
    assert (plugin.program, plugin.ipam_program) == ("", "/opt/cni/bin/host-local")


def test_static_addresses_may_have_name_servers() -> None:
    ipam = {"type": "static", "addresses": [{"address": "10.5.0.2/24"}], "dns": {"nameservers": ["10.5.0.1"]}}
    (attachment,) = plan_of(PluginPrograms(), {"type": "bridge", "ipam": ipam}).attachments
    assert attachment.conf.main.dns.nameservers == ("10.5.0.1",)
    dns = {"nameservers": ["10.5.0.9"]}
    (attachment,) = plan_of(PluginPrograms(), {"type": "bridge", "ipam": ipam, "dns": dns}).attachments
    assert attachment.conf.main.dns.nameservers == ("10.5.0.9",)


@pytest.mark.parametrize("found", ["found", "fuller"])
def test_a_program_does_not_take_the_place_of_what_isolates_pods(found: str) -> None:
    programs = PluginPrograms(**{found: (("bridge", "/opt/cni/bin/bridge"),)})
    plugin = {"type": "bridge", "isolated": True, **({"macspoofchk": True} if found == "fuller" else {})}
    with pytest.raises(InvalidSpec, match="isolated"):
        plan_of(programs, plugin)


def test_a_trunk_cannot_be_isolated() -> None:
    with pytest.raises(InvalidSpec, match="cannot be isolated: frames of vlanTrunk have tags"):
        plan_of(PluginPrograms(), {"type": "bridge", "isolated": True, "vlanTrunk": [{"id": 7}]})
    assert plan_of(PluginPrograms(), {"type": "bridge", "isolated": True, "vlan": 7}).attachments


def test_another_address_on_the_interface_of_a_vlan_is_in_the_way_and_none_on_the_bridge() -> None:
    found = plan_of(PluginPrograms(), {"type": "bridge", "isGateway": True, "vlan": 7})
    other = Address.parse("10.1.0.9"), 24
    assert warned(found, HostFacts((("cni0", "bridge"),), (("cni0", *other),))) == ()
    with pytest.raises(Conflict, match=r'"cni0\.7" already has an IP address different from 10\.1\.0\.1/24'):
        warned(found, HostFacts((("cni0.7", "veth"),), (("cni0.7", *other),)))


@pytest.mark.behaviour("E14")
def test_unknown_arguments_pass_where_they_are_to_be_ignored() -> None:
    (attachment,) = plan("ptp:color=red;IgnoreUnknown=1;IP=10.1.0.7").attachments
    assert attachment.args.ips == (Address.parse("10.1.0.7"),)


@pytest.mark.behaviour("E22")
@pytest.mark.parametrize(
    ("text", "name"), [("ptp,br", "br"), ("br,ptp", "br"), ("masq,again", "masq"), ("ptp,masq", "masq")]
)
def test_ports_lead_to_the_first_network_with_masquerading_else_to_the_last(text: str, name: str) -> None:
    found = plan(text, HTTP)
    assert found.attachments[found.target].conf.name == name


@pytest.mark.parametrize(("text", "count"), [("none", 0), ("host", 0), ("ptp", 1), ("ptp,br,masq", 3)])
def test_interfaces_are_numbered_in_order(text: str, count: int) -> None:
    assert [found.index for found in plan(text).attachments] == list(range(count))


@pytest.mark.finding("review-B7")
@pytest.mark.parametrize("name", ["br", "plain"])
def test_a_link_that_is_no_bridge_is_in_the_way(name: str) -> None:
    link = {"br": "br7", "plain": "br8"}[name]
    with pytest.raises(Conflict, match="is not a bridge"):
        warned(plan(name), HostFacts(((link, "dummy"),)))
    assert warned(plan(name), HostFacts(((link, "bridge"),))) == ()


@pytest.mark.finding("review-B7")
def test_another_address_on_the_bridge_is_in_the_way() -> None:
    held = (("br7", Address.parse("10.2.0.9"), 24),)
    with pytest.raises(Conflict, match=r"already has an IP address different from 10\.2\.0\.1/24"):
        warned(plan("br"), HostFacts((("br7", "bridge"),), held))
    right = (("br7", Address.parse("10.2.0.1"), 24),)
    assert warned(plan("br"), HostFacts((("br7", "bridge"),), right)) == ()


@pytest.mark.parametrize(
    ("text", "links", "addresses", "said"),
    [
        ("ptp,again", (), (), 'the networks "ptp" and "again" have addresses in common'),
        (
            "ptp",
            (("lan", ""),),
            (("lan", "10.1.0.77", 24),),
            "holds an address of this host, 10.1.0.77 of lan",
        ),
        ("ptp", (("v", "veth"),), (("v", "10.1.0.1", 32),), ""),
        ("ptp,br", (), (), ""),
    ],
)
def test_subnets_that_overlap_are_told(
    text: str, links: tuple[tuple[str, str], ...], addresses: tuple[tuple[str, str, int], ...], said: str
) -> None:
    held = tuple((link, Address.parse(address), prefix) for link, address, prefix in addresses)
    found = warned(plan(text), HostFacts(links, held))
    assert bool(found) is bool(said)
    assert all(said in sentence for sentence in found)


@pytest.mark.finding("review-B7")
@pytest.mark.parametrize(
    ("host_ip", "said"),
    [("192.0.2.1", False), ("127.0.0.1", False), ("127.0.0.9", False), ("192.0.2.9", True)],
)
def test_a_port_on_an_address_that_is_not_the_hosts_is_told(host_ip: str, said: bool) -> None:
    facts = HostFacts((("lan", ""),), (("lan", Address.parse("192.0.2.1"), 24),))
    found = warned(plan("ptp", at(host_ip)), facts)
    assert any("is not an address of this host" in each for each in found) is said
