# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a docker configuration becomes."""

from __future__ import annotations

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt, InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.convert import (
    DockerConfig,
    image_manifest,
    left_out,
)
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


@pytest.mark.parametrize(
    "config",
    [
        {"ExposedPorts": {"many/tcp": {}}},
        {"ExposedPorts": {"0/tcp": {}}},
        {"ExposedPorts": {"\u00b2/tcp": {}}},
        {"ExposedPorts": {f"{'9' * 5000}/tcp": {}}},
        {"Volumes": {"": {}}},
    ],
)
def test_what_cannot_be_converted_is_corrupt(config):
    with pytest.raises(Corrupt, match="cannot convert"):
        convert(**config)


@pytest.mark.behaviour("B42", "B54")
def test_what_docker_knows_and_a_manifest_does_not_is_left_out_and_told():
    config = {"ExposedPorts": {"9000/sctp": {}, "80/tcp": {}}, "Env": ["A=1", "1x=y", "a b=c", "NOTHING"]}
    app = convert(**config).app
    assert [port.name for port in app.ports] == ["80-tcp"]
    assert app.environment == (("A", "1"),)
    assert left_out(DockerConfig.from_json({"config": config})) == (
        "the port 9000/sctp is left out: a pod knows tcp and udp",
        'the variable "1x" is left out: an app cannot be given that name',
        'the variable "a b" is left out: an app cannot be given that name',
    )


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"Env": ["A=\ud800"]}, r"config\.Env\[0\]"),
        ({"Cmd": ["x", "\udfff"]}, r"config\.Cmd\[1\]"),
        ({"User": "\ud800"}, r"config\.User"),
        ({"Volumes": {"/\ud800": {}}}, r"config\.Volumes"),
    ],
)
def test_what_is_no_text_is_refused_where_it_stands(config, where):
    with pytest.raises(InvalidSpec, match=where):
        DockerConfig.from_json({"config": config})


@pytest.mark.parametrize(
    "value", [None, [], {"rootfs": 1}, {"config": {"Cmd": "text"}}, {"config": {"Volumes": []}}]
)
def test_a_configuration_of_another_shape_is_invalid(value):
    with pytest.raises(InvalidSpec):
        DockerConfig.from_json(value)
