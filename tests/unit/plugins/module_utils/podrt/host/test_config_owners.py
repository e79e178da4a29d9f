# SPDX-FileCopyrightText: 2026 the stagecraft.pods authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files that other users can write are not used."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import InvalidSpec
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.config import read_config
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.conf import choose, load_confs

pytestmark = pytest.mark.finding("http-F12")
DOCUMENTS = {
    "auth.d": {
        "rktKind": "dockerAuth",
        "registries": ["quay.io"],
        "credentials": {"user": "u", "password": "p"},
    },
    "paths.d": {"rktKind": "paths", "data": "/x"},
    "stage1.d": {"rktKind": "stage1", "location": "/x"},
    "limits.d": {"rktKind": "limits", "documentSeconds": 5},
    "registries.d": {
        "rktKind": "registryMirrors",
        "registry": "docker.io",
        "mirrors": ["mirror.example.com"],
    },
    "policy.d": {"rktKind": "policy", "imageIsolators": "accept"},
}
STRANGER = 1000


def write(config: pathlib.Path, directory: str) -> pathlib.Path:
    if directory == "net.d":
        path, text = config / directory / "n.conf", json.dumps({"name": "n", "type": "bridge"})
    else:
        path = config / directory / "a.json"
        text = json.dumps({"rktVersion": "v1", **DOCUMENTS[directory]})
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for place, mode in ((config, 0o755), (path.parent, 0o755), (path, 0o600)):
        place.chmod(mode)
    return path


def read(config: pathlib.Path, directory: str) -> None:
    if directory == "net.d":
        choose(load_confs((str(config),)), (("n", ()),))
    else:
        read_config(Paths(local_config=str(config), system_config="/nonexistent"))


def given_away(path: pathlib.Path) -> str:
    os.chown(path, STRANGER, -1)
    return f"{path} is not used as configuration: it belongs to another user (uid {STRANGER})"


def open_to_all(path: pathlib.Path) -> str:
    mode = path.stat().st_mode & 0o777 | 0o002
    path.chmod(mode)
    return f"{path} is not used as configuration: others can change it (mode {mode:04o})"


def open_to_a_group(path: pathlib.Path) -> str:
    os.chown(path, -1, STRANGER)
    mode = path.stat().st_mode & 0o777 | 0o020
    path.chmod(mode)
    return f"{path} is not used as configuration: others can change it (mode {mode:04o})"


CURES = {given_away: "chown root {}", open_to_all: "chmod o-w {}", open_to_a_group: "chmod go-w {}"}


@pytest.mark.root
@pytest.mark.parametrize("wrong", CURES, ids=lambda wrong: wrong.__name__)
@pytest.mark.parametrize("level", [0, 1, 2], ids=["file", "directory", "configuration"])
@pytest.mark.parametrize("directory", [*DOCUMENTS, "net.d"])
def test_what_others_can_write_is_not_used(
    tmp_path: pathlib.Path, directory: str, level: int, wrong: Callable[[pathlib.Path], str]
) -> None:
    config = tmp_path / "etc"
    path = write(config, directory)
    read(config, directory)
    place = (path, path.parent, config)[level]
    message = wrong(place)
    with pytest.raises(InvalidSpec) as caught:
        read(config, directory)
    if directory == "auth.d" and level == 0 and wrong is not given_away:
        assert caught.value.message.startswith(f"the credentials in {path} are not used")
        return
    assert caught.value.message == message
    assert CURES[wrong].format(place) in caught.value.hint


@pytest.mark.root
def test_a_group_of_root_is_no_other(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "etc", "paths.d")
    for place in (path, path.parent):
        os.chown(place, 0, 0)
        place.chmod(0o775)
    read(tmp_path / "etc", "paths.d")


@pytest.mark.root
def test_a_network_that_is_not_chosen_keeps_nothing_from_running(tmp_path: pathlib.Path) -> None:
    given_away(write(tmp_path / "etc", "net.d"))
    assert choose(load_confs((str(tmp_path / "etc"),)), (("default", ()),))
