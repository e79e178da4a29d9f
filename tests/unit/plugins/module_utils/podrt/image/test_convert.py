# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conversion of a docker configuration."""

from __future__ import annotations

import time

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import (
    Corrupt,
    InvalidSpec,
    NotFound,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.convert import (
    DockerConfig,
    image_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.manifests import check_platform
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.policy import Note
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_docker

DIGEST = "sha256:" + "0f" * 32


def convert(reference="quay.io/team_x/app:v1", arch="amd64", variant="", **config):
    document = {
        "architecture": arch,
        "variant": variant,
        "os": "linux",
        "config": config,
        "created": "2026-01-01T00:00:00Z",
    }
    return image_manifest(parse_docker(reference), DockerConfig.from_json(document), DIGEST, DIGEST)


def notes(**config):
    return DockerConfig.from_json({"config": config}).notes


@pytest.mark.behaviour("B40")
@pytest.mark.parametrize(
    ("reference", "name", "version"),
    [
        ("busybox", "registry-1.docker.io/library/busybox", "latest"),
        ("127.0.0.1:5000/a__b:1", "127.0.0.1_5000/a_b", "1"),
        (f"quay.io/a@{DIGEST}", "quay.io/a", None),
    ],
)
def test_name_and_version(reference, name, version):
    manifest = convert(reference)
    assert (manifest.name, manifest.version) == (name, version)


@pytest.mark.behaviour("B40")
@pytest.mark.parametrize(
    ("arch", "variant", "label"),
    [
        ("amd64", "", "amd64"),
        ("386", "", "i386"),
        ("arm64", "v8", "aarch64"),
        ("arm", "v6", "armv6l"),
        ("arm", "v7", "armv7l"),
        ("s390x", "", "s390x"),
        ("riscv64", "", "riscv64"),
    ],
)
def test_architectures_are_spelled_as_in_appc(arch, variant, label):
    assert convert(arch=arch, variant=variant).labels.get("arch") == label


@pytest.mark.behaviour("B41")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Entrypoint": ["/e"], "Cmd": ["c"]}, ("/e", "c")),
        ({"Cmd": ["c"]}, ("c",)),
        ({"Entrypoint": None, "Cmd": None}, ()),
        ({}, ()),
    ],
)
def test_exec_is_entrypoint_and_cmd(config, words):
    assert convert(**config).app.exec == words


@pytest.mark.behaviour("B41")
@pytest.mark.parametrize(
    ("user", "wanted"),
    [("", ("0", "0")), ("u", ("u", "u")), ("u:g", ("u", "g")), ("1000:", ("1000", "1000"))],
)
def test_users(user, wanted):
    app = convert(User=user).app
    assert (app.user, app.group) == wanted


@pytest.mark.behaviour("B43")
def test_volumes_whose_names_collide_are_numbered():
    points = convert(Volumes={"/a/b": {}, "/a-b": {}, "/c": {}}).app.mount_points
    assert [(point.name, point.path) for point in points] == [
        ("volume-a-b", "/a-b"),
        ("volume-a-b-1", "/a/b"),
        ("volume-c", "/c"),
    ]


@pytest.mark.behaviour("B42")
def test_ports_are_sorted_by_name_and_tcp_by_default():
    ports = convert(ExposedPorts={"80": {}, "443/tcp": {}, "53/UDP": {}}).app.ports
    assert [(port.name, port.protocol) for port in ports] == [
        ("443-tcp", "tcp"),
        ("53-udp", "udp"),
        ("80-tcp", "tcp"),
    ]


@pytest.mark.behaviour("B44")
def test_annotations_tell_the_origin():
    annotations = dict(convert(Entrypoint=["/e", 'a"b']).annotations.pairs)
    prefix = "appc.io/docker/"
    assert annotations[prefix + "repository"] == "team_x/app"
    assert annotations[prefix + "registryurl"] == "quay.io"
    assert annotations[prefix + "manifesthash"] == DIGEST
    assert annotations[prefix + "entrypoint"] == '["/e", "a\\"b"]'
    assert annotations["created"] == "2026-01-01T00:00:00Z"


@pytest.mark.behaviour("B42", "B54")
def test_what_docker_knows_and_a_manifest_does_not_is_left_out_and_told():
    config = {
        "ExposedPorts": {"9000/dccp": {}, "80/tcp": {}, "36412/SCTP": {}},
        "Env": ["A=1", "1x=y", "a b=c", "NOTHING"],
    }
    app = convert(**config).app
    assert [(port.name, port.protocol) for port in app.ports] == [("36412-sctp", "sctp"), ("80-tcp", "tcp")]
    assert app.environment == (("A", "1"),)
    assert notes(**config) == (
        'the variable "1x" is left out: "1x" is not a valid name of a variable',
        'the variable "a b" is left out: "a b" is not a valid name of a variable',
        "the port 9000/dccp is left out: a pod knows tcp, udp and sctp",
    )


@pytest.mark.finding("case-01")
@pytest.mark.behaviour("B41")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Entrypoint": [""], "Cmd": ["/bin/echo", "x"]}, ("/bin/echo", "x")),
        ({"Entrypoint": [None], "Cmd": ["/bin/echo"]}, ("/bin/echo",)),
        ({"Entrypoint": "", "Cmd": ["/bin/echo"]}, ("/bin/echo",)),
        ({"Entrypoint": [""], "Cmd": [""]}, ()),
        ({"Cmd": [""]}, ()),
        ({"Entrypoint": ["/e"], "Cmd": [""]}, ("/e", "")),
        ({"Entrypoint": ["/e"], "Cmd": ["a", "", "b"]}, ("/e", "a", "", "b")),
        ({"Entrypoint": "/e", "Cmd": "c d"}, ("/e", "c d")),
    ],
)
def test_an_entrypoint_of_one_empty_word_is_none(config, words):
    assert (convert(**config).app.exec, notes(**config)) == (words, ())


@pytest.mark.finding("case-02")
@pytest.mark.behaviour("B42")
def test_a_range_of_ports_is_one_port_with_a_count():
    exposed = {"33060-33061/tcp": {}, "80/tcp": {}, "9000-9000/udp": {}}
    ports = convert(ExposedPorts=exposed).app.ports
    assert [(port.name, port.protocol, port.port, port.count) for port in ports] == [
        ("33060-33061-tcp", "tcp", 33060, 2),
        ("80-tcp", "tcp", 80, 1),
        ("9000-udp", "udp", 9000, 1),
    ]


ODD = [None, "", "x", "\ud800", "a\0b", "\x1b[31m", 0, -1, 10**30, 1.5, True, [], [""], [None], ["x", 1], [[]],
       ["\ud800"], ["A=\udfff"], ["A=a\0b"], {}, {"": {}}, {"x": None}, {"\ud800": {}}, {"/": {}}, {"/a/..": {}},
       {"a\0b": {}}, {"0/tcp": {}}, {"65536/tcp": {}}, {"5-3/tcp": {}}, {"1-70000/tcp": {}}, {"\u00b2/tcp": {}},
       {"9" * 5000: {}},
       {"80/tcp/udp": {}}, {"Test": 1}, {"Test": [1]}, {"test": ["CMD", "x"]}, ["A" * 100_000]]  # fmt: skip
MEMBERS = ["Entrypoint", "Cmd", "Env", "WorkingDir", "ExposedPorts", "Volumes", "Labels", "StopSignal", "Healthcheck",
           "Shell", "OnBuild", "ArgsEscaped", "MacAddress", "Hostname", "Tty", "NetworkDisabled", "StopTimeout",
           "Memory"]  # fmt: skip
OUTER = [
    "variant",
    "author",
    "created",
    "history",
    "docker_version",
    "container",
    "container_config",
    "os.version",
]
SAFETY = {
    "User": "config.User",
    "rootfs": "rootfs",
    "architecture": "architecture",
    "os": "os",
    "config": "config",
}


@pytest.mark.finding("case-02")
@pytest.mark.parametrize("member", MEMBERS + OUTER)
@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value)[:20])
def test_one_odd_value_refuses_no_image(member, value):
    """It is left out with a note, and everything else in the image is kept."""
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/c"], "User": "u", "Env": ["A=1"]},
    }
    (document if member in OUTER else document["config"])[member] = value
    config = DockerConfig.from_json(document)
    manifest = image_manifest(parse_docker("quay.io/a"), config, DIGEST, DIGEST)
    assert manifest.app.user == "u"
    assert member in ("Entrypoint", "Cmd") or manifest.app.exec == ("/c",)
    assert member == "Env" or manifest.app.environment == (("A", "1"),)
    assert all(isinstance(note, str) and len(note) < 300 for note in config.notes)
    assert not any(port.port < 1 for port in manifest.app.ports)


@pytest.mark.parametrize("member", SAFETY)
@pytest.mark.parametrize("value", [1, True, ["x"], {"x": 1}, "\ud800", "a\0b"], ids=ascii)
def test_what_decides_safety_is_not_left_out(member, value):
    if member in ("rootfs", "config") and value == {"x": 1}:
        return
    document = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {}}
    if member == "User":
        document["config"][member] = value
    else:
        document[member] = value
    with pytest.raises(InvalidSpec):
        DockerConfig.from_json(document)


def test_a_command_that_is_odd_is_left_out_whole():
    """Half of it would be another command."""
    config = {"Entrypoint": ["/e", 5], "Cmd": ["c"]}
    assert convert(**config).app.exec == ()
    assert notes(**config) == ("the command is left out: expected a string, found 5",)


@pytest.mark.finding("use-N12")
@pytest.mark.parametrize("signal", ["SIGQUIT", "QUIT", "quit", "3", "SIGRTMIN+3", "rtmax-1", "KILL"])
def test_the_stop_signal_is_kept(signal):
    assert convert(StopSignal=signal).annotations.get("appc.io/docker/stopsignal") == signal
    assert notes(StopSignal=signal) == ()


@pytest.mark.finding("use-N12")
@pytest.mark.parametrize(
    "signal", ["", None, "SIGNOTHING", "0", "65", "-1", "SIGSTOP", "SIG", "SIG_IGN", "RTMIN+99"]
)
def test_a_stop_signal_that_is_none_is_left_out(signal):
    assert convert(StopSignal=signal).annotations.get("appc.io/docker/stopsignal") is None
    assert bool(notes(StopSignal=signal)) == bool(signal)


@pytest.mark.finding("use-N12")
@pytest.mark.parametrize(
    ("check", "told"),
    [
        ({"Test": ["CMD-SHELL", "curl localhost"], "Interval": 1}, True),
        ({"Test": ["CMD", "/x"]}, True),
        ({"Test": ["NONE"]}, False),
        ({"Test": []}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_health_check_is_told_not_to_be_run(check, told):
    sentence = "the health check of the image is not run in this release"
    assert notes(Healthcheck=check) == ((sentence,) if told else ())


def kept_check(check):
    return convert(Healthcheck=check).annotations.get("appc.io/docker/healthcheck")


def test_a_health_check_is_kept_with_the_members_of_docker():
    check = {
        "Test": ["CMD", "/x", "\u00e9"],
        "Interval": 30 * 10**9,
        "Timeout": 0,
        "Retries": 3,
        "StartPeriod": 1,
    }
    assert kept_check({**check, "Other": 1}) == (
        '{"Interval":30000000000,"Retries":3,"StartPeriod":1,"Test":["CMD","/x","\u00e9"]}'
    )
    assert kept_check({"test": ["CMD-SHELL", "x || exit 1"], "startinterval": 2}) == (
        '{"StartInterval":2,"Test":["CMD-SHELL","x || exit 1"]}'
    )


@pytest.mark.parametrize(
    "check", [None, {}, {"Test": []}, {"Test": [""]}, {"Test": ["NONE"]}, {"Interval": 5}]
)
def test_no_health_check_leaves_no_trace(check):
    assert kept_check(check) is None
    assert notes(Healthcheck=check) == ()


@pytest.mark.parametrize(
    "check",
    [
        *(5, [], "CMD x", {"Test": 5}, {"Test": [5]}, {"Test": ["CMD"]}, {"Test": ["RUN", "x"]}),
        *(
            {"Test": ["CMD", "x"], name: value}
            for name in ("Interval", "Retries")
            for value in (-1, 1 << 63, 1.5, "1s", True)
        ),
        *(
            {"Test": ["CMD", "x" * (64 << 10)]},
            {"Test": ["CMD", *[""] * 40_000]},
            {"Test": ["CMD", "\ud800"]},
        ),
    ],
)
def test_a_health_check_that_is_odd_is_left_out_with_a_note(check):
    assert kept_check(check) is None
    (note,) = notes(Healthcheck=check)
    assert note.startswith("the health check is left out: ") and len(note) < 200


def test_an_image_without_a_stop_signal_has_the_manifest_that_it_had_in_0_1_0():
    """Same content, same ID: a new member leaves no trace in an image that does not have it."""
    names = [name for name, _value in convert(Cmd=["/x"]).annotations.pairs]
    assert names == ["appc.io/docker/cmd", "appc.io/docker/imageid", "appc.io/docker/manifesthash",
                     "appc.io/docker/originalname", "appc.io/docker/registryurl", "appc.io/docker/repository",
                     "appc.io/docker/tag", "created"]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"User": "\ud800"}, r"config\.User"),
    ],
)
def test_what_is_no_text_is_refused_where_it_stands(config, where):
    with pytest.raises(InvalidSpec, match=where):
        DockerConfig.from_json({"config": config})


@pytest.mark.parametrize("value", [None, [], {"rootfs": 1}, {"config": {"User": 5}}, {"config": [1]}])
def test_a_configuration_of_another_shape_is_invalid(value):
    with pytest.raises(InvalidSpec):
        DockerConfig.from_json(value)


@pytest.mark.finding("http-F6")
def test_names_of_volumes_cost_linear_time_and_volumes_have_a_bound():
    """All of these paths have one name, and get numbers."""
    paths = {f"/{chr(0x4E00 + at // 1000)}{chr(0x4E00 + at % 1000)}": {} for at in range(50_000)}
    began = time.process_time()
    with pytest.raises(Corrupt, match="50000 entries are more than the 1000 that an image may have"):
        convert(Volumes=paths)
    points = convert(Volumes=dict(list(paths.items())[:1000])).app.mount_points
    assert [point.name for point in points[:3]] == ["volume", "volume-1", "volume-2"]
    assert len({point.name for point in points}) == 1000
    assert time.process_time() - began < 5


@pytest.mark.finding("http-F13")
@pytest.mark.parametrize(
    ("config", "left_out"),
    [
        ({"WorkingDir": "d" * 4095}, "WorkingDir is left out: it has 4096 bytes, more than the 4095"),
        ({"Cmd": ["/" + "p" * 4095]}, "the command is left out: it has 4096 bytes, more than the 4095"),
        (
            {"Cmd": ["/x", "a" * 131_072]},
            "the command is left out: it has 131072 bytes, more than the 131071",
        ),
    ],
    ids=["directory", "program", "argument"],
)
def test_what_the_kernel_would_not_take_is_left_out(config, left_out):
    assert [note for note in notes(**config) if note.startswith(left_out)]
    app = convert(**config).app
    assert (app.exec, app.working_directory) == ((), "")


@pytest.mark.finding("a4-F4")
@pytest.mark.parametrize("name", ["PATH", "LONG"])
def test_a_variable_that_is_too_long_is_left_out(name):
    config = {"Env": ["KEPT=x", f"{name}={'v' * 131_072}"]}
    assert [
        note for note in notes(**config) if note.startswith(f'the variable "{name}" is left out: it has 1310')
    ]
    assert [pair for pair in convert(**config).app.environment if pair[0] in ("KEPT", name)] == [
        ("KEPT", "x")
    ]


@pytest.mark.finding("http-F13")
def test_a_user_that_is_too_long_is_no_other_user():
    with pytest.raises(Corrupt, match="user: it has 70000 bytes, more than the 4095"):
        convert(User="u" * 70_000)


@pytest.mark.finding("http-F14")
def test_of_very_many_odd_things_the_first_are_said_and_how_many_more_there_are():
    found = notes(ExposedPorts={f"{number}/dccp": {} for number in range(1, 5001)})
    assert len(found) == 11
    assert found[-1] == "and 4990 more of this kind"
    assert all(isinstance(note, Note) for note in found)


@pytest.mark.finding("http-F14")
def test_no_error_is_longer_than_people_read():
    with pytest.raises(NotFound) as caught:
        check_platform(DockerConfig("x" * 3_000_000, "", "linux", ()), "amd64", "an image")
    assert len(caught.value.message) < 10_000
    assert caught.value.message.startswith("an image is not made for amd64: it offers xxx")
