# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written of a stored image, in the words of docker; whole archives are in the integration tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.image import ImageManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.names import ImageID
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.build import shelved
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.content import Blob
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.convert import (
    DockerConfig,
    image_manifest,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.image.reference import parse_docker
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.store.index import StoredImage

DIFF_ID = f"sha256:{'1' * 64}"
PACKED = Blob(f"sha256:{'2' * 64}", 5)


def manifest_of(name: str = "example.com/app:1", **document: Any) -> ImageManifest:
    """The manifest of an image of a registry with a configuration."""
    rootfs = {"type": "layers", "diff_ids": [DIFF_ID]}
    config = DockerConfig.from_json({"architecture": "amd64", "os": "linux", "rootfs": rootfs, **document})
    return image_manifest(parse_docker(name), config, DIFF_ID, DIFF_ID)


def config_of(**document: Any) -> dict[str, Any]:
    """The configuration that is written for an image that had this one."""
    stored = StoredImage(
        ImageID.of_digest("0" * 128), manifest_of(**document), 0.0, 0.0, False, 0, (DIFF_ID,), "", ""
    )
    found: dict[str, Any] = json.loads(shelved._shelved(stored, {DIFF_ID: PACKED}).config)
    return found


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("127.0.0.1:5000/team/my__app:V1.x", "127.0.0.1:5000/team/my__app:V1.x"),
        (f"example.com/app@{DIFF_ID}", ""),
    ],
)
def test_an_image_is_called_as_other_tools_call_it(name: str, written: str) -> None:
    assert shelved.name_of(manifest_of(name)) == written


@pytest.mark.parametrize("user", ["", "7", "nobody", "7:8", "nobody:users"])
def test_the_user_is_the_one_that_it_was(user: str) -> None:
    config = {"User": user} if user else {}
    assert config_of(config=config)["config"] == config
    again = manifest_of(config=config_of(config=config)["config"])
    assert again.app == manifest_of(config=config).app


@pytest.mark.parametrize(
    "config",
    [
        {"Entrypoint": ["/e", "x"], "Cmd": ["c"]},
        {"Entrypoint": ["/e"]},
        {"Cmd": ["/c", ""]},
        {"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "90-92/tcp": {}}},
        {"Env": ["A=1", "B=", "C=x=y"], "WorkingDir": "/w", "StopSignal": "3"},
    ],
)
def test_what_docker_says_is_said_again(config: dict[str, Any]) -> None:
    assert config_of(config=config)["config"] == config


@pytest.mark.parametrize(
    ("architecture", "variant", "written"),
    [
        *(("amd64", "", ("amd64", None)), ("arm64", "", ("arm64", "v8")), ("arm", "v7", ("arm", "v7"))),
        *(("arm", "v6", ("arm", "v6")), ("mips64le", "", ("mips64le", None))),
    ],
)
def test_the_platform_is_dockers(architecture: str, variant: str, written: tuple[str, str | None]) -> None:
    found = config_of(architecture=architecture, variant=variant)
    assert (found["architecture"], found.get("variant")) == written


@pytest.mark.parametrize(
    ("created", "is_kept"),
    [
        ("2026-01-31T14:00:00Z", True),
        ("2026-01-31T14:00:00.123456789+01:00", True),
        *(("yesterday", False), ("2026-01-31", False), ("2026-01-31T14:00:00Z\n", False)),
    ],
)
def test_a_time_that_other_tools_could_not_read_is_left_out(created: str, is_kept: bool) -> None:
    assert config_of(created=created).get("created") == (created if is_kept else None)


def test_the_layers_are_those_that_are_packed_again() -> None:
    assert config_of()["rootfs"] == {"type": "layers", "diff_ids": [PACKED.digest]}
