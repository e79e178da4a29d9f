# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""Who is attached to a network, as far as files say."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.errors import Corrupt
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net import attached
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.attached import (
    AttachedContainer,
    attached_elsewhere,
    attached_pods,
)
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.member import JoiningPod

UUID = "0f8e4c62-aaaa-4bbb-8ccc-000000000001"
CONF = b'{"name": "n", "type": "ptp", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}}'


@pytest.fixture
def pod(tmp_path: pathlib.Path) -> JoiningPod:
    (tmp_path / "net").mkdir()
    return JoiningPod(Paths(str(tmp_path)), UUID, str(tmp_path / "net"), str(tmp_path / "net-info.json"))


def test_a_pod_whose_record_is_being_written_is_looked_at_again(
    pod: JoiningPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = pathlib.Path(pod.conf_dir, "10-n.conf")
    copy.touch()
    monkeypatch.setattr(attached.time, "sleep", lambda _seconds: copy.write_bytes(CONF))
    assert list(attached_pods("n", [pod])) == [AttachedContainer(UUID, "eth0")]
    assert list(attached_pods("m", [pod])) == []


def test_a_pod_whose_record_is_being_removed_is_attached_to_nothing(
    pod: JoiningPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = pathlib.Path(pod.conf_dir, "10-n.conf")
    copy.touch()
    monkeypatch.setattr(attached.time, "sleep", lambda _seconds: copy.unlink())
    assert list(attached_pods("n", [pod])) == []


def test_a_record_of_which_a_part_is_missing_is_damaged(pod: JoiningPod) -> None:
    pathlib.Path(pod.conf_dir, "10-n.conf").write_bytes(CONF)
    info = {"netName": "m", "netConf": f"{pod.conf_dir}/20-m.conf", "ifName": "eth0", "pluginPath": "ptp"}
    pathlib.Path(pod.info_path).write_text(json.dumps([info]))
    with pytest.raises(Corrupt, match=f"cannot tell which networks pod {UUID} has joined"):
        list(attached_pods("n", [pod]))


def test_files_that_are_not_of_the_network_are_left_alone(tmp_path: pathlib.Path) -> None:
    members = {"containerId": "c", "ifName": "eth0", "networkName": "n"}
    (tmp_path / "n-c-eth0").write_text(json.dumps(members))
    (tmp_path / "n-m-c-eth0").write_text(json.dumps({**members, "networkName": "n-m"}))
    (tmp_path / "m-c-eth0").write_text("{")
    (tmp_path / ".tmp123").mkdir()
    (tmp_path / "gone").symlink_to("/nowhere")
    assert list(attached_elsewhere("n", str(tmp_path))) == [AttachedContainer("c", "eth0")]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"kind": "cniCacheV1"}'], ids=["empty", "no object", "no container"]
)
def test_a_damaged_file_of_the_network_says_nothing(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "n-c-eth0").write_text(text)
    with pytest.raises(Corrupt, match="cannot tell what another engine has attached to networks"):
        list(attached_elsewhere("n", str(tmp_path)))
