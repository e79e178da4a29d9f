# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026 the stagecraft.pods authors
"""What a pod's manifest says of ports, volumes and isolators, and what real pods become of it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from ansible_collections.stagecraft.pods.tests.integration.podctl.podhost import Done, PodHost


def manifest_of(pods: PodHost, uuid: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(pods.ok("cat-manifest", uuid))
    return found


@pytest.mark.behaviour("C4", "C1")
@pytest.mark.parametrize(
    ("flags", "names", "message"),
    [
        (["--port=https:8080"], ["one"], 'port name "https" could not be found in any apps'),
        (["--port=http:8080"], ["one", "two"], 'port name "http" defined multiple apps'),
        (
            ["--port=http:8080", "--port=http:8080"],
            ["one"],
            "port tcp-0.0.0.0:8080 already mapped to pod port http",
        ),
        (["--port=http:127.0.0.1:8080", "--port=http:8080"], ["one"], "already mapped to pod port http"),
        (["--port=http:8080", "--port=http:127.0.0.1:8080"], ["one"], "already mapped to pod port http"),
        (["--port=http:127.0.0.1:8080", "--port=http:127.0.0.2:8080"], ["one"], ""),
    ],
)
def test_a_port_is_that_of_one_app_and_taken_once(
    pods: PodHost, flags: Sequence[str], names: Sequence[str], message: str
) -> None:
    images = [word for name in names for word in (pods.image, f"--name={name}")]
    done = pods.podctl("prepare", "--quiet", *flags, *images)
    if message:
        assert (done.status, message in done.err) == (254, True), done.err
        assert pods.uuids() == []
        return
    assert done.status == 0, done.err
    ports = manifest_of(pods, done.out.strip())["ports"]
    assert ports == [
        {"name": "http", "hostPort": 8080, "hostIP": "127.0.0.1"},
        {"name": "http", "hostPort": 8080, "hostIP": "127.0.0.2"},
    ]


def of_manifest(pods: PodHost, app: dict[str, object], **members: object) -> Done:
    """Run a pod of a manifest with one app."""
    image = pods.ok("fetch", "--full", pods.image)
    whole = {"user": "0", "group": "0", **app}
    document = {
        "acKind": "PodManifest",
        "acVersion": "0.8.11",
        "apps": [{"name": "one", "image": {"id": image}, "app": whole}],
        **members,
    }
    path = pods.base / "pod.json"
    path.write_text(json.dumps(document))
    return pods.podctl("run", "--net=none", f"--pod-manifest={path}")


@pytest.mark.behaviour("C6", "C5")
def test_volumes_that_no_app_uses_are_ignored(pods: PodHost) -> None:
    volumes = [{"name": "away", "kind": "empty"}]
    done = of_manifest(pods, {"exec": ["/bin/ls", "/"]}, volumes=volumes)
    assert (done.status, "away" in done.texts) == (0, False), done.err
    unused = ("--volume=away,kind=empty", pods.image, "--exec=/bin/true")
    assert pods.podctl("run", "--net=none", *unused).status == 0


@pytest.mark.behaviour("C6", "C43")
def test_isolators_of_the_pod_are_applied_and_unknown_ones_of_an_app_are_an_error(pods: PodHost) -> None:
    """Beyond rkt, which accepted those of the pod and did not apply them."""
    own = [{"name": "os/unix/sysctl", "value": {"kernel.msgmax": "9000"}}]
    done = of_manifest(pods, {"exec": ["/bin/cat", "/proc/sys/kernel/msgmax"]}, isolators=own)
    assert (done.status, done.texts) == (0, ["9000"]), done.err
    unknown = [{"name": "example.com/unknown", "value": {}}]
    done = of_manifest(pods, {"exec": ["/bin/true"], "isolators": unknown})
    assert (done.status, "example.com/unknown" in done.err) == (254, True), done.err
