# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.fields import Fields
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.config import (
    Config,
    merged,
    parse_document,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.convert import DockerConfig
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.manifests import (
    config_digest,
    read_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import NetConf
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.info import NetInfo

_ID = "sha512-" + "ab" * 64
_APP = {
    "exec": ["/bin/web"],
    "user": "www",
    "group": "www",
    "supplementaryGIDs": [7],
    "workingDirectory": "/srv",
    "environment": [{"name": "LEVEL", "value": "debug"}],
    "mountPoints": [{"name": "work", "path": "/work", "readOnly": True}],
    "ports": [{"name": "http", "protocol": "tcp", "port": 80, "count": 2, "socketActivated": True}],
    "isolators": [
        {"name": "resource/memory", "value": {"request": "1M", "limit": "2M"}},
        {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
    ],
    "eventHandlers": [{"name": "pre-start", "exec": ["/bin/before"]}],
    "userAnnotations": {"Team": "red"},
    "userLabels": {"Tier": "1"},
}
_IMAGE = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/web",
    "labels": [{"name": "version", "value": "1"}],
    "app": _APP,
    "annotations": [{"name": "authors", "value": "A"}],
    "dependencies": [{"imageName": "example.com/base", "imageID": _ID, "labels": [], "size": 3}],
    "pathWhitelist": ["/bin/web"],
}
_POD = {
    "acKind": "PodManifest",
    "acVersion": "0.8.11",
    "apps": [
        {
            "name": "web",
            "image": {"id": _ID, "name": "example.com/web", "labels": []},
            "app": _APP,
            "readOnlyRootFS": True,
            "mounts": [{"volume": "work", "path": "/work"}],
            "annotations": [],
        }
    ],
    "volumes": [{"name": "work", "kind": "host", "source": "/srv", "readOnly": True, "recursive": False}],
    "ports": [{"name": "http", "hostPort": 8080, "hostIP": "10.0.0.1"}],
    "annotations": [{"name": "a", "value": "b"}],
    "isolators": [],
}
_NET = {
    "cniVersion": "0.1.0",
    "name": "red",
    "type": "bridge",
    "bridge": "red0",
    "isGateway": True,
    "isDefaultGateway": True,
    "hairpinMode": True,
    "ipMasq": True,
    "mtu": 1400,
    "ipam": {
        "type": "host-local",
        "subnet": "10.1.0.0/24",
        "rangeStart": "10.1.0.10",
        "rangeEnd": "10.1.0.20",
        "gateway": "10.1.0.1",
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
        "dataDir": "/leases",
    },
    "dns": {"nameservers": ["10.1.0.1"], "domain": "a", "search": ["b"], "options": ["ndots:2"]},
}
_INFO = {
    "netName": "red",
    "netConf": "/n",
    "pluginPath": "ptp",
    "ifName": "eth0",
    "ip": "10.1.0.2",
    "mask": "255.255.255.0",
    "args": "a=b",
    "hostIf": "veth0",
    "gateway": "10.1.0.1",
    "ip6": ["fd00::2/64"],
    "ipMasq": True,
}
_DOCKER = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "author": "A",
    "created": "2020",
    "rootfs": {"diff_ids": ["sha256:1"]},
    "config": {
        "Entrypoint": ["/e"],
        "Cmd": ["c"],
        "Env": ["A=b"],
        "User": "u",
        "WorkingDir": "/w",
    },
}
_DOCKER_MANIFEST = {"config": {"digest": "sha256:" + "ab" * 32, "size": 1}, "layers": []}


def _net(document: object) -> NetConf:
    return NetConf.parse(json.dumps(document).encode(), "10-red.conf").replace(raw="")


def _config(directory: str):
    def read(document: object) -> Config:
        return merged(Config(), [parse_document(json.dumps(document).encode(), directory, "it")])

    return read


def _rkt(kind: str, **members: object) -> dict[str, object]:
    return {"rktKind": kind, "rktVersion": "v1", **members}


_AWS = {"accessKeyID": "k", "secretAccessKey": "s"}
_LOGIN = {"user": "u", "password": "p"}
_KINDS = {
    "image manifest": (_IMAGE, ImageManifest.from_json),
    "pod manifest": (_POD, lambda value: PodManifest.from_json(value, "pod")),
    "network configuration": (_NET, _net),
    "net-info": (_INFO, lambda value: NetInfo.from_json(value, "")),
    "docker configuration": (_DOCKER, DockerConfig.from_json),
    "docker manifest": (
        _DOCKER_MANIFEST,
        lambda value: config_digest(read_manifest(json.dumps(value).encode(), "it"), "it"),
    ),
    "auth basic": (
        _rkt("auth", type="basic", domains=["a.b"], credentials=_LOGIN),
        _config("auth.d"),
    ),
    "auth oauth": (
        _rkt("auth", type="oauth", domains=["a.b"], credentials={"token": "t"}),
        _config("auth.d"),
    ),
    "auth aws": (
        _rkt("auth", type="aws", domains=["a.b"], credentials=_AWS, awsRegion="r"),
        _config("auth.d"),
    ),
    "dockerAuth": (_rkt("dockerAuth", registries=["a.b"], credentials=_LOGIN), _config("auth.d")),
    "paths": (_rkt("paths", data="/a", **{"stage1-images": "/b"}), _config("paths.d")),
    "stage1": (_rkt("stage1", name="n", version="1", location="/c"), _config("stage1.d")),
}
# Objects whose members are names of the user's own.
_MAPS = ("userAnnotations", "userLabels")


def _respelled(value: object, spell) -> object:
    if isinstance(value, list):
        return [_respelled(element, spell) for element in value]
    if isinstance(value, dict):
        return {
            spell(name): content if name in _MAPS else _respelled(content, spell)
            for name, content in value.items()
        }
    return value


@pytest.mark.finding("rkt-R2")
@pytest.mark.behaviour("E6")
@pytest.mark.parametrize(
    "spell",
    [str.upper, str.lower, str.title, lambda name: name[0].swapcase() + name[1:]],
    ids=["upper", "lower", "title", "first"],
)
@pytest.mark.parametrize("kind", _KINDS)
def test_members_of_every_kind_of_document_are_found_in_any_case(kind, spell):
    document, read = _KINDS[kind]
    assert read(_respelled(document, spell)) == read(document)


@pytest.mark.finding("rkt-R2")
def test_of_two_members_that_differ_in_case_the_last_wins():
    assert _net({**_NET, "IPMASQ": False}).main.ip_masq is False
    assert _net({"IPMASQ": False, **_NET}).main.ip_masq is True


@pytest.mark.finding("rkt-R2")
def test_null_takes_nothing_from_the_member_before_it():
    assert _net({**_NET, "IPMASQ": None}).main.ip_masq is True


def test_the_names_of_a_user_keep_their_case():
    assert Fields({"labels": {"Tier": "1", "tier": "2"}}, "").pairs("Labels") == (
        ("Tier", "1"),
        ("tier", "2"),
    )


def test_an_error_names_a_member_as_its_document_is_documented():
    with pytest.raises(InvalidSpec, match="net\\.ipMasq: expected true or false"):
        Fields({"IPMASQ": "yes"}, "net").boolean("ipMasq", False)
