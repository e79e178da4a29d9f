# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The nftables table as text."""

from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import (
    Address,
    Subnet,
    parse_prefixed,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.elements import FORWARDS_AT, Element
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.guard import guards_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.result import (
    NetResult,
    result_of_addresses,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import (
    PodRules,
    PortForward,
    TableState,
    forward_targets,
    held_of,
    holders_of,
    on_record,
    parse_table,
    removal_of,
    rules_of,
    rules_of_record,
)

POD = Address.parse("10.0.0.2")
NET = Subnet.parse("10.0.0.0/24")
SOURCE = Element("sources", ("10.0.0.2",), "jump masq_10_0_0_0_24", "u1")
OTHER = Element("sources", ("10.0.0.3",), "jump masq_10_0_0_0_24", "u2")


def gives(*texts: str) -> NetResult:
    return result_of_addresses(tuple(Assigned(*parse_prefixed(text)) for text in texts))


def rules(*forwards: PortForward) -> PodRules:
    return rules_of("u1", [(POD, NET, True)], forwards, [POD])


def test_a_pod_adds_elements_that_carry_its_uuid() -> None:
    found = rules(PortForward("tcp", None, 8080, 80), PortForward("udp", "192.0.2.1", 53, 5353))
    assert found.additions.splitlines() == [
        'add element ip stagecraft_pods sources { 10.0.0.2 comment "u1" : jump masq_10_0_0_0_24 }',
        'add element ip stagecraft_pods forwarded { 10.0.0.2 comment "u1" }',
        'add element ip stagecraft_pods forwards { tcp . 8080 comment "u1" : 10.0.0.2 . 80 }',
        'add element ip stagecraft_pods forwards_at { 192.0.2.1 . udp . 53 comment "u1" : 10.0.0.2 . 5353 }',
    ]


@pytest.mark.behaviour("E20")
@pytest.mark.parametrize("masquerade", [True, False])
def test_only_masqueraded_subnets_hide_behind_the_host(masquerade: bool) -> None:
    (chain,) = rules_of("u1", [(POD, NET, masquerade)], (), ()).chains
    assert ("ip daddr != 224.0.0.0/4 masquerade" in chain.definition) is masquerade
    assert "ip daddr 10.0.0.0/24 accept" in chain.definition


def test_everything_can_be_run_any_number_of_times() -> None:
    text = rules().everything
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["add", "rule"]:
            assert f"flush chain {' '.join(words[2:5])}" in text


@pytest.mark.parametrize("uuid", ['a" : drop }', "", "a\nb"])
def test_a_uuid_cannot_smuggle_commands(uuid: str) -> None:
    with pytest.raises(InvalidSpec):
        rules_of(uuid, [(POD, NET, True)], (), ())


@pytest.mark.parametrize(
    "forward",
    [("dccp", None, 1, 1), ("tcp", None, 0, 1), ("tcp", None, 1, 65536)],
    ids=["protocol", "host port", "pod port"],
)
def test_a_forward_that_makes_no_sense_is_refused(forward: tuple[str, None, int, int]) -> None:
    with pytest.raises(InvalidSpec):
        PortForward(*forward)


POD6, NET6 = Address.parse("fd00:78::2"), Subnet.parse("fd00:78::/64")
BOTH = [(POD, NET, True), (POD6, NET6, True)]


@pytest.mark.parametrize(
    ("host_ip", "expected"),
    [
        (
            None,
            (
                'ip stagecraft_pods forwards { tcp . 80 comment "u1" : 10.0.0.2 . 8080 }',
                'ip6 stagecraft_pods forwards { tcp . 80 comment "u1" : fd00:78::2 . 8080 }',
            ),
        ),
        ("0.0.0.0", ('ip stagecraft_pods forwards { tcp . 80 comment "u1" : 10.0.0.2 . 8080 }',)),
        ("::", ('ip6 stagecraft_pods forwards { tcp . 80 comment "u1" : fd00:78::2 . 8080 }',)),
        (
            "2001:DB8:0::1",
            ('ip6 stagecraft_pods forwards_at { 2001:db8::1 . tcp . 80 comment "u1" : fd00:78::2 . 8080 }',),
        ),
    ],
)
def test_a_port_is_published_over_the_family_of_its_address(
    host_ip: str | None, expected: tuple[str, ...]
) -> None:
    found = rules_of("u1", BOTH, [PortForward("tcp", host_ip, 80, 8080)], [POD, POD6])
    forwards = [each for each in found.elements if each.container.startswith("forwards")]
    assert tuple(each.addition for each in forwards) == tuple(f"add element {each}\n" for each in expected)


def test_ipv6_has_a_table_of_its_own_which_only_pods_with_ipv6_make() -> None:
    assert "ip6 stagecraft_pods" not in rules(PortForward("tcp", None, 80, 80)).everything
    found = rules_of("u1", BOTH, (), ())
    assert "add table ip6 stagecraft_pods\n" in found.everything
    assert (
        "add rule ip6 stagecraft_pods masq6_fd00_78___64 ip6 daddr != ff00::/8 masquerade" in found.everything
    )
    assert found.elements[-1].addition == (
        'add element ip6 stagecraft_pods sources { fd00:78::2 comment "u1" : jump masq6_fd00_78___64 }\n'
    )


def test_the_last_pod_with_ipv6_takes_its_table() -> None:
    elements = rules_of("u1", BOTH, [PortForward("tcp", "::", 80, 80)], [POD, POD6]).elements
    chains = ("early", "masq_10_0_0_0_24", "masq6_fd00_78___64")
    other6 = Element("sources", ("fd00:78::3",), "jump masq6_fd00_78___64", "u2", True)
    assert removal_of(TableState((*elements, OTHER), chains), "u1").splitlines() == [
        "delete element ip stagecraft_pods sources { 10.0.0.2 }",
        "add table ip6 stagecraft_pods",
        "delete table ip6 stagecraft_pods",
    ]
    assert removal_of(TableState((*elements, OTHER, other6), chains), "u1").splitlines() == [
        "delete element ip stagecraft_pods sources { 10.0.0.2 }",
        "delete element ip6 stagecraft_pods sources { fd00:78::2 }",
        "delete element ip6 stagecraft_pods forwards { tcp . 80 }",
    ]
    assert removal_of(TableState((*elements, other6), chains), "u1").splitlines()[-1] == (
        "delete chain ip stagecraft_pods masq_10_0_0_0_24"
    )


def test_the_record_says_which_ports_a_pod_holds() -> None:
    row = [PortForward("udp", "127.0.0.1", 9000 + number, 53 + number) for number in range(3)]
    forwards = [PortForward("tcp", None, 80, 8080), *row, PortForward("udp", None, 9003, 56)]
    held = held_of(forwards)
    assert [each.count for each in held] == [1, 3, 1]
    info = ENDS[0].replace(forwards=held)
    assert NetInfo.from_json(info.to_json(), "") == info
    assert on_record([info, ENDS[1]], ()) == tuple(forwards)
    assert on_record(ENDS, forwards) == tuple(forwards)
    assert on_record([info.replace(forwards=())], forwards) == ()
    given_up = rules_of_record("u1", [info.replace(forwards=())], forwards)
    assert not [each for each in given_up.elements if each.container.startswith("forward")]


def test_a_pod_of_an_earlier_release_has_no_rules_for_ipv6() -> None:
    written = ENDS[0].replace(ip_masq=True, guarded=False).to_json()
    del written["rules"]
    old = NetInfo.from_json(written, "")
    forward = PortForward("tcp", None, 80, 80)
    assert [each.six for each in rules_of_record("u1", [ENDS[0]], [forward]).elements].count(True) == 2
    assert not any(each.six for each in rules_of_record("u1", [old], [forward]).elements)


@pytest.mark.finding("pods-F6")
@pytest.mark.parametrize(
    ("host_ip", "found"), [(None, True), ("127.0.0.1", True), ("127.1.2.3", True), ("192.0.2.1", False)]
)
def test_only_what_is_published_on_the_loopback_address_needs_to_be_let_in(
    host_ip: str | None, found: bool
) -> None:
    forward = PortForward("tcp", host_ip, 80, 8080)
    assert forward.on_loopback is found
    state = TableState(rules(forward).elements)
    assert forward_targets(state, "u2") == ((POD,) if found else ())
    assert forward_targets(state, "u1") == ()


def test_removal_takes_what_is_the_pods_and_keeps_chains_in_use() -> None:
    state = TableState((SOURCE, OTHER), ("early", "masq_10_0_0_0_24"))
    assert removal_of(state, "u1") == "delete element ip stagecraft_pods sources { 10.0.0.2 }\n"


def test_removal_takes_chains_that_nobody_uses_any_more() -> None:
    other = Element("sources", ("10.9.0.3",), "jump net_10_9_0_0_24", "u2")
    state = TableState((SOURCE, other), ("early", "masq_10_0_0_0_24", "net_10_9_0_0_24"))
    assert removal_of(state, "u1").splitlines()[1:] == ["delete chain ip stagecraft_pods masq_10_0_0_0_24"]


def test_removal_of_the_last_pod_takes_the_table() -> None:
    assert removal_of(TableState((SOURCE,), ()), "u1").splitlines() == [
        f"{verb} table {table}"
        for table in ("ip stagecraft_pods", "ip6 stagecraft_pods", "inet stagecraft_pods_guard")
        for verb in ("add", "delete")
    ]


def test_removal_of_an_unknown_pod_does_nothing() -> None:
    assert removal_of(TableState((OTHER,), ("masq_10_0_0_0_24",)), "u1") == ""


def test_a_listing_is_read_back() -> None:
    listing = """{"nftables": [{"metainfo": {}}, {"table": {"name": "stagecraft_pods"}},
     {"map": {"name": "sources", "elem": [[{"elem": {"val": "10.0.0.2", "comment": "u1"}},
       {"jump": {"target": "masq_10_0_0_0_24"}}]]}},
     {"map": {"name": "forwards", "elem": [[{"elem": {"val": {"concat": ["tcp", 80]}, "comment": "u1"}},
       {"concat": ["10.0.0.2", 8080]}]]}},
     {"set": {"name": "forwarded", "elem": [{"elem": {"val": "10.0.0.2", "comment": "u1"}}, "10.0.0.9"]}},
     {"map": {"name": "forwards_at"}}, {"chain": {"name": "early"}}]}"""
    assert parse_table(json.loads(listing)) == TableState(
        (
            SOURCE,
            Element("forwards", ("tcp", "80"), "10.0.0.2 . 8080", "u1"),
            Element("forwarded", ("10.0.0.2",), "", "u1"),
            Element("forwarded", ("10.0.0.9",), "", ""),
        ),
        ("early",),
    )


def test_a_listing_of_something_else_is_corrupt() -> None:
    with pytest.raises(Corrupt):
        parse_table({"nftables": [{"chain": {}}]})


ANY, AT = (
    Element("forwards", ("tcp", "80"), "", "u1"),
    Element("forwards_at", ("192.0.2.1", "tcp", "80"), "", "u1"),
)

ANY6 = ANY.replace(six=True)
AT6 = Element("forwards_at", ("2001:db8::1", "tcp", "80"), "", "u1", True)


@pytest.mark.parametrize(
    ("held", "host_ip", "expected"),
    [
        (ANY, None, ("u1",)),
        (ANY, "192.0.2.1", ("u1",)),
        (AT, None, ("u1",)),
        (AT, "192.0.2.1", ("u1",)),
        (AT, "127.0.0.1", ()),
        (ANY, "::", ()),
        (ANY, "0.0.0.0", ("u1",)),
        (AT6, None, ("u1",)),
        (AT6, "2001:db8::1", ("u1",)),
        (AT6, "2001:db8::2", ()),
        (AT6, "0.0.0.0", ()),
        (ANY6, "2001:db8::1", ("u1",)),
        (ANY6, "127.0.0.1", ()),
    ],
)
def test_a_port_conflicts_where_addresses_meet(
    held: Element, host_ip: str | None, expected: tuple[str, ...]
) -> None:
    state = TableState((held,))
    assert holders_of(state, PortForward("tcp", host_ip, 80, 1)) == expected
    assert holders_of(state, PortForward("udp", host_ip, 80, 1)) == ()
    assert holders_of(state, PortForward("tcp", host_ip, 81, 1)) == ()
    assert holders_of(state, PortForward("tcp", host_ip, 80, 1), "u1") == ()


def test_everybody_who_holds_a_port_is_named() -> None:
    other = Element(FORWARDS_AT, ("192.0.2.7", "tcp", "80"), "10.0.0.3 . 1", "u2")
    assert holders_of(TableState((AT, other)), PortForward("tcp", None, 80, 1)) == ("u1", "u2")


@pytest.mark.behaviour("E20", "E22")
@pytest.mark.parametrize("masks", [(True, False), (False, True), (False, False)], ids=str)
def test_the_record_of_a_pods_networks_says_the_same_as_they_did(masks: tuple[bool, bool]) -> None:
    forward = PortForward("tcp", None, 8080, 80)
    infos = [
        NetInfo(f"n{at}", "", ("ptp",), f"eth{at}", gives(f"10.0.{at}.2/24"), ip_masq=masq, guarded=False)
        for at, masq in enumerate(masks)
    ]
    addresses = [Address.parse(f"10.0.{at}.2") for at in range(2)]
    sources = [(address, Subnet.around(address, 24), masq) for address, masq in zip(addresses, masks)]
    target = addresses[masks.index(True)] if any(masks) else addresses[-1]
    assert rules_of_record("u1", infos, [forward]) == rules_of("u1", sources, [forward], [target])
    v6_only = NetInfo("n", "", ("ptp",), "eth0", gives("fd00::2/64"), guarded=False, rules6=False)
    assert rules_of_record("u1", [v6_only], []) == PodRules()


@pytest.mark.behaviour("E22")
def test_ports_lead_where_the_record_says_and_nowhere_if_a_program_publishes_them() -> None:
    forward = PortForward("tcp", None, 8080, 80)
    first, second = (
        NetInfo(f"n{at}", "", ("ptp",), f"eth{at}", gives(f"10.0.{at}.2/24"), guarded=False)
        for at in range(2)
    )
    masked = first.replace(ip_masq=True)
    ours = rules_of_record("u1", [masked, second.replace(publisher="nftables")], [forward])
    assert [each.value for each in ours.elements if each.container == "forwards"] == ["10.0.1.2 . 80"]
    theirs = rules_of_record("u1", [masked, second.replace(publisher="/usr/lib/cni/portmap")], [forward])
    assert {each.container for each in theirs.elements} == {"sources"}


@pytest.mark.parametrize(
    ("addresses", "host_ip", "expected"),
    [
        (("10.0.0.2/24", "fd00::2/64"), None, [("10.0.0.2", False), ("fd00::2", True)]),
        (("10.0.0.2/24", "fd00::2/64"), "192.0.2.1", [("10.0.0.2", False)]),
        (("fd00::2/64",), None, [("fd00::2", True)]),
    ],
)
def test_clients_are_masqueraded_over_the_families_of_the_ports(
    addresses: tuple[str, ...], host_ip: str | None, expected: list[tuple[str, bool]]
) -> None:
    info = NetInfo("n", "", ("bridge",), "eth0", gives(*addresses), publisher="nftables", masq_all=True)
    ports = [PortForward("tcp", host_ip, 8080, 80), PortForward("tcp", host_ip, 8081, 81)]
    found = rules_of_record("u1", [info], ports).elements
    assert [(each.key[0], each.six) for each in found if each.container == "masked"] == expected
    plain = rules_of_record("u1", [info.replace(masq_all=False)], ports).elements
    none = rules_of_record("u1", [info], ()).elements
    assert not any(each.container == "masked" for each in (*plain, *none))
    assert NetInfo.from_json(info.to_json(), "").masq_all


def test_what_a_program_has_attached_is_not_in_our_table() -> None:
    info = NetInfo(
        "n", "", ("/usr/lib/cni/ptp",), "eth0", gives("10.0.0.2/24"), host_if="veth9", ip_masq=True
    )
    assert rules_of_record("u1", [info], []) == PodRules()


ENDS = (
    NetInfo(
        "a",
        "",
        ("ptp",),
        "eth0",
        gives("10.0.0.2/24", "fd00::2/64"),
        host_if="veth0",
    ),
    NetInfo("b", "", ("bridge",), "eth1", gives("10.1.0.2/24"), host_if="veth1"),
)


@pytest.mark.finding("attack4-F4")
def test_a_pod_on_ptp_may_send_with_every_address_that_it_has() -> None:
    found = rules_of_record("u1", ENDS, [])
    assert [element.addition for element in found.elements if element.container not in ("sources",)] == [
        f'add element inet stagecraft_pods_guard {text} comment "u1" }}\n'
        for text in (
            "links { veth0",
            "own { veth0 . 10.0.0.2",
            "own6 { veth0 . fd00::2",
            "own { veth0 . 10.1.0.2",
        )
    ]


@pytest.mark.finding("attack4-F4")
@pytest.mark.parametrize(
    "damaged",
    [{"host_if": 'veth0 comment "" }'}, {"host_if": ""}],
    ids=["link", "no link"],
)
def test_a_damaged_record_of_links_smuggles_no_commands(damaged: dict[str, object]) -> None:
    with pytest.raises(InvalidSpec):
        guards_of("u1", [ENDS[0].replace(**damaged)])


@pytest.mark.finding("attack4-F4")
def test_pods_of_releases_that_recorded_no_addresses_are_not_guarded() -> None:
    assert guards_of("u1", [info.replace(guarded=False) for info in ENDS]) == ()
    read = NetInfo.from_json({"netName": "a", "ifName": "eth0", "pluginPath": "ptp", "hostIf": "veth0"}, "")
    assert guards_of("u1", [read]) == ()
