# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The documents of OCI images: what they say of an app, and what they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.app import App, EventHandler
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import Dependency
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.isolators import Memory
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.labels import Labels
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ACIdentifier, ACName
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.ports import Port
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.volumes import MountPoint
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import oci
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build.recipe import Recipe
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.content import Blob, blob_of
from ansible_collections.stagecraft.pods.tests.unit.plugins.module_utils.podrt.image.build.buildlab import (
    MANIFEST,
    recipe,
)

DIFF_ID = "sha256:" + "1" * 64
LAYER = Blob("sha256:" + "2" * 64, 1234)


def wanted(app: App | None = None, signal: str = "", **members: Any) -> Recipe:
    return recipe(kind="oci", stop_signal=signal).replace(manifest=MANIFEST.replace(app=app, **members))


def app(**members: Any) -> App:
    return App(exec=("/bin/x", "-v"), **{"user": "0", "group": "0", **members})


def test_an_app_is_said_as_docker_says_it() -> None:
    found = app(
        user="web",
        group="www",
        working_directory="/srv",
        environment=(("B", "1"), ("A", "x=y")),
        mount_points=(MountPoint(ACName("data"), "/data"),),
        ports=(Port(ACName("http"), "tcp", 80), Port(ACName("dns"), "udp", 53, 2)),
        user_labels=(("org.x/y", "1"),),
    )
    image = wanted(
        found, "SIGQUIT", labels=Labels.of(os="linux", arch="aarch64", version="1", channel="alpha")
    )
    assert json.loads(oci.config_of(image, DIFF_ID)) == {
        "architecture": "arm64",
        "variant": "v8",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
        "config": {
            "Entrypoint": ["/bin/x", "-v"],
            "User": "web:www",
            "WorkingDir": "/srv",
            "Env": ["B=1", "A=x=y"],
            "Volumes": {"/data": {}},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "54/udp": {}},
            "Labels": {"channel": "alpha", "org.x/y": "1"},
            "StopSignal": "SIGQUIT",
        },
    }


def test_root_and_nothing_are_not_said() -> None:
    assert json.loads(oci.config_of(wanted(app()), DIFF_ID))["config"] == {"Entrypoint": ["/bin/x", "-v"]}
    assert json.loads(oci.config_of(wanted(), DIFF_ID))["config"] == {}


def test_a_manifest_and_an_index_lead_to_the_image() -> None:
    image = wanted(annotations=Labels.of(author="us"))
    config = oci.config_of(image, DIFF_ID)
    manifest = oci.manifest_of(image, config, LAYER)
    found, index = json.loads(manifest), json.loads(oci.index_of(image, manifest))
    assert found["config"]["digest"] == blob_of(config).digest
    assert found["layers"] == [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": LAYER.digest,
            "size": LAYER.size,
        }
    ]
    assert found["annotations"] == {"author": "us"}
    plain = json.loads(oci.manifest_of(image.replace(compress=False), config, LAYER))
    assert plain["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    (entry,) = index["manifests"]
    assert entry["digest"] == blob_of(manifest).digest
    assert entry["platform"] == {"architecture": "amd64", "os": "linux"}
    assert set(entry["annotations"].values()) == {"example.com/web:1"}


@pytest.mark.parametrize(
    ("where", "image"),
    [
        ("dependencies", wanted(dependencies=(Dependency(ACIdentifier("example.com/base")),))),
        ("path_whitelist", wanted(path_whitelist=("/x",))),
        ("app.isolators", wanted(app(isolators=(Memory(1 << 20),)))),
        ("app.pre_start", wanted(app(event_handlers=(EventHandler("pre-start", ("/x",)),)))),
        ("app.post_stop", wanted(app(event_handlers=(EventHandler("post-stop", ("/x",)),)))),
        ("app.supplementary_gids", wanted(app(supplementary_gids=(5,)))),
        ("app.user_annotations", wanted(app(user_annotations=(("a", "b"),)))),
        ("app.mount_points", wanted(app(mount_points=(MountPoint(ACName("d"), "/d", read_only=True),)))),
        ("app.ports", wanted(app(ports=(Port(ACName("p"), "tcp", 1, socket_activated=True),)))),
        ("app.ports", wanted(app(ports=(Port(ACName("p"), "tcp", 1, 60_000),)))),
        ("name", wanted(name=ACIdentifier("example.com/a~b"))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_it_cannot_say_is_refused(where: str, image: Recipe) -> None:
    with pytest.raises(InvalidSpec) as err:
        oci.check(image)
    assert err.value.where == where
