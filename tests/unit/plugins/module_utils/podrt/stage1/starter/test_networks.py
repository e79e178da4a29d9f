# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""The networks that a pod's documents request, and the pods whose leases it takes over."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.appc.pod import PodManifest
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.host.paths import Paths
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.net.rules import forwards_of
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.pod import lifecycle
from ansible_collections.stagecraft.pods.plugins.module_utils.podrt.stage1.starter.networks import neighbours

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@pytest.mark.behaviour("E22", "C4")
@pytest.mark.parametrize(
    ("given", "host_ip"),
    [
        ({}, None),
        ({"hostIP": "0.0.0.0"}, "0.0.0.0"),
        ({"hostIP": "::0"}, "::"),
        ({"hostIP": "192.0.2.1"}, "192.0.2.1"),
        ({"hostIP": "2001:DB8::1"}, "2001:db8::1"),
    ],
)
def test_the_address_of_a_port_has_one_spelling(given: dict[str, str], host_ip: str | None) -> None:
    app = {
        "exec": ["/bin/true"],
        "user": "0",
        "group": "0",
        "ports": [{"name": "p", "protocol": "tcp", "port": 80}],
    }
    manifest = PodManifest.from_json(
        {
            "acKind": "PodManifest",
            "acVersion": "0.8.11",
            "apps": [{"name": "a", "image": {"id": "sha512-" + "0" * 64}, "app": app}],
            "ports": [{"name": "p", "hostPort": 8080, **given}],
        }
    )
    (forward,) = forwards_of(manifest)
    assert forward.host_ip == host_ip


@pytest.mark.behaviour("E13")
def test_only_a_pod_that_is_known_can_be_known_to_be_dead(tmp_path: pathlib.Path) -> None:
    paths = Paths(str(tmp_path), str(tmp_path), str(tmp_path), run=str(tmp_path / "run"))
    others = neighbours(paths, UUID)
    with lifecycle.create(paths) as pod:
        pod.move("run")
        assert others.is_live(pod.uuid)
    assert not others.is_live(pod.uuid)
    for stranger in (UUID, "0123456789abcdef" * 4, "", ".", "../" * 12):
        assert others.is_live(stranger), "it is another engine's"
