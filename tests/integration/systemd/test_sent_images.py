# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""An image file of the controller on its way to hosts at the other end of ssh."""

from __future__ import annotations

import json
import os
import pathlib
import tarfile

import pytest

from ansible_collections.stagecraft.pods.plugins.plugin_utils.sending import PIECE
from ansible_collections.stagecraft.pods.tests.integration.hosts import Lab

TOLD = "changed={{ image.changed }} sent={{ image.sent_bytes }} id={{ image.image.id }}"


@pytest.mark.light
def test_pieces_go_over_ssh_once(lab: Lab, tmp_path: pathlib.Path) -> None:
    hosts = list(lab.hosts(2))
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "data").write_bytes(os.urandom(4 * PIECE))  # two rounds
    manifest = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/sent"}
    (tmp_path / "manifest").write_text(json.dumps(manifest))
    with tarfile.open(tmp_path / "sent.aci", "w") as archive:
        for name in ("manifest", "rootfs"):
            archive.add(tmp_path / name, name)
    task = {"src": "sent.aci", "insecure_options": ["image"], "data_dir": "/srv/sent"}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"stagecraft.pods.pod_image": task, "register": "image"},
            {"ansible.builtin.debug": {"msg": TOLD}},
        ],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    size = (tmp_path / "sent.aci").stat().st_size
    for told in (f"changed=True sent={size} id=sha512-", "changed=False sent=0 id=sha512-"):
        done = lab.ansible_playbook(hosts, str(tmp_path / "play.yml"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(told) == len(hosts), done.stdout
    for host in hosts:
        assert lab.ssh(host, "ls", "-A", "/srv/sent/cas/staging").stdout == ""
        assert lab.ssh(host, "find", "/root/.ansible", "-name", "piece*").stdout == ""
