# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Network configurations, and choosing among them."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    InvalidSpec,
    NotFound,
    PodError,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.addresses import (
    Address,
    Route,
    Subnet,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import (
    NetConf,
    choose,
    load_confs,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ipam import NetDns
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.plugin import Plugin
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.ranges import Assigned
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.requests import parse_requests
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.types.bridge import Bridge


def put(directory: pathlib.Path, file_name: str, name: str, kind: str = "ptp") -> None:
    (directory / "net.d").mkdir(parents=True, exist_ok=True)
    (directory / "net.d" / file_name).write_text(f'{{"name": "{name}", "type": "{kind}"}}')


def named(confs: tuple[NetConf, ...], name: str) -> NetConf:
    return next(conf for conf in confs if conf.name == name)


@pytest.mark.behaviour("E5", "E28")
def test_two_networks_are_built_in() -> None:
    restricted, default = load_confs(["/nonexistent"])
    assert (default.name, default.file_name, default.type, default.main.ip_masq) == (
        "default",
        "99-default.conf",
        "ptp",
        True,
    )
    assert str(default.main.ipam.range_sets[0][0].subnet) == "172.16.28.0/24"
    assert default.main.ipam.routes == (Route(Subnet.parse("0.0.0.0/0")),)
    assert (restricted.name, restricted.file_name, restricted.main.ip_masq) == (
        "default-restricted",
        "99-default-restricted.conf",
        False,
    )
    assert str(restricted.main.ipam.range_sets[0][0].gateway) == "172.31.0.1"
    assert restricted.main.ipam.routes == ()


@pytest.mark.behaviour("E6")
def test_the_first_file_of_a_directory_defines_a_name(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "10-a.conf", "a", "ptp")
    put(tmp_path, "20-a.conf", "a", "bridge")
    put(tmp_path, "30-b.txt", "b")
    said: list[str] = []
    confs = load_confs([str(tmp_path)], said.append)
    assert [conf.name for conf in confs] == ["a", "default-restricted", "default"]
    assert named(confs, "a").type == "ptp"
    assert said == ['"a" network already defined, ignoring 20-a.conf']


@pytest.mark.behaviour("E6")
def test_a_configuration_replaces_a_built_in_one_of_its_name(tmp_path: pathlib.Path) -> None:
    put(tmp_path, "10-mine.conf", "default", "bridge")
    said: list[str] = []
    confs = load_confs([str(tmp_path)], said.append)
    assert named(confs, "default").type == "bridge"
    assert said == [f'overriding "default" network with one from {tmp_path}/net.d']


def test_the_local_directory_replaces_the_systems(tmp_path: pathlib.Path) -> None:
    put(tmp_path / "system", "90-a.conf", "a", "ptp")
    put(tmp_path / "local", "10-a.conf", "a", "bridge")
    confs = load_confs([str(tmp_path / "system"), str(tmp_path / "local")])
    assert named(confs, "a").type == "bridge"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"name": "a"}',
        '{"name": "../a", "type": "ptp"}',
    ],
)
def test_a_file_that_makes_no_sense_concerns_those_whose_network_is_not_found(
    tmp_path: pathlib.Path, text: str
) -> None:
    put(tmp_path, "20-b.conf", "b")
    (tmp_path / "net.d" / "10-a.conf").write_text(text)
    told: list[str] = []
    confs = load_confs([str(tmp_path)], told.append)
    assert [net.conf.name for net in choose(confs, parse_requests("b,default"))] == ["b", "default"]
    with pytest.raises(PodError, match=r"networks not found: a|10-a\.conf") as caught:
        choose(confs, parse_requests("a"))
    assert "10-a.conf" in f"{caught.value} {caught.value.hint} {caught.value.facts}"
    with pytest.raises(InvalidSpec, match=r"10-a\.conf"):
        choose(confs, parse_requests("all"))
    assert told == [] or told[0].startswith(f"ignoring {tmp_path}/net.d/10-a.conf: ")


@pytest.mark.parametrize("kind", ["directory", "dangling", "pipe", "device"])
def test_what_is_no_file_keeps_no_pod_from_other_networks(tmp_path: pathlib.Path, kind: str) -> None:
    put(tmp_path, "20-b.conf", "b")
    odd = tmp_path / "net.d" / "10-a.conf"
    if kind == "directory":
        odd.mkdir()
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to("/dev/zero" if kind == "device" else "/nonexistent")
    told: list[str] = []
    confs = load_confs([str(tmp_path)], told.append)
    assert [net.conf.name for net in choose(confs, parse_requests("b,default"))] == ["b", "default"]
    (said,) = told
    assert said.startswith(f"ignoring {odd}: {odd}: ")


@pytest.mark.parametrize("word", ["a\nnameserver 192.0.2.66", "a b", "a;b", "a#b", "", "a\u2028b"])
@pytest.mark.parametrize("member", ["nameservers", "search", "options", "domain"])
def test_words_of_dns_make_no_lines(member: str, word: str) -> None:
    value = word if member == "domain" else ["x", word]
    if member == "domain" and not word:
        return
    text = json.dumps({"name": "a", "type": "ptp", "dns": {member: value}})
    with pytest.raises(InvalidSpec, match="is not one word") as caught:
        NetConf.parse(text.encode(), "a.conf")
    assert str(caught.value.facts["where"]).startswith(f"a.conf.dns.{member}")


def test_a_list_is_a_chain_of_plugins(tmp_path: pathlib.Path) -> None:
    conf = NetConf.parse(
        b"""{"name": "a", "cniVersion": "1.0.0", "disableCheck": true, "disableGC": true, "plugins": [
        {"type": "bridge", "bridge": "br1", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}},
        {"type": "portmap", "capabilities": {"portMappings": true, "aliases": false}}, {"type": "teleport"}]}""",
        "10-a.conflist",
    )
    assert (conf.cni_version, conf.checked, conf.collected) == ("1.0.0", False, False)
    assert conf.main.own == Bridge("br1")
    assert [(plugin.type, plugin.capabilities) for plugin in conf.plugins] == [
        ("bridge", ()),
        ("portmap", ("portMappings",)),
        ("teleport", ()),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('"plugins": []', "plugins"),
        ('"type": "ptp"', "plugins"),
        ('"plugins": [{"type": "ptp"}], "loadOnlyInlinedPlugins": "no"', "loadOnlyInlinedPlugins"),
        ('"plugins": [{"type": "ptp"}, {"type": 7}]', r"plugins\[1\]\.type"),
        ('"plugins": [{"type": "../../bin/sh"}]', r"plugins\[0\]\.type"),
        ('"plugins": [{"type": "ptp", "ipam": {"type": "a/b"}}]', r"plugins\[0\]\.ipam\.type"),
        ('"plugins": [{"type": "ptp", "capabilities": {"ips": "yes"}}]', r"plugins\[0\]\.capabilities\.ips"),
        ('"plugins": [{"type": "ptp"}], "cniVersion": "9.0.0"', "cniVersion"),
    ],
)
def test_what_is_wrong_with_a_list_is_told_with_its_place(text: str, place: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"10-a\.conflist\.{place}"):
        NetConf.parse(f'{{"name": "a", {text}}}'.encode(), "10-a.conflist")


PTP, TUNING = {"type": "ptp", "mtu": 1400}, {"type": "tuning", "mtu": 1300}


def put_list(directory: pathlib.Path, files: dict[str, str], **members: object) -> pathlib.Path:
    """A list, and files in the directory of its name."""
    place = directory / "net.d" / "a"
    place.mkdir(parents=True)
    text = json.dumps({"CNIVersion": "1.1.0", "name": "a", **members})
    (directory / "net.d" / "10-a.conflist").write_text(text)
    for name, content in files.items():
        (place / name).write_text(content)
    return place


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"plugins": [PTP]}, ["ptp", "sbr", "tuning"]),
        ({"plugins": [PTP], "loadOnlyInlinedPlugins": False}, ["ptp", "sbr", "tuning"]),
        ({"plugins": [PTP], "loadOnlyInlinedPlugins": True}, ["ptp"]),
        ({}, ["sbr", "tuning"]),
        ({"Plugins": None}, ["sbr", "tuning"]),
    ],
)
def test_a_list_has_the_plugins_of_the_directory_of_its_name(
    tmp_path: pathlib.Path, members: dict[str, object], expected: list[str]
) -> None:
    files = {"2.conf": json.dumps(TUNING), "10.conf": '{"type": "sbr"}', "3.conflist": "{", "4.json": "{"}
    (put_list(tmp_path, files, **members) / "5.conf").mkdir()
    conf = named(load_confs([str(tmp_path)]), "a")
    assert (conf.cni_version, [plugin.type for plugin in conf.plugins]) == ("1.1.0", expected)
    # What pods keep of it means the same without the directory.
    assert NetConf.parse(conf.raw.encode(), conf.file_name).meaning == conf.meaning


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"net\.d/a/1\.conf is not valid JSON"),
        ('{"name": "x"}', r"net\.d/a/1\.conf\.type: missing"),
        ('{"type": "ptp", "mtu": "x"}', r"net\.d/a/1\.conf\.mtu: "),
        ("[]", r"net\.d/a/1\.conf: expected an object"),
    ],
)
def test_what_is_wrong_with_a_loaded_plugin_concerns_its_network_alone(
    tmp_path: pathlib.Path, content: str, said: str
) -> None:
    put_list(tmp_path, {"1.conf": content}, plugins=[PTP])
    put(tmp_path, "20-b.conf", "b")
    confs = load_confs([str(tmp_path)])
    assert [net.conf.name for net in choose(confs, parse_requests("b"))] == ["b"]
    with pytest.raises(InvalidSpec, match=said):
        choose(confs, parse_requests("a"))


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_plugins_that_others_can_change_are_not_loaded(tmp_path: pathlib.Path, kind: str) -> None:
    place = put_list(tmp_path, {"1.conf": json.dumps(TUNING)}, plugins=[PTP])
    (place if kind == "directory" else place / "1.conf").chmod(0o777)
    with pytest.raises(InvalidSpec, match="others can change it"):
        choose(load_confs([str(tmp_path)]), parse_requests("a"))


def test_no_plugin_of_a_link_to_nowhere_is_left_out_silently(tmp_path: pathlib.Path) -> None:
    (put_list(tmp_path, {}, plugins=[PTP]) / "1.conf").symlink_to("gone")
    with pytest.raises(InvalidSpec, match=r"net\.d/a/1\.conf"):
        choose(load_confs([str(tmp_path)]), parse_requests("a"))


@pytest.mark.parametrize(
    ("members", "more"),
    [({}, True), ({"plugins": []}, False), ({"loadOnlyInlinedPlugins": True}, False)],
)
def test_a_list_without_any_plugin_says_where_they_can_be(
    tmp_path: pathlib.Path, members: dict[str, object], more: bool
) -> None:
    put_list(tmp_path, {} if more else {"1.conf": json.dumps(PTP)}, **members)
    with pytest.raises(InvalidSpec, match="is empty") as caught:
        choose(load_confs([str(tmp_path)]), parse_requests("a"))
    assert ("directory a beside the list" in caught.value.hint) is more


def test_a_program_in_the_place_of_that_directory_is_none(tmp_path: pathlib.Path) -> None:
    put_list(tmp_path, {}, plugins=[PTP]).rmdir()
    (tmp_path / "net.d" / "a").write_text("#!/bin/sh")
    assert named(load_confs([str(tmp_path)]), "a").type == "ptp"


@pytest.mark.finding("review-B7")
@pytest.mark.parametrize(
    ("members", "place"),
    [
        ('"mtu": "x"', "mtu"),
        ('"ipMasq": "yes"', "ipMasq"),
        ('"bridge": "a/b"', "bridge"),
        ('"isGateway": "yes"', "isGateway"),
        ('"hairpinMode": 1', "hairpinMode"),
        ('"ipam": {"type": "host-local", "subnet": "x"}', r"ipam\.subnet"),
        ('"dns": []', "dns"),
    ],
)
def test_what_is_wrong_with_a_network_concerns_those_who_ask_for_it(
    tmp_path: pathlib.Path, members: str, place: str
) -> None:
    put(tmp_path, "10-a.conf", "a")
    (tmp_path / "net.d" / "20-b.conf").write_text(f'{{"name": "b", "type": "bridge", {members}}}')
    confs = load_confs([str(tmp_path)])
    assert [net.conf.name for net in choose(confs, parse_requests("a"))] == ["a"]
    with pytest.raises(InvalidSpec, match=rf"20-b\.conf\.{place}"):
        choose(confs, parse_requests("b"))


@pytest.mark.finding("attack7-F2")
@pytest.mark.parametrize(
    ("members", "place"),
    [
        ('"type": "ptp", "mtu": -5', "mtu"),
        ('"type": "bridge", "mtu": 5000000000', "mtu"),
        ('"type": "tuning", "mtu": -1', "mtu"),
        ('"type": "tuning", "txQLen": 5000000000', "txQLen"),
        ('"type": "bridge", "bridge": ""', "bridge"),
        ('"type": "macvlan", "master": ""', "master"),
        ('"type": "host-device", "hwaddr": "02:00:00:00:00:zz"', "hwaddr"),
        ('"type": "tap", "owner": -7', "owner"),
        ('"type": "tap", "group": 5000000000', "group"),
        ('"type": "ptp", "ipam": {"type": "static", "routes": [{"dst": "::/0", "mtu": -1}]}', "mtu"),
        ('"type": "ptp", "ipam": {"type": "static", "routes": [{"dst": "::/0", "scope": 777}]}', "scope"),
        ('"type": "ptp", "ipam": {"type": "static", "routes": [{"dst": "::/0", "table": 1e3}]}', "table"),
        (
            '"type": "ptp", "ipam": {"type": "static", "routes": [{"dst": "::/0", "table": 9999999999}]}',
            "table",
        ),
        ('"type": "ptp", "ipam": {"type": "host-local", "ranges": [[]]}', r"ranges\[0\]"),
        (
            '"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.0.0.0/8", "dataDir": "here"}',
            "dataDir",
        ),
    ],
)
def test_numbers_that_no_message_to_the_kernel_holds_are_refused(members: str, place: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"a\.conf\.(\S+\.)?{place}(: |$)"):
        NetConf.parse(f'{{"name": "a", {members}}}'.encode(), "a.conf")


@pytest.mark.finding("attack7-F2")
@pytest.mark.parametrize(
    "raw",
    ['{"name": "a", "type": "ptp"}'.encode("utf-16"), b'{"name": "a", "type": "ptp", "x": "\xed\xa0\x80"}'],
    ids=["UTF-16", "half a character"],
)
def test_a_file_in_another_encoding_keeps_no_pod_from_other_networks(
    tmp_path: pathlib.Path, raw: bytes
) -> None:
    put(tmp_path, "20-b.conf", "b")
    (tmp_path / "net.d" / "10-a.conf").write_bytes(raw)
    confs = load_confs([str(tmp_path)])
    assert [net.conf.name for net in choose(confs, parse_requests("b,default"))] == ["b", "default"]
    with pytest.raises(InvalidSpec, match=r"10-a\.conf: it is not UTF-8"):
        choose(confs, parse_requests("all"))


@pytest.mark.finding("use-N6")
def test_two_files_that_say_the_same_mean_the_same() -> None:
    one = NetConf.parse(b'{"name":"a","type":"bridge","isGateway":true,"mtu":1400}', "10-a.conf")
    same = NetConf.parse(
        b'{"MTU": 1400, "IsGateway": true,\n "type": "bridge", "name": "a"}', "20-b.conf", "/d"
    )
    other = NetConf.parse(b'{"name":"a","type":"bridge","isGateway":false,"mtu":1400}', "10-a.conf")
    assert one.meaning == same.meaning
    assert one.meaning != other.meaning


@pytest.mark.finding("use-N6")
@pytest.mark.parametrize("kind", ["macvlan", "teleport"])
def test_of_a_type_that_is_not_built_in_every_member_counts(kind: str) -> None:
    one = NetConf.parse(f'{{"name":"a","type":"{kind}","master":"eth0"}}'.encode(), "a.conf")
    same = NetConf.parse(f'{{"master": "eth0", "type":"{kind}","name":"a"}}'.encode(), "a.conf")
    other = NetConf.parse(f'{{"name":"a","type":"{kind}","master":"eth1"}}'.encode(), "a.conf")
    assert one.meaning == same.meaning
    assert one.meaning != other.meaning


@pytest.mark.behaviour("E11")
def test_every_member_is_read() -> None:
    name = "a" * 200
    conf = NetConf.parse(
        f"""{{"name": "{name}", "type": "bridge", "bridge": "br1", "ipMasq": true, "mtu": 1400,
        "dns": {{"nameservers": ["10.0.0.1"], "domain": "x.org", "search": ["y.org"], "options": ["ndots:2"]}},
        "ipam": {{"type": "static", "routes": [{{"dst": "10.2.0.0/16", "gw": "10.0.0.9"}}],
         "addresses": [{{"address": "10.0.0.2/24", "gateway": "10.0.0.1"}},
         {{"address": "fd00::2/64"}}]}}}}""".encode(),
        "10-a.conf",
    )
    assert (conf.name, conf.type, conf.main.ip_masq, conf.main.link.mtu) == (name, "bridge", True, 1400)
    assert conf.main.dns == NetDns(("10.0.0.1",), "x.org", ("y.org",), ("ndots:2",))
    assert conf.main.ipam.static == (
        Assigned(Address.parse("10.0.0.2"), 24, Address.parse("10.0.0.1")),
        Assigned(Address.parse("fd00::2"), 64),
    )
    assert conf.main.ipam.routes == (Route(Subnet.parse("10.2.0.0/16"), Address.parse("10.0.0.9")),)
    assert conf.main.own == Bridge("br1")


def test_ranges_of_newer_configurations_are_read() -> None:
    conf = NetConf.parse(
        b"""{"name": "a", "type": "ptp", "ipam": {"type": "host-local", "dataDir": "/x",
        "ranges": [[{"subnet": "10.0.0.0/24"}, {"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]}}""",
        "10-a.conf",
    )
    assert [[str(span.subnet) for span in ranges] for ranges in conf.main.ipam.range_sets] == [
        ["10.0.0.0/24", "10.1.0.0/24"],
        ["fd00::/64"],
    ]
    assert conf.main.ipam.data_dir == "/x"


CONFS = tuple(
    NetConf(name, (Plugin("ptp"),), file_name=file)
    for name, file in (("b", "10-b.conf"), ("a", "20-a.conf"), ("c", "30-c.conf"))
)


@pytest.mark.behaviour("E2", "E3", "E7")
@pytest.mark.parametrize(
    ("text", "expected"),
    [("a,b", ["b", "a"]), ("c", ["c"]), ("all", ["b", "a", "c"]), ("none", []), ("host", []), ("host,a", [])],
)
def test_networks_are_chosen_in_the_order_of_their_files(text: str, expected: list[str]) -> None:
    assert [chosen.conf.name for chosen in choose(CONFS, parse_requests(text))] == expected


def test_arguments_go_to_their_network() -> None:
    (chosen,) = choose(CONFS, parse_requests("a:IP=10.0.0.9;X=1"))
    assert chosen.args == (("IP", "10.0.0.9"), ("X", "1"))
    assert chosen.args_text == "IP=10.0.0.9;X=1"


@pytest.mark.behaviour("E4")
def test_every_missing_network_is_named() -> None:
    with pytest.raises(NotFound) as caught:
        choose(CONFS, parse_requests("x,a,y"))
    assert str(caught.value) == "networks not found: x, y"


@pytest.mark.behaviour("E1")
def test_no_value_is_the_default_network() -> None:
    assert parse_requests("") == (("default", ()),)


@pytest.mark.behaviour("E1")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",", "netname must not be empty"),
        ("a,", "netname must not be empty"),
        (":IP=1", "netname must not be empty"),
        ("a,b,a", 'found duplicate netname "a"'),
        ("all:x=1", 'arguments are not supported by special netname "all"'),
        ("host:x=1", 'arguments are not supported by special netname "host"'),
        ("a:x=1:y=2", 'network "a" provided with invalid arguments: [x=1 y=2]'),
        ("a:x", 'network "a" provided with invalid arguments: [x]'),
        ("a:x=\0", 'network "a" provided with invalid arguments: [x=\\x00]'),
        ("a:x=1\nIP=2", 'network "a" provided with invalid arguments: [x=1\\nIP=2]'),
        ("a:x=1 2", 'network "a" provided with invalid arguments: [x=1 2]'),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_requests(text)
    assert str(caught.value) == message
